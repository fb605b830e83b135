//! What a project can be granted: the groups of host functions.
//!
//! This list is the only place where capabilities are named in this crate; a new one is one line here.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! capabilities {
    ($( $variant:ident = $name:literal, $meaning:literal; )*) => {
        /// A group of host functions that a project asks for in `run_message.sandbox.capabilities`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Capability {
            $( #[doc = $meaning] #[serde(rename = $name)] $variant, )*
        }

        impl Capability {
            /// All of them.
            pub const ALL: &'static [Capability] = &[$( Capability::$variant, )*];

            /// The name, in configuration and everywhere else.
            pub const fn name(self) -> &'static str {
                match self { $( Capability::$variant => $name, )* }
            }

            /// What it lets a project do, in a sentence.
            pub const fn meaning(self) -> &'static str {
                match self { $( Capability::$variant => $meaning, )* }
            }
        }
    };
}

capabilities! {
    Browser = "browser", "Drives a real Chromium: contexts, pages, elements.";
    Database = "database", "Queries and changes databases of the operator, by name.";
    Fingerprint = "fingerprint", "Shows pages the device of a profile, and tells which.";
    Http = "http", "Makes HTTP requests of its own, without a browser.";
    Identity = "identity", "Makes up people to fill in forms with.";
    Monitoring = "monitoring", "Reports events, logs, progress and artifacts of its jobs.";
    Proxy = "proxy", "Changes and watches the browser's traffic, and leaves through upstream proxies that the operator lends.";
    Screen = "screen", "Takes pictures of the whole screen that its browser is on.";
    Secrets = "secrets", "Has secrets of the operator typed or sent without seeing them, and sees those it may.";
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// There is no capability of this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no such capability")]
pub struct UnknownCapability;

impl FromStr for Capability {
    type Err = UnknownCapability;

    fn from_str(name: &str) -> Result<Capability, UnknownCapability> {
        Capability::ALL.iter().copied().find(|capability| capability.name() == name).ok_or(UnknownCapability)
    }
}
