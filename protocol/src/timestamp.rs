//! How moments are written: to the millisecond, always with three digits, so that they sort as text and have one
//! length.

use jiff::Timestamp;
use serde::Serializer;

/// Writes a moment.
pub fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{time:.3}"))
}

/// The same for a moment that there may not be.
pub fn serialize_option<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => serialize(time, serializer),
        None => serializer.serialize_none(),
    }
}
