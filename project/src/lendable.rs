//! What an operator has under names and a project asks for by them: databases and secrets.
//!
//! Like hosts, each name needs both keys: the project asks for it, and the operator's ceiling does not withhold it.
//! That the operator has something of that name at all is a third thing, and is known where it is lent.

use serde::{Deserialize, Serialize};

/// A kind of thing that is lent by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lendable {
    /// A connection to a database.
    Databases,
    /// A secret that is used for the script, which does not see it.
    Secrets,
    /// A secret that the script may see.
    RevealedSecrets,
}

impl Lendable {
    /// All of them.
    pub const ALL: [Lendable; 3] = [Lendable::Databases, Lendable::Secrets, Lendable::RevealedSecrets];

    /// The key of its list of names in `run_message.sandbox`, and in a ceiling.
    pub const fn key(self) -> &'static str {
        match self {
            Lendable::Databases => "databases",
            Lendable::Secrets => "secrets",
            Lendable::RevealedSecrets => "revealed_secrets",
        }
    }

    /// What the list means, in a sentence.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Lendable::Databases => "Databases of the operator that the project uses, by name; none where absent.",
            Lendable::Secrets => {
                "Secrets of the operator that are typed or sent for the project without its seeing them, by name; none \
                 where absent."
            }
            Lendable::RevealedSecrets => {
                "Secrets of the operator that the project may see, by name; none where absent."
            }
        }
    }

    /// The thing of this name, for a sentence.
    pub(crate) fn named(self, name: &str) -> String {
        match self {
            Lendable::Databases => format!("the database `{name}`"),
            Lendable::Secrets => format!("the secret `{name}`"),
            Lendable::RevealedSecrets => format!("seeing the secret `{name}`"),
        }
    }
}

/// Whether a text is the name of something that is lent.
pub(crate) fn is_lendable_name(text: &str) -> bool {
    (1..=100).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}
