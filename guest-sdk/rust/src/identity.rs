//! Made-up people, to fill in forms with.
//!
//! ```no_run
//! # use armada::identity;
//! let person = identity::current()?;
//! println!("{} {}, {}", person.given_name, person.family_name, person.email);
//! let german = identity::generate(identity::Options::new().locale("de-DE").seed("the second one"))?;
//! assert_eq!(german.address.country, "DE");
//! # Ok::<(), armada::Error>(())
//! ```
//!
//! None of them exists. A job has the same person in every attempt, and every other job another one. Who it is holds
//! for one version of Armada: the next may make up others.

use std::panic::Location;

use crate::__bindings::armada::identity::identity as wit;
pub use crate::__bindings::armada::identity::identity::{Address, Gender, Identity};
use crate::error::Error;

/// Whom to make up. What is not said is as for the job's own person.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    locale: Option<String>,
    gender: Option<Gender>,
    seed: Option<String>,
}

impl Options {
    /// The job's own person.
    pub fn new() -> Self {
        Self::default()
    }

    /// Somebody of this language and country, such as `de-DE`, or of one of the two.
    pub fn locale(mut self, locale: impl Into<String>) -> Self {
        self.locale = Some(locale.into());
        self
    }

    /// Somebody with a given name that is usual for this gender.
    pub fn gender(mut self, gender: Gender) -> Self {
        self.gender = Some(gender);
        self
    }

    /// Somebody else for every other text, and the same for the same one.
    pub fn seed(mut self, seed: impl Into<String>) -> Self {
        self.seed = Some(seed.into());
        self
    }
}

/// The job's own person: the same in every attempt. Fails while no job runs.
#[track_caller]
pub fn current() -> Result<Identity, Error> {
    let at = Location::caller();
    wit::current().map_err(|error| Error::from_wit(error, at))
}

/// One more person, who depends on the run, the job and the options. Fails for a locale that there are no people of,
/// and while no job runs.
#[track_caller]
pub fn generate(options: Options) -> Result<Identity, Error> {
    let at = Location::caller();
    let options = wit::Options { locale: options.locale, gender: options.gender, seed: options.seed };
    wit::generate(&options).map_err(|error| Error::from_wit(error, at))
}
