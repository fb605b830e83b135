//! What a run is allowed: what its project asks for, as far as the operator's ceiling lets it.
//!
//! Both lists are kept, not their overlap: two host patterns have no common pattern in general, and a refusal must say
//! which of the two keys is missing and what to add where.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::capability::Capability;
use crate::host_pattern::{HostPattern, is_web};
use crate::lendable::Lendable;
use crate::limits::Limits;
use crate::sandbox::{Ceiling, Names, Sandbox};

/// What a run is allowed. It travels to the agents with their messages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Grant {
    asked: Lists<BTreeSet<Capability>, Vec<HostPattern>>,
    ceiling: Lists<Option<BTreeSet<Capability>>, Option<Vec<HostPattern>>>,
    limits: Limits,
    /// Named by the operator alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    private_hosts: Vec<HostPattern>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Lists<C, H> {
    capabilities: C,
    allowed_hosts: H,
    #[serde(default, skip_serializing_if = "Names::is_empty")]
    names: Names,
}

/// Why something is refused, and what would allow it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// A URL of a scheme that no grant allows.
    #[error("{scheme} URLs are never allowed: only http, https, ws and wss are")]
    Scheme {
        /// The scheme.
        scheme: String,
    },
    /// A URL with a name or port that no server can have, such as `a..b`.
    #[error("the host `{host}` is never allowed: no server can have that name and port")]
    Host {
        /// The host.
        host: String,
    },
    /// The project does not ask for it.
    #[error("{what} is not allowed: {}", Advice { add: Some(add), ceiling: *ceiling_denies })]
    NotAsked {
        /// The capability or host.
        what: String,
        /// What to add to the project, and where.
        add: String,
        /// Whether the operator's ceiling does not allow it either.
        ceiling_denies: bool,
    },
    /// The project asks for it, but the operator does not allow it.
    #[error("{what} is not allowed: {}", Advice { add: None, ceiling: true })]
    Capped {
        /// The capability or host.
        what: String,
    },
}

/// The words of a refusal about what would allow it.
struct Advice<'a> {
    add: Option<&'a String>,
    ceiling: bool,
}

impl std::fmt::Display for Advice<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.add, self.ceiling) {
            (Some(add), false) => f.write_str(add),
            (Some(add), true) => write!(f, "{add}; the operator's ceiling does not allow it either"),
            (None, _) => f.write_str("the project asks for it, but the operator's ceiling does not allow it"),
        }
    }
}

impl Grant {
    /// What is asked for and not above the ceiling.
    pub fn new(asked: &Sandbox, ceiling: &Ceiling) -> Grant {
        Grant {
            asked: Lists {
                capabilities: asked.capabilities.clone(),
                allowed_hosts: asked.allowed_hosts.clone(),
                names: asked.names.clone(),
            },
            ceiling: Lists {
                capabilities: ceiling.capabilities.clone(),
                allowed_hosts: ceiling.allowed_hosts.clone(),
                names: ceiling.names.clone(),
            },
            limits: asked.limits.tighter(&ceiling.limits),
            private_hosts: ceiling.private_hosts.clone(),
        }
    }

    /// Whether the operator lets this host be reached at addresses that are not public.
    pub fn allows_private(&self, url: &Url) -> bool {
        self.private_hosts.iter().any(|pattern| pattern.allows(url))
    }

    /// The limits that hold.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The hosts that the project asks for; the ceiling may allow fewer.
    pub fn allowed_hosts(&self) -> &[HostPattern] {
        &self.asked.allowed_hosts
    }

    /// Says why the capability of this name is not allowed, if it is not.
    pub fn check_capability(&self, name: &str) -> Result<(), Denied> {
        match name.parse() {
            Ok(capability) => self.check(capability),
            // Nobody can ask for what does not exist; a newer host may know it.
            Err(_) => Err(Denied::NotAsked {
                what: format!("the capability `{name}`"),
                add: "this version of Armada has no such capability".to_owned(),
                ceiling_denies: false,
            }),
        }
    }

    /// Says why a request to `url` is not allowed, if it is not.
    pub fn check_url(&self, url: &Url) -> Result<(), Denied> {
        let Some(needed) = HostPattern::for_url(url) else {
            return Err(match url.host_str().filter(|_| is_web(url)) {
                Some(host) => Denied::Host { host: host.to_owned() },
                None => Denied::Scheme { scheme: url.scheme().to_owned() },
            });
        };
        let asked = self.asked.allowed_hosts.iter().any(|pattern| pattern.allows(url));
        let capped = match &self.ceiling.allowed_hosts {
            Some(patterns) => !patterns.iter().any(|pattern| pattern.allows(url)),
            None => false,
        };
        verdict(asked, capped, || format!("the host `{needed}`"), &needed.to_string(), "allowed_hosts")
    }

    /// Says why what the operator lends under a name is not allowed, if it is not.
    pub fn check_name(&self, kind: Lendable, name: &str) -> Result<(), Denied> {
        let asked = self.asked.names.get(&kind).is_some_and(|names| names.contains(name));
        let capped = self.ceiling.names.get(&kind).is_some_and(|names| !names.contains(name));
        verdict(asked, capped, || kind.named(name), name, kind.key())
    }

    fn check(&self, capability: Capability) -> Result<(), Denied> {
        let asked = self.asked.capabilities.contains(&capability);
        let capped = self.ceiling.capabilities.as_ref().is_some_and(|allowed| !allowed.contains(&capability));
        verdict(asked, capped, || format!("the capability `{capability}`"), capability.name(), "capabilities")
    }
}

fn verdict(asked: bool, capped: bool, what: impl Fn() -> String, entry: &str, key: &str) -> Result<(), Denied> {
    match (asked, capped) {
        (true, false) => Ok(()),
        (true, true) => Err(Denied::Capped { what: what() }),
        (false, ceiling_denies) => Err(Denied::NotAsked {
            what: what(),
            add: format!("add \"{entry}\" to run_message.sandbox.{key} in config/config_template.json"),
            ceiling_denies,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sandbox(capabilities: &[Capability], hosts: &[&str]) -> Sandbox {
        Sandbox {
            capabilities: capabilities.iter().copied().collect(),
            allowed_hosts: hosts.iter().map(|host| host.parse().unwrap()).collect(),
            ..Sandbox::default()
        }
    }

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn empty_means_deny_and_the_refusal_names_the_line_to_add() {
        let grant = Grant::new(&Sandbox::default(), &Ceiling::none());
        assert_eq!(
            grant.check_capability("browser").unwrap_err().to_string(),
            "the capability `browser` is not allowed: add \"browser\" to run_message.sandbox.capabilities in \
             config/config_template.json"
        );
        assert_eq!(
            grant.check_url(&url("https://quotes.example/page/1")).unwrap_err().to_string(),
            "the host `quotes.example` is not allowed: add \"quotes.example\" to run_message.sandbox.allowed_hosts in \
             config/config_template.json"
        );
        assert_eq!(
            grant.check_url(&url("file:///etc/hostname")).unwrap_err().to_string(),
            "file URLs are never allowed: only http, https, ws and wss are"
        );
        assert_eq!(
            grant.check_url(&url("http://a..b/")).unwrap_err().to_string(),
            "the host `a..b` is never allowed: no server can have that name and port"
        );
        assert!(grant.check_capability("time-travel").is_err());
    }

    #[test]
    fn both_keys_are_needed() {
        let asked = sandbox(&[Capability::Browser, Capability::Monitoring], &["*.example.org", "127.0.0.1:8080"]);
        let ceiling = Ceiling {
            capabilities: Some([Capability::Browser].into()),
            allowed_hosts: Some(vec!["a.example.org".parse().unwrap()]),
            limits: Limits { pages: 2, ..Limits::loosest() },
            ..Ceiling::none()
        };
        let grant = Grant::new(&asked, &ceiling);
        assert_eq!(grant.check_capability("browser"), Ok(()));
        assert_eq!(grant.check_url(&url("https://a.example.org/")), Ok(()));
        assert_eq!((grant.limits().pages, grant.limits().memory_mib), (2, 256));
        assert_eq!(
            grant.check_capability("monitoring").unwrap_err().to_string(),
            "the capability `monitoring` is not allowed: the project asks for it, but the operator's ceiling does not \
             allow it"
        );
        assert!(matches!(grant.check_url(&url("https://b.example.org/")), Err(Denied::Capped { .. })));
        assert_eq!(
            grant.check_url(&url("http://other.example:81/")).unwrap_err().to_string(),
            "the host `other.example:81` is not allowed: add \"other.example:81\" to run_message.sandbox.allowed_hosts \
             in config/config_template.json; the operator's ceiling does not allow it either"
        );
    }

    #[test]
    fn what_is_lent_needs_both_keys_by_name() {
        let mut asked = sandbox(&[], &[]);
        asked.names.insert(Lendable::Databases, ["orders".to_owned(), "people".to_owned()].into());
        let capped = Ceiling { names: [(Lendable::Databases, ["orders".to_owned()].into())].into(), ..Ceiling::none() };
        let grant = Grant::new(&asked, &capped);
        assert_eq!(grant.check_name(Lendable::Databases, "orders"), Ok(()));
        assert!(matches!(grant.check_name(Lendable::Databases, "people"), Err(Denied::Capped { .. })));
        assert_eq!(
            grant.check_name(Lendable::Secrets, "orders").unwrap_err().to_string(),
            "the secret `orders` is not allowed: add \"orders\" to run_message.sandbox.secrets in \
             config/config_template.json"
        );
        assert_eq!(Grant::new(&asked, &Ceiling::none()).check_name(Lendable::Databases, "people"), Ok(()));
    }

    #[test]
    fn a_grant_travels_as_json() {
        let ceiling = Ceiling { allowed_hosts: Some(Vec::new()), ..Ceiling::none() };
        let grant = Grant::new(&sandbox(&[Capability::Browser], &["*.example.org"]), &ceiling);
        let text = serde_json::to_string(&grant).unwrap();
        assert_eq!(serde_json::from_str::<Grant>(&text).unwrap(), grant);
        assert!(text.contains(r#""capabilities":["browser"],"allowed_hosts":["*.example.org"]"#), "{text}");
    }
}
