//! The merged configuration of an agent or a job.

use std::ops::Index;
use std::panic::Location;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind, Failure};

/// The configuration of this agent or this job: a JSON object.
///
/// `message["key"]` reads as [`serde_json::Value`] does and gives `null` for a key that is missing;
/// [`field`](Message::field) reads a value of a type and says what is wrong otherwise.
///
/// ```
/// # let message = armada::Message::from_json(r#"{"target": {"pages": 3}}"#).unwrap();
/// #[derive(serde::Deserialize)]
/// struct Target { pages: u32 }
/// let target: Target = message.field("target")?;
/// assert_eq!(target.pages, 3);
/// assert_eq!(message["target"]["pages"], 3);
/// # Ok::<(), armada::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message(Map<String, Value>);

impl Message {
    /// Reads a message from the text of a JSON object.
    pub fn from_json(text: &str) -> Result<Self, Failure> {
        Ok(Self(serde_json::from_str(text)?))
    }

    /// The value of this key, as a `T`.
    ///
    /// Fails with [`ErrorKind::NotFound`] when the key is missing, and with [`ErrorKind::Invalid`] when its value is no
    /// `T`.
    #[track_caller]
    pub fn field<T: DeserializeOwned>(&self, key: &str) -> Result<T, Error> {
        let at = Location::caller();
        let Some(value) = self.0.get(key) else {
            return Err(Error::at(at, ErrorKind::NotFound, format!("the message has no `{key}`")));
        };
        T::deserialize(value)
            .map_err(|error| Error::at(at, ErrorKind::Invalid, format!("`{key}` in the message: {error}")))
    }

    /// The whole message, as a `T`.
    #[track_caller]
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let at = Location::caller();
        T::deserialize(&Value::Object(self.0.clone()))
            .map_err(|error| Error::at(at, ErrorKind::Invalid, format!("the message: {error}")))
    }

    /// Takes out a key that is not the project's.
    pub(crate) fn remove(&mut self, key: &str) -> Option<Value> {
        self.0.remove(key)
    }

    /// The message as a JSON object.
    pub fn as_object(&self) -> &Map<String, Value> {
        &self.0
    }
}

impl Index<&str> for Message {
    type Output = Value;

    fn index(&self, key: &str) -> &Value {
        static MISSING: Value = Value::Null;
        self.0.get(key).unwrap_or(&MISSING)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_key_reads_as_null_or_as_an_error_that_names_it() {
        let message = Message::from_json(r#"{"a": 1}"#).unwrap();
        assert!(message["b"].is_null());
        assert_eq!(message.field::<u8>("b").unwrap_err().message(), "the message has no `b`");
    }

    #[test]
    fn a_value_of_another_type_is_an_error_that_names_the_key() {
        let message = Message::from_json(r#"{"a": "x"}"#).unwrap();
        let error = message.field::<u8>("a").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.message().starts_with("`a` in the message: invalid type"), "{error}");
    }
}
