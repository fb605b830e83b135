//! Notes on URLs in messages that pages may not request.
//!
//! A forgotten port is the usual reason, and it would show only when jobs fail. A message may well have URLs that no
//! page is meant to visit, so these are notes, and few: one for each host, of the template and the first rows.

use std::collections::HashSet;

use serde_json::Value;
use url::Url;

use crate::capability::Capability;
use crate::host_pattern::HostPattern;
use crate::mistake::Note;
use crate::path::ValuePath;
use crate::sandbox::Sandbox;

/// The most notes; who has that many knows what they are about.
const MAX_NOTES: usize = 5;

/// Rows of a file that are looked at.
pub(crate) const MAX_ROWS: u64 = 1_000;

/// What pages may request, against what messages name.
pub(crate) struct Reach<'a> {
    sandbox: &'a Sandbox,
    noted: HashSet<HostPattern>,
}

impl<'a> Reach<'a> {
    pub(crate) fn new(sandbox: &'a Sandbox) -> Reach<'a> {
        Reach { sandbox, noted: HashSet::new() }
    }

    /// Notes the hosts of a value and of everything in it.
    pub(crate) fn check(&mut self, value: &Value, path: &ValuePath, notes: &mut Vec<Note>) {
        match value {
            Value::String(text) => notes.extend(self.check_text(text, || path.to_string())),
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(index, item)| self.check(item, &path.index(index), notes));
            }
            Value::Object(members) => members.iter().for_each(|(key, value)| self.check(value, &path.key(key), notes)),
            _ => {}
        }
    }

    /// A note on a text if it is the URL of a host that is not allowed, and of which nothing has been said.
    pub(crate) fn check_text(&mut self, text: &str, about: impl FnOnce() -> String) -> Option<Note> {
        let is_web = ["http://", "https://"].iter().any(|scheme| text.starts_with(scheme));
        if !is_web || !self.sandbox.capabilities.contains(&Capability::Browser) || self.noted.len() >= MAX_NOTES {
            return None;
        }
        let url = Url::parse(text).ok()?;
        let host = HostPattern::for_url(&url)?;
        let allowed = self.sandbox.allowed_hosts.iter().any(|pattern| pattern.allows(&url));
        if allowed || !self.noted.insert(host.clone()) {
            return None;
        }
        let message =
            format!("pages cannot request this: add \"{host}\" to run_message.sandbox.allowed_hosts if they should");
        Some(Note { about: about(), message })
    }
}
