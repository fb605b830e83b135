//! The third layer: the rows of `data_agent.csv` and `data_job.csv`, one at a time.
//!
//! A file may have a million rows, so nothing here grows with it: one record is in memory, a row has a largest size,
//! and a flaw remembers where it is instead of what it looks like.

use std::collections::{HashMap, HashSet};
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use csv::{ErrorKind, StringRecord};

use crate::json::Fault;
use crate::locate::{cell_positions, locate, read_from};
use crate::mistake::{Mistake, Mistakes};
use crate::origin::Place;
use crate::suggest::{counted, quoted, thousands};
use crate::text::{Position, Span, open_in, unreadable};

/// The most that one row may have; beyond it, most likely a quote was never closed.
const MAX_ROW_BYTES: u64 = 16 << 20;

/// How much is read from the disk at once.
const BUFFER_BYTES: usize = 64 << 10;

/// Whom the rows of a CSV file are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Agent,
    Job,
}

impl Target {
    /// The file, relative to the project.
    pub(crate) const fn file(self) -> &'static str {
        match self {
            Target::Agent => "config/data_agent.csv",
            Target::Job => "config/data_job.csv",
        }
    }

    /// The key that says which one a row is for.
    pub(crate) const fn index_key(self) -> &'static str {
        match self {
            Target::Agent => "targetted_agent",
            Target::Job => "targetted_job",
        }
    }

    /// The word for one of them.
    pub(crate) const fn noun(self) -> &'static str {
        match self {
            Target::Agent => "agent",
            Target::Job => "job",
        }
    }

    /// The key of the run's message that says how many there are.
    pub(crate) const fn count_key(self) -> &'static str {
        match self {
            Target::Agent => "number_of_agents",
            Target::Job => "number_of_jobs",
        }
    }

    /// The keys that Armada itself sets when a run starts. A row must not: agents trust these.
    pub(crate) const fn injected(self) -> &'static [&'static str] {
        match self {
            Target::Agent => &["run_id", "component"],
            Target::Job => &["run_id"],
        }
    }
}

/// Where a record starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) byte: u64,
    pub(crate) line: u64,
}

/// What tells whether a file is still the one that was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    bytes: u64,
    modified: Option<SystemTime>,
}

impl Fingerprint {
    fn of(metadata: &Metadata) -> Fingerprint {
        Fingerprint { bytes: metadata.len(), modified: metadata.modified().ok() }
    }
}

/// One row.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    /// Which one it is, from 0.
    pub(crate) index: u64,
    pub(crate) start: Start,
    pub(crate) cells: &'a StringRecord,
}

/// Something wrong with a row, or with the header.
pub(crate) struct Flaw {
    /// The row; none for the header.
    row: Option<u64>,
    start: Start,
    kind: FlawKind,
}

enum FlawKind {
    /// There are more or fewer cells than columns.
    Cells { found: usize, expected: usize },
    /// A cell is not UTF-8.
    Encoding { column: usize, at: usize },
    /// The row is larger than rows are.
    Size,
    /// The file ends inside quotes; the number of the last cell.
    OpenQuote { column: usize },
    /// A cell looks like JSON and is not, or would lose something.
    Json { column: usize, faults: Vec<Fault> },
    /// A cell names another agent or job than its row is for.
    Index { column: usize, found: String },
    /// Anything else about a cell.
    Cell { column: usize, message: String, help: Option<String> },
    /// Reading failed.
    Io(io::Error),
}

impl Flaw {
    pub(crate) fn json(row: Row<'_>, column: usize, faults: Vec<Fault>) -> Flaw {
        Flaw { row: Some(row.index), start: row.start, kind: FlawKind::Json { column, faults } }
    }

    /// A flaw for each fault, where a cell has several.
    pub(crate) fn each(self) -> Vec<Flaw> {
        let Flaw { row, start, kind } = self;
        match kind {
            FlawKind::Json { column, faults } => {
                let of = |fault| Flaw { row, start, kind: FlawKind::Json { column, faults: vec![fault] } };
                faults.into_iter().map(of).collect()
            }
            kind => vec![Flaw { row, start, kind }],
        }
    }

    pub(crate) fn index(row: Row<'_>, column: usize, found: &str) -> Flaw {
        let found = quoted(found);
        Flaw { row: Some(row.index), start: row.start, kind: FlawKind::Index { column, found } }
    }

    pub(crate) fn cell(row: Row<'_>, column: usize, message: String, help: Option<String>) -> Flaw {
        Flaw { row: Some(row.index), start: row.start, kind: FlawKind::Cell { column, message, help } }
    }
}

/// The rows of a CSV file that has a header.
pub(crate) struct Rows {
    target: Target,
    path: PathBuf,
    fingerprint: Fingerprint,
    reader: csv::Reader<Bounded>,
    header: StringRecord,
    header_start: Start,
    record: StringRecord,
    last: Start,
    last_end: u64,
    last_row: Option<u64>,
    last_cells: usize,
    next: u64,
    done: bool,
}

impl Rows {
    /// Opens the CSV file of the project at `root`; `None` if there is none, or nothing in it.
    pub(crate) fn open(root: &Path, target: Target) -> Result<Option<Rows>, Mistake> {
        let path = root.join(target.file());
        let Some(file) = open_in(root, target.file())? else { return Ok(None) };
        let metadata = file.metadata().map_err(|error| unreadable(target.file(), &error))?;
        let fingerprint = Fingerprint::of(&metadata);
        let reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .buffer_capacity(BUFFER_BYTES)
            .from_reader(Bounded { file, left: MAX_ROW_BYTES });
        let mut rows = Rows {
            target,
            path,
            fingerprint,
            reader,
            header: StringRecord::new(),
            header_start: Start::default(),
            record: StringRecord::new(),
            last: Start::default(),
            last_end: 0,
            last_row: None,
            last_cells: 0,
            next: 0,
            done: false,
        };
        match rows.advance(None) {
            Ok(false) => Ok(None),
            Ok(true) => {
                rows.header = rows.record.clone();
                rows.header_start = rows.last;
                Ok(Some(rows))
            }
            Err(flaw) => Err(rows.mistake(&flaw)),
        }
    }

    pub(crate) fn target(&self) -> Target {
        self.target
    }

    pub(crate) fn header(&self) -> &StringRecord {
        &self.header
    }

    /// What the file was when it was opened.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Whether the file is still what it was when it was opened.
    pub(crate) fn is_unchanged(&self) -> bool {
        let metadata = self.reader.get_ref().file.metadata();
        metadata.is_ok_and(|metadata| Fingerprint::of(&metadata) == self.fingerprint)
    }

    /// How many rows have been read.
    pub(crate) fn count(&self) -> u64 {
        self.next
    }

    /// The row that was read last.
    pub(crate) fn row(&self) -> Row<'_> {
        Row { index: self.next.saturating_sub(1), start: self.last, cells: &self.record }
    }

    /// Reads a row. After a flaw of one row the next is read; at the end, and where reading cannot go on: `None`.
    pub(crate) fn read(&mut self) -> Option<Result<(), Flaw>> {
        if self.done {
            return None;
        }
        let index = self.next;
        match self.advance(Some(index)) {
            Ok(false) => None,
            Err(flaw) => {
                self.next += u64::from(matches!(flaw.kind, FlawKind::Encoding { .. }));
                Some(Err(flaw))
            }
            Ok(true) => {
                self.next += 1;
                let (found, expected) = (self.record.len(), self.header.len());
                if found != expected {
                    let kind = FlawKind::Cells { found, expected };
                    return Some(Err(Flaw { row: Some(index), start: self.last, kind }));
                }
                Some(Ok(()))
            }
        }
    }

    /// Reads a record, and at the end makes sure that the one before was whole.
    fn advance(&mut self, row: Option<u64>) -> Result<bool, Flaw> {
        let start = Start { byte: self.reader.position().byte(), line: self.reader.position().line() };
        let flaw = |kind| Flaw { row, start, kind };
        match self.reader.read_record(&mut self.record) {
            Ok(true) => {
                self.reader.get_mut().left = MAX_ROW_BYTES;
                (self.last, self.last_row, self.last_cells) = (start, row, self.record.len());
                self.last_end = self.reader.position().byte();
                Ok(true)
            }
            Ok(false) => {
                self.done = true;
                if self.last_cells > 0 && self.ends_in_quotes().unwrap_or(false) {
                    let kind = FlawKind::OpenQuote { column: self.last_cells - 1 };
                    return Err(Flaw { row: self.last_row, start: self.last, kind });
                }
                Ok(false)
            }
            Err(error) => {
                let too_large = self.reader.get_ref().left == 0;
                let kind = match error.into_kind() {
                    ErrorKind::Utf8 { err, .. } => {
                        self.reader.get_mut().left = MAX_ROW_BYTES;
                        self.last = start;
                        return Err(flaw(FlawKind::Encoding { column: err.field(), at: err.valid_up_to() }));
                    }
                    ErrorKind::Io(_) if too_large => FlawKind::Size,
                    ErrorKind::Io(error) => FlawKind::Io(error),
                    other => FlawKind::Io(io::Error::other(format!("{other:?}"))),
                };
                self.done = true;
                Err(flaw(kind))
            }
        }
    }

    /// Whether the last record goes on at the end of the file: then a line break does not end it.
    fn ends_in_quotes(&self) -> io::Result<bool> {
        let mut bytes = read_from(&self.path, self.last.byte, MAX_ROW_BYTES + 1)?;
        if !bytes.contains(&b'"') {
            return Ok(false);
        }
        bytes.push(b'\n');
        let mut parser = csv_core::Reader::new();
        let (mut rest, mut output, mut ends) = (bytes.as_slice(), vec![0; BUFFER_BYTES], vec![0; 1024]);
        loop {
            let (result, read, _, _) = parser.read_record(rest, &mut output, &mut ends);
            rest = rest.get(read..).unwrap_or_default();
            match result {
                csv_core::ReadRecordResult::Record => return Ok(false),
                csv_core::ReadRecordResult::InputEmpty | csv_core::ReadRecordResult::End => return Ok(true),
                // The content is of no interest: the same space is filled again.
                csv_core::ReadRecordResult::OutputFull | csv_core::ReadRecordResult::OutputEndsFull => {}
            }
        }
    }

    /// Checks the names of the columns.
    pub(crate) fn check_header(&self, mistakes: &mut Mistakes) {
        let mut names = HashSet::new();
        for (column, name) in self.header.iter().enumerate() {
            let (message, help) = if name.is_empty() {
                let message = format!("the name of column {} is empty", thousands(column as u64 + 1));
                (message, "the first row names the keys that the cells below are for".to_owned())
            } else if !names.insert(name) {
                (format!("there are two columns {}", quoted(name)), "keep one of the two".to_owned())
            } else if self.target.injected().contains(&name) {
                let message = format!("`{name}` is set by Armada and cannot be a column");
                (message, "give the column another name".to_owned())
            } else {
                continue;
            };
            mistakes
                .report(self.target.file(), || self.show(self.header_start, Some(column), None, message).help(help));
        }
    }

    /// The mistake that a flaw is, which shows its place.
    pub(crate) fn mistake(&self, flaw: &Flaw) -> Mistake {
        let show = |column, within, message| {
            let mistake = self.show(flaw.start, column, within, message);
            match flaw.row {
                Some(row) => mistake.in_row(row, column.and_then(|column| self.header.get(column))),
                None => mistake,
            }
        };
        match &flaw.kind {
            FlawKind::Cells { found, expected } => {
                let message = format!(
                    "{} in this row, but the header has {}",
                    counted(*found as u64, "cell"),
                    thousands(*expected as u64)
                );
                show(None, None, message).help(match found > expected {
                    true => "a cell with a comma or a line break in it must be in double quotes",
                    false => "every row has a cell for each column; an empty one is written as nothing between commas",
                })
            }
            FlawKind::Encoding { column, at } => {
                show(Some(*column), Some(Span::new(*at, at + 1)), "not UTF-8".to_owned()).help("save the file in UTF-8")
            }
            FlawKind::Size => {
                let message = format!("this row is larger than {} MiB", MAX_ROW_BYTES >> 20);
                show(None, None, message).help("is there a double quote that is never closed?")
            }
            FlawKind::OpenQuote { column } => {
                let message = "the file ends inside double quotes".to_owned();
                show(Some(*column), None, message).help("close the quote that starts this cell")
            }
            FlawKind::Json { column, faults } => {
                let fault = faults.first();
                let message = fault.map_or("not JSON", |fault| fault.message.as_str());
                let syntax = fault.is_some_and(|fault| fault.syntax);
                let message = match syntax {
                    true => format!("this cell looks like JSON, but is not: {message}"),
                    false => message.to_owned(),
                };
                let mistake = show(Some(*column), fault.map(|fault| fault.span), message);
                let text = "to keep the cell as text, put a space in front of it".to_owned();
                mistake.help(match fault.and_then(|fault| fault.help.clone()) {
                    Some(help) if syntax => format!("{help}; {text}"),
                    Some(help) => help,
                    None => text,
                })
            }
            FlawKind::Index { column, found } => {
                let row = flaw.row.unwrap_or(0);
                let message =
                    format!("`{}` must be the number of its row, {row}, found {found}", self.target.index_key());
                show(Some(*column), None, message)
                    .help("rows are numbered from 0; the column is not needed, and can be removed")
            }
            FlawKind::Cell { column, message, help } => {
                let mistake = show(Some(*column), None, message.clone());
                match help {
                    Some(help) => mistake.help(help),
                    None => mistake,
                }
            }
            FlawKind::Io(error) => unreadable(self.target.file(), error),
        }
    }

    /// A mistake of the row that starts there: at a cell, or in the middle of one.
    pub(crate) fn show(&self, start: Start, column: Option<usize>, within: Option<Span>, message: String) -> Mistake {
        match locate(&self.path, self.target.file(), start, column, within) {
            Some(excerpt) => Mistake::new(self.target.file(), message).at(excerpt),
            None => Mistake::new(self.target.file(), message),
        }
    }

    /// Where the cells of the row that was read last stand, by the names of their columns.
    pub(crate) fn places(&self) -> HashMap<&str, Place> {
        // No further than the row: all rows are read again once at most.
        let length = self.last_end.saturating_sub(self.last.byte);
        let positions = cell_positions(&self.path, self.last, self.header.len(), length);
        let named = self.header.iter().zip(positions);
        named
            .map(|(name, Position { line, column })| {
                (name, Place { file: self.target.file().to_owned(), line, column })
            })
            .collect()
    }
}

/// A file that ends reading with an error when a row takes more than it may.
struct Bounded {
    file: File,
    left: u64,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::Error::other("the row is too large"));
        }
        let read = loop {
            match self.file.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.left = self.left.saturating_sub(read as u64);
        Ok(read)
    }
}
