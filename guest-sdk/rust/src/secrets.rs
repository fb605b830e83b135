//! Secrets of the operator, by name.
//!
//! A script uses a secret without seeing it: [`Locator::fill_secret`](crate::browser::Locator::fill_secret) has the
//! host type it into pages of the origins that the operator has bound it to. A project names the secrets that it uses
//! in `run_message.sandbox.secrets`, and those that it sees in `run_message.sandbox.revealed_secrets`.

use std::panic::Location;

use crate::__bindings::armada::secrets::secrets as wit;
use crate::error::Error;

/// The text of a secret that the run may see.
#[track_caller]
pub fn reveal(name: impl AsRef<str>) -> Result<String, Error> {
    let at = Location::caller();
    wit::reveal(name.as_ref()).map_err(|error| Error::from_wit(error, at))
}
