//! Secrets of the operator: `wit/deps/secrets.wit`.
//!
//! A secret is used for a script at the origins that it is bound to, and the script does not see it. What a page has
//! been given could be read back from it, so whatever the browser says is looked through for secrets that were given to
//! pages, by a [`Veil`]. That is no wall: a page that writes a text backwards shows it. The wall is that a secret goes
//! to its own origins and no other.

mod veil;

use std::collections::BTreeMap;
use std::sync::Arc;

use armada_project::{Capability, Grant, Lendable};
use armada_protocol::Hidden;
use armada_protocol::inventory::Secret;
use url::Url;

pub(crate) use self::veil::Veil;
use crate::call::{Call, call_now};
use crate::capabilities::Means;
use crate::contract::{Error, secrets as wit};
use crate::instance::InstanceState;

/// The secrets of an agent.
pub(crate) struct Secrets {
    grant: Arc<Grant>,
    /// Those that are lent, by name.
    lent: BTreeMap<String, Secret>,
    veil: Arc<Veil>,
    /// Hides those, too, that the script may see.
    veil_of_records: Arc<Veil>,
}

impl Secrets {
    /// What the operator lends to this agent.
    pub(crate) fn new(means: &Means<'_>) -> Self {
        Self {
            grant: means.grant.clone(),
            lent: means.lent.secrets.clone(),
            veil: Arc::default(),
            veil_of_records: Arc::default(),
        }
    }

    /// These, where this grant names them.
    #[cfg(test)]
    pub(crate) fn lent(grant: Arc<Grant>, lent: BTreeMap<String, Secret>) -> Self {
        Self { grant, lent, veil: Arc::default(), veil_of_records: Arc::default() }
    }

    /// What hides the secrets that were given to pages.
    pub(crate) fn veil(&self) -> Arc<Veil> {
        self.veil.clone()
    }

    /// What hides every secret that was used, in what is stored.
    pub(crate) fn veil_of_records(&self) -> Arc<Veil> {
        self.veil_of_records.clone()
    }

    /// A secret that may be used in this way.
    fn named(&self, kind: Lendable, name: &str) -> Result<&Secret, Error> {
        self.grant.check_name(kind, name).map_err(|denied| Error::Denied(denied.to_string()))?;
        let secret = self.lent.get(name).ok_or_else(|| {
            Error::NotFound(format!("the operator's inventory has no secret `{name}`: it needs a [secrets.{name}]"))
        })?;
        self.veil_of_records.hide(name, &secret.value.0);
        Ok(secret)
    }

    /// A secret that is to be typed into a page, and from now on hidden in what pages say.
    pub(crate) fn for_pages(&self, name: &str) -> Result<ForPages, Error> {
        let secret = self.named(Lendable::Secrets, name)?;
        // What the script may see needs no hiding from it.
        if self.grant.check_name(Lendable::RevealedSecrets, name).is_err() {
            self.veil.hide(name, &secret.value.0);
        }
        Ok(ForPages { name: name.to_owned(), value: secret.value.clone(), origins: secret.origins.clone() })
    }

    /// The text of a secret that is to be sent to this URL.
    pub(crate) fn for_origin(&self, name: &str, url: &Url) -> Result<Hidden, Error> {
        // The call is one of another capability.
        let granted = self.grant.check_capability(Capability::Secrets.name());
        granted.map_err(|denied| Error::Denied(denied.to_string()))?;
        let secret = self.named(Lendable::Secrets, name)?;
        let origin = url.origin().ascii_serialization();
        if secret.origins.contains(&origin) {
            Ok(secret.value.clone())
        } else {
            Err(elsewhere(name, &secret.origins, &origin))
        }
    }

    /// The text of a secret that the script may see.
    fn reveal(&self, name: &str) -> Result<String, Error> {
        Ok(self.named(Lendable::RevealedSecrets, name)?.value.0.clone())
    }
}

/// A secret on its way to a page.
#[derive(Debug)]
pub(crate) struct ForPages {
    name: String,
    pub(crate) value: Hidden,
    /// Where it may go, as `scheme://host[:port]`.
    pub(crate) origins: Vec<String>,
}

impl ForPages {
    /// Says that a page of this origin does not get it.
    pub(crate) fn refusal(&self, origin: &str) -> Error {
        elsewhere(&self.name, &self.origins, origin)
    }
}

fn elsewhere(name: &str, origins: &[String], origin: &str) -> Error {
    let allowed = if origins.is_empty() { "nowhere".to_owned() } else { format!("only to {}", origins.join(", ")) };
    Error::Denied(format!(
        "the secret `{name}` may go {allowed}, and this is {origin}: the operator binds secrets to origins"
    ))
}

impl wit::Host for InstanceState {
    fn reveal(&mut self, name: String) -> Result<String, Error> {
        call_now(self, Call::of(Capability::Secrets, "reveal"), |state| state.capabilities.secrets.reveal(&name))
    }
}

#[cfg(test)]
mod tests {
    use armada_project::{Ceiling, Sandbox};

    use super::*;

    fn secrets(asked: &[(Lendable, &str)]) -> Secrets {
        let mut sandbox = Sandbox { capabilities: [Capability::Secrets].into(), ..Sandbox::default() };
        for (kind, name) in asked {
            sandbox.names.entry(*kind).or_default().insert((*name).to_owned());
        }
        let secret = Secret { value: Hidden("hush-hush".to_owned()), origins: vec!["https://shop.example".to_owned()] };
        let lent = [("password".to_owned(), secret)].into();
        Secrets::lent(Arc::new(Grant::new(&sandbox, &Ceiling::none())), lent)
    }

    #[test]
    fn a_secret_goes_to_its_own_origins_only() {
        let secrets = secrets(&[(Lendable::Secrets, "password")]);
        let sent = |url: &str| secrets.for_origin("password", &Url::parse(url).unwrap());
        assert_eq!(sent("https://shop.example/login?x#y").unwrap().0, "hush-hush");
        for elsewhere in ["http://shop.example/", "https://shop.example:8443/", "https://shop.example.evil/", "data:,x"]
        {
            let error = sent(elsewhere).unwrap_err();
            assert!(matches!(&error, Error::Denied(why) if why.contains("only to https://shop.example")), "{error:?}");
        }
    }

    #[test]
    fn to_use_and_to_see_are_two_grants() {
        let used = secrets(&[(Lendable::Secrets, "password")]);
        assert!(used.for_pages("password").is_ok());
        let error = used.reveal("password").unwrap_err();
        assert!(
            matches!(&error, Error::Denied(why) if why.contains("run_message.sandbox.revealed_secrets")),
            "{error:?}"
        );
        let seen = secrets(&[(Lendable::RevealedSecrets, "password"), (Lendable::RevealedSecrets, "other")]);
        assert_eq!(seen.reveal("password").unwrap(), "hush-hush");
        assert!(matches!(seen.for_pages("password"), Err(Error::Denied(_))));
        assert!(matches!(seen.reveal("other"), Err(Error::NotFound(_))));
        assert!(!format!("{:?}", used.for_pages("password")).contains("hush"));
    }
}
