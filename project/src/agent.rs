//! What an agent's message says to the host: the blocks that mean something to it, each read by the module of its name.
//!
//! The rest of the message is the project's own and is not looked at.

use serde_json::{Map, Value};

use crate::browser::{self, BrowserSettings};
use crate::fingerprint::{self, FingerprintSettings};
use crate::identity::{self, IdentitySettings};
use crate::mistake::Note;
use crate::path::ValuePath;
use crate::proxy::{self, ProxySettings};
use crate::setting::{Block, Problem, Unknown, note_misspelt, read_block};
use crate::traffic::TrafficSettings;
use crate::url_pattern::{UrlPattern, UrlPatternError};

/// The settings in an agent's message.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentSettings {
    /// How the browser is started and used: `config_fantomas`.
    pub browser: BrowserSettings,
    /// Which device the browser shows: `config_fingerprint`.
    pub fingerprint: FingerprintSettings,
    /// Whom it makes up: `config_identity`.
    pub identity: IdentitySettings,
    /// The way out: `config_proxy`.
    pub proxy: ProxySettings,
    /// What is done to what goes there: `config_proxy.rules` and `config_proxy.modifiers`.
    pub traffic: TrafficSettings,
}

impl AgentSettings {
    /// The members of a message that are read here.
    pub(crate) const BLOCKS: [&str; 4] = [browser::OUTER, fingerprint::KEY, identity::KEY, proxy::PROXY];

    /// Reads a merged agent message, with notes on what has no effect.
    pub fn from_message(message: &Map<String, Value>) -> Result<(AgentSettings, Vec<Note>), Vec<Problem>> {
        Self::read(message, &mut |text| text.parse().map(Some))
    }

    /// The same with another reader of URL patterns, which may leave out what was only to be checked.
    pub(crate) fn read(
        message: &Map<String, Value>,
        pattern: &mut dyn FnMut(&str) -> Result<Option<UrlPattern>, UrlPatternError>,
    ) -> Result<(AgentSettings, Vec<Note>), Vec<Problem>> {
        let (mut problems, mut notes) = (Vec::new(), Vec::new());
        note_misspelt(message, &ValuePath::default(), Self::BLOCKS.into_iter(), &mut notes);
        let settings = AgentSettings {
            browser: BrowserSettings::read(message, &mut problems, &mut notes),
            fingerprint: read_member(message, fingerprint::KEY, &mut problems, &mut notes),
            identity: read_member(message, identity::KEY, &mut problems, &mut notes),
            proxy: ProxySettings::read(message, &mut problems, &mut notes),
            traffic: TrafficSettings::read(message, pattern, &mut problems),
        };
        if problems.is_empty() { Ok((settings, notes)) } else { Err(problems) }
    }

    /// The keys of `config_proxy` that ask for what needs the capability `proxy`.
    pub fn uses_of_proxy(&self) -> impl Iterator<Item = &'static str> {
        let asked = [
            ("upstream_proxy_enabled", self.proxy.lease_time().is_some()),
            ("rules", !self.traffic.rules.is_empty()),
            ("modifiers", !self.traffic.modifiers.is_empty()),
            ("record_har", self.proxy.record_har > 0),
        ];
        asked.into_iter().filter(|(_, is_asked)| *is_asked).map(|(key, _)| key)
    }
}

/// Reads a block that a message has at its outermost level.
fn read_member<B: Block + Default>(
    message: &Map<String, Value>,
    key: &str,
    problems: &mut Vec<Problem>,
    notes: &mut Vec<Note>,
) -> B {
    let mut block = B::default();
    if let Some(value) = message.get(key) {
        let path = ValuePath::of_keys([key]);
        if let Value::Object(members) = value {
            note_misspelt(members, &path, B::table().iter().map(|setting| setting.name), notes);
        }
        read_block(&mut block, value, &path, Unknown::Pass, problems);
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: Value) -> Result<(AgentSettings, Vec<Note>), Vec<String>> {
        let Value::Object(message) = value else { panic!("not a message") };
        AgentSettings::from_message(&message).map_err(|problems| problems.iter().map(Problem::to_string).collect())
    }

    #[test]
    fn every_block_is_read_and_other_keys_pass() {
        let (settings, notes) = read(json!({
            "own": 1,
            "config_fantomas": {"config_browser": {"jobs_per_browser": 3}},
            "config_identity": {"email_domain": "mail.example.org", "locale": "de-DE", "own": []},
        }))
        .unwrap();
        assert!(notes.is_empty(), "{notes:?}");
        assert_eq!(settings.browser.browser.jobs_per_browser, 3);
        assert_eq!(settings.identity.email_domain.as_deref(), Some("mail.example.org"));
        assert_eq!(settings.identity.locale.as_deref(), Some("de-DE"));
        assert_eq!(read(json!({})).unwrap().0.identity, IdentitySettings::default());
    }

    #[test]
    fn problems_of_all_blocks_are_told_together() {
        let problems = read(json!({
            "config_fantomas": {"config_browser": {"jobs_per_browser": 0}},
            "config_identity": {"email_domain": "not a domain", "locale": "x"},
        }))
        .unwrap_err();
        assert_eq!(problems.len(), 3, "{problems:#?}");
        for locale in ["es-ES", "german"] {
            let problems = read(json!({"config_identity": {"locale": locale}})).unwrap_err();
            assert!(matches!(problems.as_slice(), [told] if told.contains("one of `en-US`, ")), "{problems:?}");
        }
        for domain in ["localhost", "-a.com", "a..com", "127.0.0.1", "A.com", "a@b.com", "a.com.", ""] {
            assert!(read(json!({"config_identity": {"email_domain": domain}})).is_err(), "{domain:?}");
        }
        assert!(read(json!({"config_identity": "de"})).is_err());
    }

    #[test]
    fn a_block_or_key_that_looks_misspelt_is_noted() {
        let (_, notes) = read(json!({"config_identiy": {}, "config_identity": {"emaildomain": "a.com"}})).unwrap();
        let notes: Vec<String> = notes.iter().map(Note::to_string).collect();
        assert!(
            matches!(notes.as_slice(), [block, key]
            if block.contains("`config_identity`") && key.contains("`email_domain`")),
            "{notes:?}"
        );
    }
}
