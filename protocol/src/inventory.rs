//! What an operator has to lend: upstream proxies, connections to databases, secrets.
//!
//! One TOML file names them, and the process that reads it lends them to agents: what a run's grant names, to that
//! run's agents, over their links. Scripts know the names; addresses and credentials stay with the hosts of agents, and
//! nothing of this is stored.

mod upstream;

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use url::Url;

pub use self::upstream::{AddressRange, Resolve, Upstream, UpstreamUrl, VerifyIp, VerifyUrl};
use crate::device::DeviceProfiles;
use crate::hidden::Hidden;

/// The operator's file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Inventory {
    /// The upstream proxies.
    pub upstreams: Vec<Upstream>,
    /// Where agents ask for the address that they are seen at.
    pub verify_ip: Option<VerifyIp>,
    /// Databases, by the name that scripts use.
    pub databases: BTreeMap<String, Database>,
    /// Secrets, by the name that scripts use.
    pub secrets: BTreeMap<String, Secret>,
    /// Profiles of devices, beside those that every agent has.
    pub device_profiles: DeviceProfiles,
}

/// A database that scripts may use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// `postgres://`, `mysql://`, `mariadb://`, `sqlite:` or `sqlserver://`, with user and password.
    pub url: Hidden,
    /// Whether scripts may change what is in it.
    #[serde(default)]
    pub writable: bool,
    /// How many connections an agent may have open at once.
    #[serde(default = "connections")]
    pub connections_per_agent: u32,
}

fn connections() -> u32 {
    2
}

/// A text that scripts may have typed or sent for them without seeing it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "SecretEntry")]
pub struct Secret {
    /// The text.
    pub value: Hidden,
    /// Where it may go, as `scheme://host[:port]`.
    pub origins: Vec<String>,
}

/// A secret as the operator's file has it: the text itself, or where it is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SecretEntry {
    value: Option<Hidden>,
    env: Option<String>,
    file: Option<std::path::PathBuf>,
    origins: Vec<String>,
}

impl TryFrom<SecretEntry> for Secret {
    type Error = String;

    fn try_from(entry: SecretEntry) -> Result<Secret, String> {
        let value = match (entry.value, entry.env, entry.file) {
            (Some(value), None, None) => value,
            (None, Some(name), None) => {
                Hidden(std::env::var(&name).map_err(|error| format!("the environment variable {name}: {error}"))?)
            }
            (None, None, Some(path)) => {
                let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
                Hidden(text.strip_suffix('\n').unwrap_or(&text).to_owned())
            }
            _ => return Err("a secret has one of `value`, `env` and `file`".to_owned()),
        };
        for origin in &entry.origins {
            let is_origin = Url::parse(origin).is_ok_and(|url| {
                matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == *origin
            });
            if !is_origin {
                return Err(format!("{origin:?} is no origin: expected one such as https://shop.example"));
            }
        }
        Ok(Secret { value, origins: entry.origins })
    }
}

/// Why an inventory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InventoryError {
    /// The file cannot be read.
    #[error("{0}: {1}")]
    Unreadable(String, std::io::Error),
    /// The file has a mistake.
    #[error("{0}: {1}")]
    Mistake(String, String),
}

impl Inventory {
    /// Reads an operator's file. The file must exist: to lend nothing is a decision, not an accident.
    pub fn open(path: &Path) -> Result<Inventory, InventoryError> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| InventoryError::Unreadable(name.clone(), error))?;
        Inventory::parse(&text).map_err(|message| InventoryError::Mistake(name, message))
    }

    fn parse(text: &str) -> Result<Inventory, String> {
        // The lines of the file are not quoted: they have secrets.
        let inventory: Inventory = toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            format!("line {line}: {}", error.message())
        })?;
        let mut names: Vec<&str> = inventory.upstreams.iter().map(|upstream| upstream.name.as_str()).collect();
        names.sort_unstable();
        match names.windows(2).find(|pair| matches!(pair, [one, other] if one == other)) {
            Some(pair) => Err(format!("two upstreams are called {:?}", pair.first().unwrap_or(&""))),
            None => Ok(inventory),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inventory_is_read_and_hides_what_is_secret() {
        let inventory = Inventory::parse(
            r#"
            [[upstreams]]
            name = "berlin"
            url = "socks5://user:hush@proxy.example:1080"
            location = "DE"
            tags = ["residential"]
            agents = 5
            exit_addresses = ["203.0.113.9", "198.51.100.0/24"]

            [verify_ip]
            url = "https://ip.example/"

            [databases.orders]
            url = "postgres://user:hush@db.internal/orders"

            [secrets.password]
            value = "hush"
            origins = ["https://shop.example"]
            "#,
        )
        .unwrap();
        assert_eq!((inventory.upstreams[0].location.as_str(), inventory.upstreams[0].agents), ("DE", Some(5)));
        assert_eq!(inventory.upstreams[0].url.credentials(), Some(("user", "hush")));
        assert!(inventory.upstreams[0].exit_addresses[1].contains("198.51.100.7".parse().unwrap()));
        assert_eq!(inventory.verify_ip.as_ref().unwrap().url.url().as_str(), "https://ip.example/");
        assert!(!inventory.databases["orders"].writable);
        assert_eq!(inventory.secrets["password"].value.0, "hush");
        assert!(!format!("{inventory:?}").contains("hush"));
    }

    #[test]
    fn a_mistake_is_told_with_its_line_and_without_what_is_secret() {
        for (text, told) in [
            ("[[upstreams]]\nname = \"a\"\nurl = \"ftp://u:hush@x\"", "line 3: this is no URL of a proxy"),
            ("[[upstreams]]\nname = \"a\"\nurl = \"u:hush@x y\"", "line 3: this is no URL"),
            (
                "[[upstreams]]\nname = \"a\"\nurl = \"http://x\"\nexit_addresses = [\"x\"]",
                "line 4: \"x\" is no address",
            ),
            ("[verify_ip]\nurl = \"ip.example\"", "line 2: expected a URL such as https://ip.example/"),
            ("[databases.a]\nurl = \"sqlite:hush\"\nwriteable = true", "line 3: unknown field `writeable`"),
            ("[secrets.a]\nvalue = \"hush\"\norigins = [\"shop.example\"]", "\"shop.example\" is no origin"),
            ("[secrets.a]\nvalue = \"hush\"\nenv = \"X\"\norigins = []", "one of `value`, `env` and `file`"),
            ("[secrets.a]\nenv = \"ARMADA_NO_SUCH\"\norigins = []", "the environment variable ARMADA_NO_SUCH"),
            (
                "[[upstreams]]\nname = \"a\"\nurl = \"http://x\"\n[[upstreams]]\nname = \"a\"\nurl = \"http://y\"",
                "two upstreams are called \"a\"",
            ),
        ] {
            let mistake = Inventory::parse(text).unwrap_err();
            assert!(mistake.contains(told) && !mistake.contains("hush"), "{text}: {mistake}");
        }
    }
}
