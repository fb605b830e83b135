//! The settings of an agent's way out, `config_proxy` in its message.
//!
//! The block keeps every key it has for the project's own use; the ones in the table here also mean something to the
//! host. They say what kind of upstream proxy the project wants: which ones there are is the operator's to say.

use serde_json::{Map, Value};

use crate::mistake::Note;
use crate::path::ValuePath;
use crate::setting::{Form, Kind, Preset, Problem, Unknown, note_misspelt, read_block, settings};
use crate::traffic::LISTS;

/// The block of an agent's message.
pub(crate) const PROXY: &str = "config_proxy";

settings! {
    /// The settings of `config_proxy`.
    #[derive(Clone, Debug, PartialEq)]
    pub struct ProxySettings {
        upstream_proxy_enabled: u32 = Kind::Whole { min: 0, max: 2 }, Some(Preset::Whole(0)), "",
            "Whether traffic leaves through an upstream proxy of the operator's: 0 it does not, 1 through one that the \
             agent keeps for its life, 2 through one that is leased anew for each job. Needs the capability `proxy`.";
        proxy_location: String = Kind::Text(Form::Label), None, "",
            "Where traffic is to come out, as the operator names places; anywhere where empty.";
        proxy_tags: String = Kind::Text(Form::Label), None, "",
            "What else the proxy must be, as the operator tags proxies, with commas between: `residential, fast`.";
        proxy_sticky: bool = Kind::OldSwitch, Some(Preset::Switch(false)), "",
            "Whether the same agent (where a lease is for each job, the same job) gets the same proxy again, in later \
             runs too, as long as there is one.";
        verify_ip: bool = Kind::OldSwitch, Some(Preset::Switch(false)), "",
            "Whether the address that traffic comes out at is looked up, and must be the proxy's.";
        record_har: u32 = Kind::Whole { min: 0, max: 2 }, Some(Preset::Whole(0)), "",
            "Whether each job keeps its browser's traffic as the artifact `traffic.har`: 0 it does not, 1 without bodies, \
             2 with them. Needs the capability `proxy`, as rules and modifiers do.";
    }
}

/// For how long an agent leases an upstream proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseTime {
    /// As long as it lives.
    Agent,
    /// A job.
    Job,
}

impl ProxySettings {
    /// Reads the settings of a merged agent message, with notes on what has no effect.
    pub(crate) fn read(message: &Map<String, Value>, problems: &mut Vec<Problem>, notes: &mut Vec<Note>) -> Self {
        let mut settings = ProxySettings::default();
        if let Some(block) = message.get(PROXY) {
            let path = ValuePath::of_keys([PROXY]);
            if let Value::Object(members) = block {
                let names = Self::TABLE.iter().map(|setting| setting.name).chain(LISTS);
                note_misspelt(members, &path, names, notes);
            }
            read_block(&mut settings, block, &path, Unknown::Pass, problems);
            let idle = [("verify_ip", settings.verify_ip), ("proxy_location", !settings.proxy_location.is_empty())];
            if let (None, Some((key, _))) = (settings.lease_time(), idle.into_iter().find(|(_, is_set)| *is_set)) {
                let message = "has no effect: traffic leaves directly, as upstream_proxy_enabled is 0".to_owned();
                notes.push(Note { about: path.key(key).to_string(), message });
            }
        }
        settings
    }

    /// For how long an upstream proxy is leased, if traffic leaves through one.
    pub fn lease_time(&self) -> Option<LeaseTime> {
        match self.upstream_proxy_enabled {
            0 => None,
            1 => Some(LeaseTime::Agent),
            _ => Some(LeaseTime::Job),
        }
    }

    /// The tags that the upstream proxy must have.
    pub fn tags(&self) -> Vec<String> {
        self.proxy_tags.split(',').map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(block: Value) -> Result<(ProxySettings, Vec<String>), Vec<String>> {
        let (mut problems, mut notes) = (Vec::new(), Vec::new());
        let settings = ProxySettings::read(&Map::from_iter([(PROXY.to_owned(), block)]), &mut problems, &mut notes);
        match problems.is_empty() {
            true => Ok((settings, notes.iter().map(Note::to_string).collect())),
            false => Err(problems.iter().map(Problem::to_string).collect()),
        }
    }

    #[test]
    fn an_agent_that_says_nothing_leaves_directly() {
        let (settings, notes) = read(json!({})).unwrap();
        assert!(notes.is_empty() && settings == ProxySettings::default());
        assert_eq!((settings.lease_time(), settings.tags()), (None, Vec::new()));
    }

    #[test]
    fn what_is_asked_of_a_proxy_that_there_is_not_is_noted() {
        for (block, key) in
            [(json!({"verify_ip": 1}), "verify_ip"), (json!({"proxy_location": "US"}), "proxy_location")]
        {
            let (_, notes) = read(block).unwrap();
            assert!(
                matches!(notes.as_slice(), [note] if note.contains(key) && note.contains("no effect")),
                "{notes:?}"
            );
        }
    }

    #[test]
    fn the_settings_are_read_and_other_keys_pass() {
        let (settings, notes) = read(json!({
            "upstream_proxy_enabled": 2, "proxy_location": "DE", "proxy_tags": "fast, residential,", "verify_ip": 1,
            "own": {"x": 1}, "modifiers": [],
        }))
        .unwrap();
        assert_eq!((settings.lease_time(), settings.proxy_location.as_str()), (Some(LeaseTime::Job), "DE"));
        assert_eq!((settings.tags(), settings.verify_ip), (vec!["fast".to_owned(), "residential".to_owned()], true));
        assert_eq!(notes, Vec::<String>::new());
        let (settings, notes) = read(json!({"upstream_proxy_enabled": 1, "proxy_locaton": "DE"})).unwrap();
        assert_eq!((settings.lease_time(), settings.proxy_location.as_str()), (Some(LeaseTime::Agent), ""));
        assert!(notes[0].contains("did you mean `proxy_location`?"), "{notes:?}");
    }

    #[test]
    fn every_problem_is_reported() {
        let problems = read(json!({
            "upstream_proxy_enabled": 3, "proxy_location": 7, "proxy_tags": "a\nb", "proxy_sticky": "yes", "verify_ip": 2,
        }));
        assert_eq!(problems.unwrap_err().len(), 5);
        assert!(read(json!("on")).is_err());
    }
}
