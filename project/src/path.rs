//! The way to a value inside a message, as people write it: `config_proxy.locations[0]`.
//!
//! Checks work on plain values and name places by their path; who knows the files turns a path into a line.

use std::fmt;

use serde::{Serialize, Serializer};

/// A key of an object or an index of a list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// The member of this name.
    Key(String),
    /// The item at this place, from 0.
    Index(usize),
}

/// The way from a message to a value in it.
///
/// Displays and serialises as text: keys with dots between, indices in brackets, a key that is not a plain word in
/// brackets and double quotes.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValuePath(Vec<Step>);

impl ValuePath {
    /// A path through objects, outermost first.
    pub fn of_keys<'a>(keys: impl IntoIterator<Item = &'a str>) -> ValuePath {
        ValuePath(keys.into_iter().map(|key| Step::Key(key.to_owned())).collect())
    }

    /// The steps, outermost first.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// This path and one step more.
    pub(crate) fn key(&self, key: &str) -> ValuePath {
        self.with(Step::Key(key.to_owned()))
    }

    /// This path and one step more.
    pub(crate) fn index(&self, index: usize) -> ValuePath {
        self.with(Step::Index(index))
    }

    /// This path, inside the member of this name.
    pub(crate) fn within(mut self, key: &str) -> ValuePath {
        self.0.insert(0, Step::Key(key.to_owned()));
        self
    }

    pub(crate) fn push(&mut self, step: Step) {
        self.0.push(step);
    }

    pub(crate) fn pop(&mut self) {
        self.0.pop();
    }

    fn with(&self, step: Step) -> ValuePath {
        ValuePath(self.0.iter().cloned().chain([step]).collect())
    }
}

impl fmt::Display for ValuePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) if is_word(key) && index == 0 => f.write_str(key)?,
                Step::Key(key) if is_word(key) => write!(f, ".{key}")?,
                Step::Key(key) => write!(f, "[{}]", serde_json::Value::from(key.as_str()))?,
            }
        }
        Ok(())
    }
}

impl Serialize for ValuePath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn is_word(key: &str) -> bool {
    !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '$'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_as_people_write_them() {
        let path = ValuePath::of_keys(["config_proxy", "locations"]).index(0).key("a.b");
        assert_eq!(path.to_string(), r#"config_proxy.locations[0]["a.b"]"#);
        assert_eq!(ValuePath::default().to_string(), "");
        assert_eq!(ValuePath::of_keys([""]).to_string(), r#"[""]"#);
    }
}
