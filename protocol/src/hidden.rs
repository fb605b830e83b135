//! Texts that are not to be seen: credentials, addresses that have them, secrets. Whatever has one can be logged, and
//! is logged without it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A text that is not shown, wherever what it is part of is.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hidden(pub String);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}
