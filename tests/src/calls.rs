//! Which functions of the contract there are, and which of them guests have called: every host call goes through one
//! wrapper, which opens a span with the function's name.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use wit_parser::Resolve;

use crate::repository;

static CALLED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

fn called() -> MutexGuard<'static, BTreeSet<String>> {
    CALLED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Remembers the names of all host calls of this process, from the first call of this function on.
///
/// # Panics
///
/// When something else listens to this process's spans.
pub fn record() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing::subscriber::set_global_default(tracing_subscriber::registry().with(Recorder)).unwrap();
    });
}

/// The names recorded so far.
pub fn recorded() -> BTreeSet<String> {
    called().clone()
}

/// The functions of an interface that a project can call, by the names that their spans have, such as `page.goto`.
///
/// # Panics
///
/// When the contract does not parse.
pub fn contract_of(interface: &str) -> BTreeSet<String> {
    functions(|name| name == interface)
}

/// The functions that a project can call, by the names that their spans have.
///
/// # Panics
///
/// When the contract does not parse.
pub fn contract() -> BTreeSet<String> {
    functions(|_| true)
}

fn functions(of: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(repository().join("wit")).unwrap();
    let world = resolve.select_world(&[package], Some("project")).unwrap();
    let imports = resolve.worlds[world].imports.values();
    let interfaces = imports.filter_map(|item| match item {
        wit_parser::WorldItem::Interface { id, .. } => Some(&resolve.interfaces[*id]),
        _ => None,
    });
    let interfaces = interfaces.filter(|interface| interface.name.as_deref().is_some_and(&of));
    let functions = interfaces.flat_map(|interface| interface.functions.keys());
    // A method is called `[method]page.goto` there, or `[async method]page.goto`.
    functions.map(|name| name.rsplit(']').next().unwrap_or(name).to_owned()).collect()
}

/// Listens to spans of host calls.
struct Recorder;

impl<S: tracing::Subscriber> Layer<S> for Recorder {
    fn enabled(&self, metadata: &tracing::Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.name() == "host_call"
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        attributes.record(&mut Name);
    }
}

/// Takes the field `name`.
struct Name;

impl Visit for Name {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "name" {
            called().insert(value.to_owned());
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}
