//! The device that pages of the agent's browser see.
//!
//! `config_fingerprint` of the agent's configuration chooses it, so that a site can be tested as phones, tablets and
//! computers see it:
//!
//! ```no_run
//! # async fn example() -> armada::Result<()> {
//! let device = armada::fingerprint::current().await?;
//! assert_eq!(device.mobile, device.user_agent.contains("Mobile"));
//! # Ok(())
//! # }
//! ```

use std::panic::Location;

use crate::__bindings::armada::fingerprint::fingerprint as wit;
pub use crate::__bindings::armada::fingerprint::fingerprint::{Brand, Profile, Size};
use crate::error::Error;
use crate::operation::Operation;

/// What pages see, apart from what a browser context is made with. Fails where `config_fingerprint` does not enable it.
#[track_caller]
pub fn current() -> Operation<(), Profile> {
    Operation::new((), |()| wit::current())
}

/// The names of the profiles that there are.
#[track_caller]
pub fn profiles() -> Result<Vec<String>, Error> {
    let at = Location::caller();
    wit::profiles().map_err(|error| Error::from_wit(error, at))
}
