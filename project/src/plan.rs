//! How the messages of a run's agents, or of its jobs, are made from one default and the rows of a file.
//!
//! A file has the same columns in every row, so the order of a message's keys, and everything that no column touches,
//! is worked out once. A row then costs its own cells: as text they go straight into the line that is sent.

use std::borrow::Cow;
use std::collections::HashMap;

use csv::StringRecord;
use serde_json::{Map, Value};

use crate::json::{looks_like_json, read_cell};
use crate::merge::{Observer, Unobserved, merge, overlay};
use crate::rows::{Flaw, Row, Target};

/// How deep the value of a cell lies in a message that was nested in the template.
const CELL_DEPTH: usize = 2;

/// The making of messages.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    default: Map<String, Value>,
    default_line: Vec<u8>,
    parts: Vec<Part>,
    pieces: Vec<Piece>,
}

/// A member of a message that has a row, in the order of the message.
#[derive(Clone, Debug)]
struct Part {
    key: String,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    /// The default's; no row touches it.
    Default(Value),
    /// A cell's, over the default's, which is null where the key is missing.
    Cell { column: usize, base: Value },
    /// The number of the row, which a column may say too.
    Index { column: Option<usize> },
}

/// A piece of a message's line.
#[derive(Clone, Debug)]
enum Piece {
    /// The same in every row.
    Bytes(Vec<u8>),
    /// The value of the part at this place.
    Part(usize),
}

impl Plan {
    /// The plan for a default message and the columns of a file. Two columns of one name are the caller's mistake.
    pub(crate) fn new(default: Map<String, Value>, header: Option<&StringRecord>, target: Target) -> Plan {
        // The order of keys is what a merge makes of them.
        let mut order = default.clone();
        let names = header.into_iter().flatten();
        let row = names.clone().chain([target.index_key()]).map(|key| (key.to_owned(), Value::Null)).collect();
        let columns: HashMap<&str, usize> = names.enumerate().map(|(column, name)| (name, column)).collect();
        merge(&mut order, row, &mut Unobserved);
        let parts: Vec<Part> = order
            .into_iter()
            .map(|(key, _)| {
                let column = columns.get(key.as_str()).copied();
                let content = match (column, default.get(&key)) {
                    (column, _) if key == target.index_key() => Content::Index { column },
                    (Some(column), base) => Content::Cell { column, base: base.cloned().unwrap_or_default() },
                    (None, base) => Content::Default(base.cloned().unwrap_or_default()),
                };
                Part { key, content }
            })
            .collect();
        let pieces = pieces(&parts);
        let mut default_line = Vec::new();
        write_json(&default, &mut default_line);
        Plan { default, default_line, parts, pieces }
    }

    /// The plan for some members of the messages, whatever the others are.
    pub(crate) fn only(mut self, keys: &[&str]) -> Plan {
        self.parts.retain(|part| keys.contains(&part.key.as_str()));
        self.pieces = pieces(&self.parts);
        self
    }

    /// The message of one without a row.
    pub(crate) fn default(&self) -> &Map<String, Value> {
        &self.default
    }

    /// The column that a key of a message is for.
    pub(crate) fn column(&self, key: &str) -> Option<usize> {
        self.parts.iter().find(|part| part.key == key).and_then(|part| match part.content {
            Content::Cell { column, .. } => Some(column),
            _ => None,
        })
    }

    /// The message of a row; `seen` watches where its values come from.
    pub(crate) fn message(&self, row: Row<'_>, seen: &mut impl Observer) -> Result<Map<String, Value>, Flaw> {
        let mut message = Map::with_capacity(self.parts.len());
        for part in &self.parts {
            seen.enter(&part.key);
            let value = match &part.content {
                Content::Default(value) => value.clone(),
                Content::Cell { column, base } => overlay(Cow::Borrowed(base), value(row, *column)?, seen),
                Content::Index { column } => index(row, *column)?.into(),
            };
            seen.leave();
            message.insert(part.key.clone(), value);
        }
        Ok(message)
    }

    /// Adds the message of a row to `out`, as JSON without line breaks. After a flaw, `out` is as it was.
    pub(crate) fn write(&self, row: Row<'_>, out: &mut Vec<u8>) -> Result<(), Flaw> {
        let before = out.len();
        let written = self.pieces.iter().try_for_each(|piece| match piece {
            Piece::Bytes(bytes) => {
                out.extend_from_slice(bytes);
                Ok(())
            }
            Piece::Part(part) => self.write_part(row, *part, out),
        });
        written.inspect_err(|_| out.truncate(before))
    }

    /// Adds the message of one without a row to `out`.
    pub(crate) fn write_default(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.default_line);
    }

    fn write_part(&self, row: Row<'_>, part: usize, out: &mut Vec<u8>) -> Result<(), Flaw> {
        match self.parts.get(part).map(|part| &part.content) {
            Some(Content::Cell { column, base }) => match row.cells.get(*column).unwrap_or_default() {
                text if looks_like_json(text) => {
                    let over = value(row, *column)?;
                    write_json(&overlay(Cow::Borrowed(base), over, &mut Unobserved), out);
                }
                text => write_json(text, out),
            },
            Some(Content::Index { column }) => write_json(&index(row, *column)?, out),
            Some(Content::Default(value)) => write_json(value, out),
            None => {}
        }
        Ok(())
    }
}

/// Checks one cell of a row on its own.
pub(crate) fn check_cell(row: Row<'_>, column: usize, name: &str, target: Target) -> Result<(), Flaw> {
    if name == target.index_key() {
        index(row, Some(column))?;
    } else {
        value(row, column)?;
    }
    Ok(())
}

/// What a cell says: JSON where it looks like it, else its text.
fn value(row: Row<'_>, column: usize) -> Result<Value, Flaw> {
    let text = row.cells.get(column).unwrap_or_default();
    match looks_like_json(text) {
        true => read_cell(text, CELL_DEPTH).map_err(|faults| Flaw::json(row, column, faults)),
        false => Ok(Value::from(text)),
    }
}

/// The number of a row; a cell that says it must say the same.
fn index(row: Row<'_>, column: Option<usize>) -> Result<u64, Flaw> {
    if let Some(column) = column {
        let text = row.cells.get(column).unwrap_or_default();
        if text.parse() != Ok(row.index) {
            return Err(Flaw::index(row, column, text));
        }
    }
    Ok(row.index)
}

fn pieces(parts: &[Part]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut bytes = vec![b'{'];
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            bytes.push(b',');
        }
        write_json(&part.key, &mut bytes);
        bytes.push(b':');
        match &part.content {
            Content::Default(value) => write_json(value, &mut bytes),
            _ => pieces.extend([Piece::Bytes(std::mem::take(&mut bytes)), Piece::Part(index)]),
        }
    }
    bytes.push(b'}');
    pieces.push(Piece::Bytes(bytes));
    pieces
}

fn write_json<T: serde::Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    // Writing to memory does not fail, and keys are always texts.
    let _ = serde_json::to_writer(out, value);
}
