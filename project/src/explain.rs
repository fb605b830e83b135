//! Says of every value of a message where it came from.
//!
//! The merge itself tells which values a row replaced; what it did not touch is where the template has it. So there is
//! no second idea of what merging means.

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::configuration::Configuration;
use crate::merge::Observer;
use crate::node::{Node, Shape};
use crate::origin::{Explained, Origin};
use crate::path::{Step, ValuePath};
use crate::rows::{Rows, Target};
use crate::template::{Layers, Section};

/// Remembers what a merge replaced.
#[derive(Default)]
pub(crate) struct Recorder {
    here: ValuePath,
    replaced: HashSet<ValuePath>,
}

impl Recorder {
    /// Whether the value at `path`, or one around it, came from the row.
    pub(crate) fn has_replaced(&self, path: &ValuePath) -> bool {
        let mut around = ValuePath::default();
        path.steps().iter().any(|step| {
            around.push(step.clone());
            self.replaced.contains(&around)
        })
    }
}

impl Observer for Recorder {
    fn enter(&mut self, key: &str) {
        self.here.push(Step::Key(key.to_owned()));
    }

    fn leave(&mut self) {
        self.here.pop();
    }

    fn replaced(&mut self) {
        self.replaced.insert(self.here.clone());
    }
}

/// Explains the message of an agent or job: that of the row which was read last from `rows`, or one without a row.
pub(crate) fn explain_message(
    configuration: &Configuration,
    target: Target,
    message: &Map<String, Value>,
    rows: Option<&Rows>,
    seen: &Recorder,
) -> Vec<Explained> {
    let template = &configuration.resolved().template;
    let row = rows.map(|rows| (rows.row().index, rows.places()));
    explain(message, template.section(target), &template.layers, seen, |key| match &row {
        _ if configuration.is_injected() && target.injected().contains(&key) => Some(Origin::Injected),
        Some((row, _)) if key == target.index_key() => Some(Origin::Row { file: target.file().to_owned(), row: *row }),
        Some((row, places)) => {
            let place = places.get(key)?.clone();
            Some(Origin::Csv { place, row: *row, column: key.to_owned() })
        }
        None => None,
    })
}

/// Explains the run's message; paths begin with `run_message`.
pub(crate) fn explain_run(configuration: &Configuration, run: &Map<String, Value>) -> Vec<Explained> {
    let resolved = configuration.resolved();
    let section = resolved.template.run.as_ref();
    let sides = [
        (resolved.agents.target, resolved.overrides.agents.is_some()),
        (resolved.jobs.target, resolved.overrides.jobs.is_some()),
    ];
    let explained = explain(run, section, &resolved.template.layers, &Recorder::default(), |key| {
        if configuration.is_injected() && key == "run_id" {
            return Some(Origin::Injected);
        }
        let (target, given) = sides.into_iter().find(|(target, _)| target.count_key() == key)?;
        let declared = section.is_some_and(|section| section.node.reach(&ValuePath::of_keys([key])).whole);
        match (given, declared) {
            (true, _) => Some(Origin::CommandLine { option: format!("--{}s", target.noun()), placeholder: None }),
            (false, true) => None,
            (false, false) => Some(Origin::Counted { file: target.file().to_owned() }),
        }
    });
    let in_run = |explained: Explained| Explained { path: explained.path.within("run_message"), ..explained };
    explained.into_iter().map(in_run).collect()
}

fn explain(
    message: &Map<String, Value>,
    section: Option<&Section>,
    layers: &Layers,
    seen: &Recorder,
    own: impl Fn(&str) -> Option<Origin>,
) -> Vec<Explained> {
    let mut explained = Vec::new();
    for (key, value) in message {
        let own = own(key);
        // A cell may leave parts of the default in place; every other layer replaces the whole value.
        let whole = !matches!(own, None | Some(Origin::Csv { .. }));
        let node = section.filter(|_| !whole).and_then(|section| child(&section.node, &Step::Key(key.clone())));
        Leaves { layers, seen, own }.add(ValuePath::of_keys([key.as_str()]), value, node, &mut explained);
    }
    explained
}

/// Takes apart one member of a message.
struct Leaves<'a> {
    layers: &'a Layers,
    seen: &'a Recorder,
    /// Where its replaced parts came from.
    own: Option<Origin>,
}

impl Leaves<'_> {
    fn add(&self, path: ValuePath, value: &Value, node: Option<&Node>, explained: &mut Vec<Explained>) {
        // What replaced a value replaced everything in it; the template has no say inside.
        let node = node.filter(|_| !self.seen.replaced.contains(&path));
        match value {
            Value::Object(members) if !members.is_empty() => {
                for (key, value) in members {
                    let step = Step::Key(key.clone());
                    self.add(path.key(key), value, node.and_then(|node| child(node, &step)), explained);
                }
            }
            Value::Array(items) if !items.is_empty() => {
                for (index, value) in items.iter().enumerate() {
                    let step = Step::Index(index);
                    self.add(path.index(index), value, node.and_then(|node| child(node, &step)), explained);
                }
            }
            leaf => {
                let origin = match (node, &self.own) {
                    (Some(node), _) => self.layers.origin(node.at),
                    (None, Some(own)) => own.clone(),
                    (None, None) => Origin::Injected,
                };
                explained.push(Explained { path, value: leaf.clone(), origin });
            }
        }
    }
}

fn child<'a>(node: &'a Node, step: &Step) -> Option<&'a Node> {
    match (&node.shape, step) {
        (Shape::Object(members), Step::Key(key)) => members.get(key).map(|member| &member.value),
        (Shape::List(items), Step::Index(index)) => items.get(*index),
        _ => None,
    }
}
