//! Where a value of a final message came from, for `--explain`.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use crate::path::ValuePath;

/// A place in a file of the project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The file, relative to the project.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
    /// The column in characters, from 1.
    pub column: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// The layer that a value came from, and where in it.
///
/// Serialises with the layer's name as `layer`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "layer", rename_all = "snake_case")]
pub enum Origin {
    /// The template.
    Template {
        /// The value there.
        place: Place,
    },
    /// The tune file.
    Tune {
        /// The value there.
        place: Place,
        /// The placeholder in the template that it fills.
        placeholder: Place,
    },
    /// The command line.
    CommandLine {
        /// The option, such as `--set NAME`.
        option: String,
        /// The placeholder in the template that it fills, if it fills one.
        #[serde(skip_serializing_if = "Option::is_none")]
        placeholder: Option<Place>,
    },
    /// A row of a CSV file.
    Csv {
        /// The cell.
        place: Place,
        /// The row, from 0.
        row: u64,
        /// The name of the column.
        column: String,
    },
    /// The number of the row itself.
    Row {
        /// The CSV file.
        file: String,
        /// The row, from 0.
        row: u64,
    },
    /// Nothing says it: it is the number of rows of a CSV file.
    Counted {
        /// The CSV file.
        file: String,
    },
    /// Armada set it when the run started.
    Injected,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Template { place } => write!(f, "{place}"),
            Origin::Tune { place, placeholder } => write!(f, "{place}, for the placeholder at {placeholder}"),
            Origin::CommandLine { option, placeholder: Some(placeholder) } => {
                write!(f, "{option}, for the placeholder at {placeholder}")
            }
            Origin::CommandLine { option, placeholder: None } => write!(f, "{option}"),
            Origin::Csv { place, row, column } => write!(f, "{place}, row {row}, column `{column}`"),
            Origin::Row { file, row } => write!(f, "row {row} of {file}"),
            Origin::Counted { file } => write!(f, "the number of rows of {file}"),
            Origin::Injected => f.write_str("set by Armada"),
        }
    }
}

/// One value of a message, and where it came from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explained {
    /// The way to it. Objects and lists are taken apart down to values that have nothing inside.
    pub path: ValuePath,
    /// The value.
    pub value: Value,
    /// Where it came from.
    pub origin: Origin,
}
