//! Settings as rows of a table: what each is called, means, may be and is by default.
//!
//! The [`settings!`] macro makes a typed struct and its table from one list; reading a block of a message, the JSON
//! Schema and the documentation all follow the table. So a setting that is documented is one that is checked.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::mistake::Note;
use crate::path::ValuePath;
use crate::suggest::{did_you_mean, found, list, misspelt, thousands};

/// One setting.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Its key.
    pub name: &'static str,
    /// What it does, in a sentence.
    pub meaning: &'static str,
    /// The unit of its number; empty where a number has none.
    pub unit: &'static str,
    /// What it may be.
    pub kind: Kind,
    /// What it is when it is absent, where that is a fixed value.
    pub default: Option<Preset>,
}

/// What a setting may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A whole number, bounds included.
    Whole {
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// A number, bounds included.
    Number {
        /// The least.
        min: f64,
        /// The most.
        max: f64,
    },
    /// True or false.
    Switch,
    /// True or false, or 1 or 0.
    OldSwitch,
    /// A text of some form.
    Text(Form),
}

/// The form of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A value of the `User-Agent` header: printable ASCII.
    UserAgent,
    /// The name of a host that is not an address, such as `example.com`.
    Domain,
    /// A language tag such as `de-DE` (BCP 47).
    Locale,
    /// One of these language tags, or the language or country of one, in letters of either case.
    LocaleOf(&'static [&'static str]),
    /// A name that an operator or this program gives to something.
    Name,
    /// A time zone such as `Europe/Berlin` (IANA), or `UTC`.
    Timezone,
    /// A line of text, which may be empty.
    Label,
}

impl Form {
    /// What the text must look like, for a sentence.
    pub(crate) fn expected(self) -> String {
        let expected = match self {
            Form::LocaleOf(tags) => return format!("one of {}", list(tags.iter().copied())),
            Form::UserAgent => "a text of 1 to 1,000 printable ASCII characters",
            Form::Domain => "a domain such as \"example.com\"",
            Form::Locale => "a language tag such as \"de-DE\"",
            Form::Name => "a name of 1 to 100 letters, digits, dots, hyphens and underscores",
            Form::Timezone => "a time zone such as \"Europe/Berlin\" or \"UTC\"",
            Form::Label => "a text of at most 200 characters on one line",
        };
        expected.to_owned()
    }

    /// The same as a regular expression (ECMA 262).
    pub(crate) fn pattern(self) -> String {
        let pattern = match self {
            Form::LocaleOf(tags) => {
                let names: BTreeSet<String> = with_parts(tags).map(in_any_case).collect();
                return format!("^({})$", Vec::from_iter(names).join("|"));
            }
            Form::UserAgent => "^[ -~]{1,1000}$",
            Form::Domain => "^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?[.])+[a-z][a-z0-9-]{0,61}[a-z0-9]$",
            Form::Locale => "^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8}){0,8}$",
            Form::Name => "^[A-Za-z0-9._-]{1,100}$",
            Form::Timezone => "^(UTC|GMT|[A-Z][A-Za-z]{1,30}(/[A-Z][A-Za-z0-9_+-]{1,30}){1,2})$",
            Form::Label => "^[^\\u0000-\\u001f\\u007f]{0,200}$",
        };
        pattern.to_owned()
    }

    /// Whether a text has the form.
    pub(crate) fn allows(self, text: &str) -> bool {
        match self {
            Form::UserAgent => (1..=1000).contains(&text.len()) && text.bytes().all(|b| (b' '..=b'~').contains(&b)),
            Form::Domain => {
                let is_label = |label: &str| {
                    (1..=63).contains(&label.len())
                        && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
                        && !label.starts_with('-')
                        && !label.ends_with('-')
                };
                let is_top = |label: &str| label.len() >= 2 && label.starts_with(|c: char| c.is_ascii_lowercase());
                text.len() <= 200
                    && text.split('.').all(is_label)
                    && text.rsplit_once('.').is_some_and(|(_, top)| is_top(top))
            }
            Form::Locale => {
                let mut parts = text.split('-');
                let language = parts.next().unwrap_or_default();
                (2..=3).contains(&language.len())
                    && language.bytes().all(|b| b.is_ascii_alphabetic())
                    && parts.clone().count() <= 8
                    && parts
                        .all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric()))
            }
            Form::LocaleOf(tags) => with_parts(tags).any(|known| known.eq_ignore_ascii_case(text)),
            Form::Name => {
                (1..=100).contains(&text.len())
                    && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
            }
            Form::Timezone => {
                let is_part = |part: &str| {
                    (2..=31).contains(&part.len())
                        && part.starts_with(|c: char| c.is_ascii_uppercase())
                        && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+-".contains(&b))
                };
                let is_place = |(area, places): (&str, &str)| {
                    is_part(area)
                        && area.bytes().all(|b| b.is_ascii_alphabetic())
                        && places.split('/').count() <= 2
                        && places.split('/').all(is_part)
                };
                ["UTC", "GMT"].contains(&text) || text.split_once('/').is_some_and(is_place)
            }
            Form::Label => text.chars().count() <= 200 && !text.bytes().any(|b| b.is_ascii_control()),
        }
    }
}

/// Language tags, and the languages and countries in them.
fn with_parts(tags: &[&'static str]) -> impl Iterator<Item = &'static str> {
    tags.iter().flat_map(|tag| std::iter::once(*tag).chain(tag.split('-')))
}

/// A regular expression for a language tag in letters of either case.
fn in_any_case(tag: &str) -> String {
    let letter = |c: char| match c.is_ascii_alphabetic() {
        true => format!("[{}{}]", c.to_ascii_uppercase(), c.to_ascii_lowercase()),
        false => c.to_string(),
    };
    tag.chars().map(letter).collect()
}

/// The value of a setting that is absent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Preset {
    /// A whole number.
    Whole(u64),
    /// A number.
    Number(f64),
    /// True or false.
    Switch(bool),
}

/// The value of a setting, checked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Checked {
    Whole(u64),
    Number(f64),
    Switch(bool),
    Text(String),
}

impl From<Preset> for Checked {
    fn from(preset: Preset) -> Checked {
        match preset {
            Preset::Whole(number) => Checked::Whole(number),
            Preset::Number(number) => Checked::Number(number),
            Preset::Switch(on) => Checked::Switch(on),
        }
    }
}

/// Something wrong with a value of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The way to the value.
    pub path: ValuePath,
    /// Whether it is the key that is wrong, not the value.
    pub at_key: bool,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Problem {
    pub(crate) fn of_value(path: &ValuePath, message: impl Into<String>) -> Problem {
        Problem { path: path.clone(), at_key: false, message: message.into(), help: None }
    }

    pub(crate) fn of_key(path: &ValuePath, message: impl Into<String>) -> Problem {
        Problem { at_key: true, ..Problem::of_value(path, message) }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Problem {
        self.help = Some(help.into());
        self
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

impl Setting {
    /// The value if it is of the setting's kind, else what it should be and what it is.
    pub(crate) fn check(&self, value: &Value) -> Result<Checked, String> {
        let checked = match (self.kind, value) {
            (Kind::Whole { min, max }, Value::Number(number)) => {
                number.as_u64().filter(|number| (min..=max).contains(number)).map(Checked::Whole)
            }
            (Kind::Number { min, max }, Value::Number(number)) => {
                number.as_f64().filter(|number| (min..=max).contains(number)).map(Checked::Number)
            }
            (Kind::Switch | Kind::OldSwitch, Value::Bool(on)) => Some(Checked::Switch(*on)),
            (Kind::OldSwitch, Value::Number(number)) => {
                number.as_u64().filter(|number| *number <= 1).map(|number| Checked::Switch(number == 1))
            }
            (Kind::Text(form), Value::String(text)) if form.allows(text) => Some(Checked::Text(text.clone())),
            _ => None,
        };
        checked.ok_or_else(|| format!("`{}` must be {}, found {}", self.name, self.expected(), found(value)))
    }

    /// What the value must be, for a sentence.
    pub(crate) fn expected(&self) -> String {
        let unit = if self.unit.is_empty() { String::new() } else { format!(" ({})", self.unit) };
        match self.kind {
            Kind::Whole { min, max } => {
                format!("a whole number from {} to {}{unit}", thousands(min), thousands(max))
            }
            Kind::Number { min, max } => format!("a number from {} to {}{unit}", plain(min), plain(max)),
            Kind::Switch => "true or false".to_owned(),
            Kind::OldSwitch => "true or false, or 1 or 0".to_owned(),
            Kind::Text(form) => form.expected(),
        }
    }

    /// The loosest value: what "no cap" means for a limit. A switch that tightens is off.
    pub(crate) fn loosest(&self) -> Option<Checked> {
        match self.kind {
            Kind::Whole { max, .. } => Some(Checked::Whole(max)),
            Kind::Number { max, .. } => Some(Checked::Number(max)),
            Kind::Switch | Kind::OldSwitch => Some(Checked::Switch(false)),
            Kind::Text(_) => None,
        }
    }

    /// The row of the documentation's table: name, default, range, meaning.
    fn markdown_row(&self) -> String {
        let default = match self.default {
            Some(Preset::Whole(number)) => thousands(number),
            Some(Preset::Number(number)) => plain(number),
            Some(Preset::Switch(on)) => on.to_string(),
            None => "–".to_owned(),
        };
        let unit = if self.unit.is_empty() { String::new() } else { format!(" {}", self.unit) };
        let range = match self.kind {
            Kind::Whole { min, max } => format!("{} – {}{unit}", thousands(min), thousands(max)),
            Kind::Number { min, max } => format!("{} – {}{unit}, fractions allowed", plain(min), plain(max)),
            _ => self.expected(),
        };
        format!("| `{}` | {default} | {range} | {} |", self.name, self.meaning)
    }
}

/// The documentation of a table of settings, as a Markdown table.
pub fn markdown_table(settings: &[Setting]) -> String {
    let rows: Vec<String> = settings.iter().map(Setting::markdown_row).collect();
    format!("| key | default | may be | meaning |\n|---|---|---|---|\n{}\n", rows.join("\n"))
}

/// A number of a table, with separators where it is whole.
fn plain(number: f64) -> String {
    match number.fract() == 0.0 && number >= 0.0 {
        true => thousands(number as u64),
        false => number.to_string(),
    }
}

/// The type of a field that a setting fills.
pub(crate) trait Field: Sized {
    fn of(checked: Checked) -> Option<Self>;
    fn checked(&self) -> Option<Checked>;
}

impl Field for u32 {
    fn of(checked: Checked) -> Option<Self> {
        u64::of(checked).and_then(|number| number.try_into().ok())
    }

    fn checked(&self) -> Option<Checked> {
        Some(Checked::Whole(u64::from(*self)))
    }
}

impl Field for u64 {
    fn of(checked: Checked) -> Option<Self> {
        if let Checked::Whole(number) = checked { Some(number) } else { None }
    }

    fn checked(&self) -> Option<Checked> {
        Some(Checked::Whole(*self))
    }
}

impl Field for f64 {
    fn of(checked: Checked) -> Option<Self> {
        if let Checked::Number(number) = checked { Some(number) } else { None }
    }

    fn checked(&self) -> Option<Checked> {
        Some(Checked::Number(*self))
    }
}

impl Field for bool {
    fn of(checked: Checked) -> Option<Self> {
        if let Checked::Switch(on) = checked { Some(on) } else { None }
    }

    fn checked(&self) -> Option<Checked> {
        Some(Checked::Switch(*self))
    }
}

impl Field for String {
    fn of(checked: Checked) -> Option<Self> {
        if let Checked::Text(text) = checked { Some(text) } else { None }
    }

    fn checked(&self) -> Option<Checked> {
        Some(Checked::Text(self.clone()))
    }
}

impl<T: Field> Field for Option<T> {
    fn of(checked: Checked) -> Option<Self> {
        T::of(checked).map(Some)
    }

    fn checked(&self) -> Option<Checked> {
        self.as_ref().and_then(T::checked)
    }
}

/// A struct that a table of settings fills.
pub(crate) trait Block {
    fn table() -> &'static [Setting];
    fn get(&self, name: &str) -> Option<Checked>;
    fn put(&mut self, name: &str, value: Checked);
}

/// What to do with a key that the table does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// It is a mistake.
    Refuse,
    /// It is the project's own.
    Pass,
}

/// Reads an object over `block`: every key that the table has is checked, and put if it is right.
pub(crate) fn read_block<B: Block>(
    block: &mut B,
    value: &Value,
    path: &ValuePath,
    unknown: Unknown,
    problems: &mut Vec<Problem>,
) {
    let Value::Object(members) = value else {
        problems.push(Problem::of_value(path, format!("expected an object, found {}", found(value))));
        return;
    };
    let names = || B::table().iter().map(|setting| setting.name);
    for (key, value) in members {
        match B::table().iter().find(|setting| setting.name == key) {
            Some(setting) => match setting.check(value) {
                Ok(checked) => block.put(key, checked),
                Err(message) => problems.push(Problem::of_value(&path.key(key), message)),
            },
            None if unknown == Unknown::Pass => {}
            None => problems.push(unknown_key(&path.key(key), key, names())),
        }
    }
}

/// Notes on the keys of a block that are the project's own, but look like one of `names` that was misspelt.
pub(crate) fn note_misspelt<'a>(
    members: &Map<String, Value>,
    path: &ValuePath,
    names: impl Iterator<Item = &'a str> + Clone,
    notes: &mut Vec<Note>,
) {
    let own = members.keys().filter(|key| !names.clone().any(|name| name == *key));
    notes.extend(own.filter_map(|key| {
        let near = misspelt(key, names.clone())?;
        let message = format!("Armada has no such setting and leaves it to your script; did you mean `{near}`?");
        Some(Note { about: path.key(key).to_string(), message })
    }));
}

/// The problem of a key that is none of `names`.
pub(crate) fn unknown_key<'a>(path: &ValuePath, key: &str, names: impl Iterator<Item = &'a str> + Clone) -> Problem {
    Problem::of_key(path, format!("there is no setting {}", crate::suggest::quoted(key))).help(did_you_mean(
        key,
        names.clone(),
        || format!("the settings here are {}", list(names)),
    ))
}

/// Makes a struct of settings and its table:
/// `name: type = kind, default, unit, "meaning";` for each field.
macro_rules! settings {
    (
        $(#[$attribute:meta])*
        $vis:vis struct $block:ident {
            $( $field:ident: $type:ty = $kind:expr, $default:expr, $unit:literal, $meaning:literal; )*
        }
    ) => {
        $(#[$attribute])*
        $vis struct $block {
            $( #[doc = $meaning] $vis $field: $type, )*
        }

        impl $block {
            /// What each setting means, may be, and is by default.
            $vis const TABLE: &'static [$crate::setting::Setting] = &[
                $( $crate::setting::Setting {
                    name: stringify!($field),
                    meaning: $meaning,
                    unit: $unit,
                    kind: $kind,
                    default: $default,
                }, )*
            ];
        }

        impl Default for $block {
            fn default() -> Self {
                let mut block = $block { $( $field: Default::default(), )* };
                for setting in Self::TABLE {
                    if let Some(preset) = setting.default {
                        $crate::setting::Block::put(&mut block, setting.name, preset.into());
                    }
                }
                block
            }
        }

        impl $crate::setting::Block for $block {
            fn table() -> &'static [$crate::setting::Setting] {
                Self::TABLE
            }

            fn get(&self, name: &str) -> Option<$crate::setting::Checked> {
                match name {
                    $( stringify!($field) => $crate::setting::Field::checked(&self.$field), )*
                    _ => None,
                }
            }

            fn put(&mut self, name: &str, value: $crate::setting::Checked) {
                match name {
                    $( stringify!($field) => {
                        if let Some(value) = $crate::setting::Field::of(value) {
                            self.$field = value;
                        }
                    } )*
                    _ => {}
                }
            }
        }
    };
}

pub(crate) use settings;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_its_form_where_the_schema_says_so() {
        let people = Form::LocaleOf(&["en-US", "de-DE"]);
        for (form, text, allowed) in [
            (Form::Locale, "de", true),
            (Form::Locale, "de-DE", true),
            (Form::Locale, "zh-Hant-TW", true),
            (Form::Locale, "german", false),
            (Form::Locale, "de_DE", false),
            (people, "de-DE", true),
            (people, "de-de", true),
            (people, "de", true),
            (people, "US", true),
            (people, "es-ES", false),
            (people, "de-US", false),
            (people, "", false),
            (Form::Timezone, "UTC", true),
            (Form::Timezone, "Europe/Berlin", true),
            (Form::Timezone, "America/Argentina/Buenos_Aires", true),
            (Form::Timezone, "Etc/GMT+12", true),
            (Form::Timezone, "Berlin", false),
            (Form::Timezone, "europe/berlin", false),
            (Form::Timezone, "Europe/", false),
            (Form::Timezone, "Europe/Berlin/Mitte/Here", false),
            (Form::Timezone, "", false),
        ] {
            assert_eq!(form.allows(text), allowed, "{form:?} {text:?}");
            let pattern = regex::Regex::new(&form.pattern()).unwrap();
            assert_eq!(pattern.is_match(text), allowed, "{} {text:?}", form.pattern());
        }
    }
}
