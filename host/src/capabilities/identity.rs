//! Made-up people: `wit/deps/identity.wit`.
//!
//! A person is drawn by a generator that is seeded with the run, the job and what was asked for. So nothing is kept: a
//! job that is tried again gets the same person, on whatever agent. No clock is asked either, which is why everybody
//! was born within the same fixed years.

mod locales;

use armada_project::{Capability, IdentitySettings};
use armada_protocol::Attempt;
use fake::rand::seq::{IndexedRandom as _, SliceRandom as _};
use fake::rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha20Rng;
use ring::digest::{Context, SHA256};

use self::locales::{LOCALES, Locale, to_ascii};
use super::cut;
use crate::call::{Call, Weigh, call_now};
use crate::contract::{Error, identity as wit};
use crate::instance::InstanceState;

/// The locale where nothing is said.
const LOCALE: &str = "en-US";
/// The domain of e-mail addresses where nothing is said. It is reserved (RFC 2606), so no mail reaches anybody.
const EMAIL_DOMAIN: &str = "example.com";
/// When people are born: whoever reads this is later than 2022, so all are adults.
const BIRTH_YEARS: std::ops::RangeInclusive<i16> = 1955..=2003;
/// How long a password is.
const PASSWORD_CHARACTERS: usize = 16;
/// What passwords are made of, at least one of each: without characters that look alike or that forms refuse.
const PASSWORD_ALPHABETS: [&[u8]; 4] =
    [b"abcdefghijkmnopqrstuvwxyz", b"ABCDEFGHJKLMNPQRSTUVWXYZ", b"23456789", b"!#%+-_?"];
/// How much of a locale that there is not is shown, in bytes.
const SHOWN_BYTES: usize = 50;

/// Makes up the people of an agent's jobs.
pub(crate) struct Identities {
    settings: IdentitySettings,
}

impl Identities {
    /// People as an agent's settings want them.
    pub(super) fn new(settings: IdentitySettings) -> Self {
        Self { settings }
    }

    /// The person of an attempt's job who fits these options.
    fn person(&self, attempt: Option<Attempt>, options: &wit::Options) -> Result<wit::Identity, Error> {
        let attempt = attempt.ok_or_else(|| {
            Error::Invalid(
                "no job is running: people are made up for jobs, in the script or the job context".to_owned(),
            )
        })?;
        let asked = options.locale.as_deref().or(self.settings.locale.as_deref()).unwrap_or(LOCALE);
        let locale = Locale::find(asked).ok_or_else(|| {
            let known: Vec<&str> = LOCALES.iter().map(|locale| locale.tag).collect();
            Error::Invalid(format!(
                "there are no people of {:?}: the locales are {}",
                cut(asked, SHOWN_BYTES),
                known.join(", ")
            ))
        })?;
        let domain = self.settings.email_domain.as_deref().unwrap_or(EMAIL_DOMAIN);
        let mut chance = generator(attempt, locale.tag, options.seed.as_deref().unwrap_or_default());
        Ok(draw(locale, options.gender, domain, &mut chance))
    }
}

/// The generator of one person.
fn generator(attempt: Attempt, locale: &str, seed: &str) -> ChaCha20Rng {
    let mut hash = Context::new(&SHA256);
    hash.update(attempt.run.0.as_bytes());
    hash.update(attempt.job.as_bytes());
    // The locale is one of ours and has no zero byte: where it ends is clear.
    hash.update(locale.as_bytes());
    hash.update(&[0]);
    hash.update(seed.as_bytes());
    let mut key = [0; 32];
    key.copy_from_slice(hash.finish().as_ref());
    ChaCha20Rng::from_seed(key)
}

/// One of these; they are never empty.
fn one_of<T: Copy + Default>(of: &[T], chance: &mut ChaCha20Rng) -> T {
    of.choose(chance).copied().unwrap_or_default()
}

fn draw(locale: &Locale, gender: Option<wit::Gender>, domain: &str, chance: &mut ChaCha20Rng) -> wit::Identity {
    let drawn = if chance.random_bool(0.5) { wit::Gender::Female } else { wit::Gender::Male };
    let gender = gender.unwrap_or(drawn);
    let given_names = match gender {
        wit::Gender::Female => locale.female_names,
        wit::Gender::Male => locale.male_names,
    };
    let given_name = one_of(given_names, chance).to_owned();
    let family_name = (locale.family_name)(chance);
    let birth_date = format!(
        "{:04}-{:02}-{:02}",
        chance.random_range(BIRTH_YEARS),
        chance.random_range(1..=12),
        // Every month has so many.
        chance.random_range(1..=28)
    );
    let city = one_of(locale.cities, chance);
    let address = wit::Address {
        street: one_of(locale.streets, chance).to_owned(),
        number: chance.random_range(locale.numbers.clone()).to_string(),
        postal_code: one_of(city.postal_codes, chance).to_owned(),
        city: city.name.to_owned(),
        region: city.region.to_owned(),
        country: locale.country.to_owned(),
    };
    let phone = with_digits(city.phone, chance);
    let user_name = with_digits(&format!("{}.{}####", to_ascii(&given_name), to_ascii(&family_name)), chance);
    let email = format!("{user_name}@{domain}");
    wit::Identity {
        locale: locale.tag.to_owned(),
        given_name,
        family_name,
        gender,
        birth_date,
        address,
        phone,
        user_name,
        email,
        password: password(chance),
    }
}

/// A text with a digit in the place of each `#`.
fn with_digits(pattern: &str, chance: &mut ChaCha20Rng) -> String {
    let digit = |chance: &mut ChaCha20Rng| char::from(b'0' + chance.random_range(0..10_u8));
    pattern.chars().map(|one| if one == '#' { digit(chance) } else { one }).collect()
}

fn password(chance: &mut ChaCha20Rng) -> String {
    let every = PASSWORD_ALPHABETS.concat();
    let alphabets = PASSWORD_ALPHABETS.into_iter().chain(std::iter::repeat(every.as_slice()));
    let mut characters: Vec<u8> =
        alphabets.take(PASSWORD_CHARACTERS).map(|alphabet| one_of(alphabet, chance)).collect();
    characters.shuffle(chance);
    characters.into_iter().map(char::from).collect()
}

const fn named(name: &'static str) -> Call {
    Call::of(Capability::Identity, name)
}

impl wit::Host for InstanceState {
    fn current(&mut self) -> Result<wit::Identity, Error> {
        call_now(self, named("current"), |state| {
            let own = wit::Options { locale: None, gender: None, seed: None };
            state.capabilities.identity.person(state.capabilities.monitoring.attempt(), &own)
        })
    }

    fn generate(&mut self, options: wit::Options) -> Result<wit::Identity, Error> {
        call_now(self, named("generate"), |state| {
            state.capabilities.identity.person(state.capabilities.monitoring.attempt(), &options)
        })
    }
}

impl Weigh for wit::Identity {}

#[cfg(test)]
mod tests {
    use armada_protocol::{Incarnation, RunId};

    use super::*;

    fn attempt(run: RunId, index: u64, number: u32) -> Option<Attempt> {
        Some(Attempt { run, job: run.job(index), index, number, agent: Incarnation::new(0).agent })
    }

    fn options(locale: &str, seed: &str) -> wit::Options {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        wit::Options { locale: text(locale), gender: None, seed: text(seed) }
    }

    fn identities() -> Identities {
        Identities::new(IdentitySettings::default())
    }

    #[test]
    fn there_are_people_of_every_locale_that_a_message_may_name() {
        let known: Vec<&str> = LOCALES.iter().map(|locale| locale.tag).collect();
        assert_eq!(known, armada_project::IDENTITY_LOCALES);
    }

    #[test]
    fn a_job_has_the_same_person_in_every_attempt_and_other_jobs_have_others() {
        let (run, people) = (RunId::new(), identities());
        let first = people.person(attempt(run, 0, 1), &options("", "")).unwrap();
        assert_eq!(people.person(attempt(run, 0, 2), &options("", "")).unwrap(), first);
        let others = [
            people.person(attempt(run, 1, 1), &options("", "")),
            people.person(attempt(RunId::new(), 0, 1), &options("", "")),
            people.person(attempt(run, 0, 1), &options("", "another")),
            people.person(attempt(run, 0, 1), &options("de-DE", "")),
        ];
        for other in others {
            assert_ne!(other.unwrap().password, first.password);
        }
    }

    #[test]
    fn everybody_is_coherent_whatever_the_chance() {
        let (run, people) = (RunId::new(), identities());
        for locale in LOCALES {
            for index in 0..500 {
                let person = people.person(attempt(run, index, 1), &options(locale.tag, "")).unwrap();
                let city = locale.cities.iter().find(|city| city.name == person.address.city).unwrap();
                assert!(city.postal_codes.contains(&person.address.postal_code.as_str()), "{person:?}");
                assert_eq!((person.address.region.as_str(), &*person.address.country), (city.region, locale.country));
                let fits = |(one, pattern): (char, char)| one == pattern || (pattern == '#' && one.is_ascii_digit());
                assert!(person.phone.chars().zip(city.phone.chars()).all(fits), "{person:?}");
                let names = if person.gender == wit::Gender::Female { locale.female_names } else { locale.male_names };
                assert!(names.contains(&person.given_name.as_str()), "{person:?}");
                let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.';
                assert!(person.user_name.bytes().all(allowed), "{person:?}");
                assert!(person.user_name.starts_with(&to_ascii(&person.given_name)), "{person:?}");
                assert!(!to_ascii(&person.given_name).is_empty() && !to_ascii(&person.family_name).is_empty());
                assert_eq!(person.email, format!("{}@example.com", person.user_name));
                let date: jiff::civil::Date = person.birth_date.parse().unwrap();
                assert!(BIRTH_YEARS.contains(&date.year()), "{person:?}");
                let has = |alphabet: &[u8]| person.password.bytes().any(|byte| alphabet.contains(&byte));
                assert!(PASSWORD_ALPHABETS.into_iter().all(has), "{person:?}");
                assert_eq!(person.password.len(), PASSWORD_CHARACTERS);
            }
        }
    }

    #[test]
    fn people_are_as_the_settings_and_the_options_want_them() {
        let settings =
            IdentitySettings { email_domain: Some("mail.example.org".to_owned()), locale: Some("de".to_owned()) };
        let (people, attempt) = (Identities::new(settings), attempt(RunId::new(), 0, 1));
        let person = people.person(attempt, &options("", "")).unwrap();
        assert_eq!((person.locale.as_str(), person.address.country.as_str()), ("de-DE", "DE"));
        assert!(person.email.ends_with("@mail.example.org") && person.phone.starts_with("+49 "), "{person:?}");
        for (asked, given) in [("fr", "fr-FR"), ("EN-gb", "en-GB"), ("AU", "en-AU"), ("en", "en-US")] {
            assert_eq!(people.person(attempt, &options(asked, "")).unwrap().locale, given);
        }
        for gender in [wit::Gender::Female, wit::Gender::Male] {
            let options = wit::Options { gender: Some(gender), ..options("", "") };
            assert_eq!(people.person(attempt, &options).unwrap().gender, gender);
        }
    }

    #[test]
    fn a_locale_without_people_and_a_time_without_a_job_are_refused() {
        let people = identities();
        let unknown = people.person(attempt(RunId::new(), 0, 1), &options("tlh-001", ""));
        assert!(matches!(&unknown, Err(Error::Invalid(why)) if why.contains("tlh") && why.contains("de-DE")));
        let idle = people.person(None, &options("", ""));
        assert!(matches!(&idle, Err(Error::Invalid(why)) if why.contains("no job is running")));
    }
}
