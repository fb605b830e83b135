//! The deep merge: a row over a default message.
//!
//! Object over object merges member by member; anything else replaces what was there; a missing key is added at the
//! end. It exists once: who wants to know where a value came from watches it with an [`Observer`].

use std::borrow::Cow;

use serde_json::{Map, Value};

/// Watches a merge. Keys are entered and left like folders; the merge of plain messages watches nothing.
pub(crate) trait Observer {
    /// The merge goes on inside the member of this name.
    fn enter(&mut self, _key: &str) {}
    /// The merge is done with the member entered last.
    fn leave(&mut self) {}
    /// The value at the current place comes from the row, as a whole.
    fn replaced(&mut self) {}
}

/// Watches nothing.
pub(crate) struct Unobserved;

impl Observer for Unobserved {}

/// What a member is after `over` was put on `base`; a member that was missing has null for a base.
pub(crate) fn overlay(base: Cow<'_, Value>, over: Value, seen: &mut impl Observer) -> Value {
    match over {
        Value::Object(over) if base.is_object() => {
            let mut members = match base.into_owned() {
                Value::Object(members) => members,
                _ => Map::new(),
            };
            merge(&mut members, over, seen);
            Value::Object(members)
        }
        over => {
            seen.replaced();
            over
        }
    }
}

/// Puts every member of `over` on `base`.
pub(crate) fn merge(base: &mut Map<String, Value>, over: Map<String, Value>, seen: &mut impl Observer) {
    for (key, value) in over {
        seen.enter(&key);
        match base.get_mut(&key) {
            Some(slot) => *slot = overlay(Cow::Owned(slot.take()), value, seen),
            None => {
                seen.replaced();
                base.insert(key, value);
            }
        }
        seen.leave();
    }
}
