//! The text files of a project, with the lines and columns that a person sees in an editor.
//!
//! Everything in here is written by somebody else, so nothing is taken for granted: size, kind of file and encoding
//! are checked before the first parser sees the text. Offsets are bytes; columns count characters, from 1.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;

use crate::mistake::{Excerpt, Mistake};

/// The most that a JSON file may hold. It is read as a whole, and a copy of its content goes into every message.
pub(crate) const MAX_JSON_BYTES: u64 = 4 << 20;

/// The byte order mark that some editors put in front of UTF-8.
const BOM: char = '\u{feff}';

/// How far apart the places are at which the number of characters before is known.
const STRIDE: usize = 1024;

/// A part of a text, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    /// Where it starts.
    pub(crate) start: usize,
    /// Where it ends, exclusive.
    pub(crate) end: usize,
}

impl Span {
    /// From `start` to `end`, which is moved to `start` if it lies before.
    pub(crate) fn new(start: usize, end: usize) -> Span {
        Span { start, end: end.max(start) }
    }
}

/// A line and a column, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    /// The line.
    pub(crate) line: u64,
    /// The column, in characters.
    pub(crate) column: u64,
}

/// A whole text file in memory.
#[derive(Debug)]
pub(crate) struct SourceFile {
    name: Arc<str>,
    text: String,
    line_starts: Vec<usize>,
    /// Characters before byte 0, `STRIDE`, 2 × `STRIDE`, …: a template on one line must not cost a scan per place.
    chars_before: Vec<usize>,
}

impl SourceFile {
    /// A text that is called `name` in mistakes. A byte order mark is dropped.
    pub(crate) fn new(name: impl Into<Arc<str>>, text: String) -> SourceFile {
        let text = match text.strip_prefix(BOM) {
            Some(rest) => rest.to_owned(),
            None => text,
        };
        let newlines = text.bytes().enumerate().filter(|&(_, byte)| byte == b'\n').map(|(at, _)| at + 1);
        let line_starts = std::iter::once(0).chain(newlines).collect();
        let mut total = 0;
        let chars_before = text
            .as_bytes()
            .chunks(STRIDE)
            .map(|chunk| {
                let before = total;
                total += characters(chunk);
                before
            })
            .collect();
        SourceFile { name: name.into(), text, line_starts, chars_before }
    }

    /// Reads the JSON file at `path`; nothing is there: `None`.
    pub(crate) fn read(path: &Path, name: &str) -> Result<Option<SourceFile>, Mistake> {
        let Some(file) = open_regular(path, name)? else { return Ok(None) };
        Self::from_json(file, name).map(Some)
    }

    /// Reads a JSON file of the project in `root`; nothing is there: `None`.
    pub(crate) fn read_in(root: &Path, name: &str) -> Result<Option<SourceFile>, Mistake> {
        let Some(file) = open_in(root, name)? else { return Ok(None) };
        Self::from_json(file, name).map(Some)
    }

    fn from_json(file: File, name: &str) -> Result<SourceFile, Mistake> {
        let bytes = bytes_of(file, name, MAX_JSON_BYTES)
            .map_err(|mistake| mistake.help("put long lists into the CSV files: each row is one agent or job"))?;
        Self::from_bytes(name, bytes)
    }

    /// The text in `bytes`, which must be UTF-8.
    pub(crate) fn from_bytes(name: &str, bytes: Vec<u8>) -> Result<SourceFile, Mistake> {
        String::from_utf8(bytes).map(|text| SourceFile::new(name, text)).map_err(|error| {
            let valid = error.utf8_error().valid_up_to();
            let lossy = SourceFile::new(name, String::from_utf8_lossy(error.as_bytes()).into_owned());
            // Up to the first wrong byte, the lossy text is the file, less a byte order mark.
            let dropped = if error.as_bytes().starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
            let at = valid.saturating_sub(dropped);
            lossy
                .mistake(Span::new(at, at + '\u{fffd}'.len_utf8()), "not UTF-8")
                .label("this byte is not UTF-8")
                .help("save the file in UTF-8")
        })
    }

    /// What mistakes call the file.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The text, without a byte order mark.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The line and column of a byte.
    pub(crate) fn position(&self, offset: usize) -> Position {
        let offset = offset.min(self.text.len());
        let line = self.line_starts.partition_point(|&start| start <= offset);
        let start = line.checked_sub(1).and_then(|line| self.line_starts.get(line)).copied().unwrap_or(0);
        Position { line: line as u64, column: self.chars_to(offset).saturating_sub(self.chars_to(start)) as u64 + 1 }
    }

    /// A mistake at `span`, showing the lines around it.
    pub(crate) fn mistake(&self, span: Span, message: impl Into<String>) -> Mistake {
        let position = self.position(span.start);
        let line = position.line as usize;
        let first = line.saturating_sub(2);
        let from = self.line_starts.get(first).copied().unwrap_or(0);
        let to = self.line_starts.get(line + 1).copied().unwrap_or(self.text.len());
        let lines = self.text.get(from..to).unwrap_or_default();
        let within = Span::new(span.start.saturating_sub(from), span.end.saturating_sub(from));
        Mistake::new(&self.name, message).at(Excerpt::cut(&self.name, lines, first as u64 + 1, position, within))
    }

    /// Characters before `offset`.
    fn chars_to(&self, offset: usize) -> usize {
        let stride = (offset / STRIDE).min(self.chars_before.len().saturating_sub(1));
        let known = self.chars_before.get(stride).copied().unwrap_or(0);
        let rest = self.text.as_bytes().get(stride * STRIDE..offset).unwrap_or_default();
        known + characters(rest)
    }
}

/// Opens a regular file for reading; nothing is there: `None`. A pipe or a device is refused before it can block.
pub(crate) fn open_regular(path: &Path, name: &str) -> Result<Option<File>, Mistake> {
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(name, &error)),
    };
    if !metadata.is_file() {
        return Err(Mistake::new(name, "not a file"));
    }
    File::open(path).map(Some).map_err(|error| unreadable(name, &error))
}

/// The same for a file of the project in `root`. A link that leads out of it is refused: what a project contains
/// becomes part of what its script is told, and that must not be a file of whoever runs it.
pub(crate) fn open_in(root: &Path, name: &str) -> Result<Option<File>, Mistake> {
    let path = root.join(name);
    let opened = open_regular(&path, name)?;
    if opened.is_some() {
        let inside = || Ok::<_, std::io::Error>(path.canonicalize()?.starts_with(root.canonicalize()?));
        if !inside().map_err(|error| unreadable(name, &error))? {
            return Err(Mistake::new(name, "this link leads out of the project").help("put a copy in its place"));
        }
    }
    Ok(opened)
}

/// The bytes of a file of the project in `root`, of at most so many; nothing is there: `None`.
pub(crate) fn read_in(root: &Path, name: &str, most: u64) -> Result<Option<Vec<u8>>, Mistake> {
    let Some(file) = open_in(root, name)? else { return Ok(None) };
    bytes_of(file, name, most).map(Some)
}

fn bytes_of(file: File, name: &str, most: u64) -> Result<Vec<u8>, Mistake> {
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).map_err(|error| unreadable(name, &error))?;
    match bytes.len() as u64 > most {
        true => Err(Mistake::new(name, format!("larger than {} MiB", most >> 20))),
        false => Ok(bytes),
    }
}

/// The mistake for a file that cannot be read.
pub(crate) fn unreadable(name: &str, error: &std::io::Error) -> Mistake {
    Mistake::new(name, format!("cannot be read: {error}"))
}

/// Characters in a piece of UTF-8, which may start or end inside one: every byte that starts a character counts.
fn characters(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&byte| byte & 0xc0 != 0x80).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_also_far_into_a_line() {
        let text = format!("{}x\n{}y", "é".repeat(3000), "€".repeat(2000));
        let file = SourceFile::new("f", text.clone());
        let x = text.find('x').unwrap();
        assert_eq!(file.position(x), Position { line: 1, column: 3001 });
        let y = text.find('y').unwrap();
        assert_eq!(file.position(y), Position { line: 2, column: 2001 });
        assert_eq!(file.position(usize::MAX), Position { line: 2, column: 2002 });
    }

    #[test]
    fn the_byte_order_mark_has_no_column() {
        let file = SourceFile::new("f", "\u{feff}{}".to_owned());
        assert_eq!(file.text(), "{}");
        assert_eq!(file.position(0), Position { line: 1, column: 1 });
    }

    #[test]
    fn bytes_that_are_not_utf8_are_shown_where_they_are() {
        let mistake = SourceFile::from_bytes("f", b"\xef\xbb\xbf{\n \"\xff\"}".to_vec()).unwrap_err();
        assert_eq!((mistake.line(), mistake.column()), (Some(2), Some(3)));
    }

    #[test]
    fn folders_and_devices_are_not_files() {
        assert!(SourceFile::read(Path::new("/"), "f").is_err());
        assert!(SourceFile::read(Path::new("/dev/zero"), "f").is_err());
        assert!(SourceFile::read(Path::new("/nowhere/at/all"), "f").unwrap().is_none());
    }
}
