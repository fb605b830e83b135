//! Finds a cell of a CSV file again, to show it.
//!
//! The reader of rows keeps no places but the start of a record; the few cells that somebody must see are looked up by
//! running the same parser over the record's bytes once more.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use csv_core::ReadFieldResult;

use crate::mistake::Excerpt;
use crate::rows::Start;
use crate::text::{Position, Span};

/// How much of a record is looked through. What lies behind is shown at the record's start.
const WINDOW_BYTES: u64 = 256 << 10;

/// Reads at most `limit` bytes of a file from `byte` on, less a byte order mark.
pub(crate) fn read_from(path: &Path, byte: u64, limit: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(byte))?;
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    if byte == 0 && bytes.starts_with(b"\xef\xbb\xbf") {
        bytes.drain(..3);
    }
    Ok(bytes)
}

/// The lines around a cell of the record that starts at `start`, or around a part of the cell's content, in bytes.
/// Without a column, the record's first line is marked.
pub(crate) fn locate(
    path: &Path,
    name: &str,
    start: Start,
    column: Option<usize>,
    within: Option<Span>,
) -> Option<Excerpt> {
    let bytes = read_from(path, start.byte, WINDOW_BYTES).ok()?;
    // A record is said to start right behind the one before: at the rest of a CRLF, or at blank lines.
    let blank = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let (skipped, bytes) = bytes.split_at_checked(blank)?;
    let first_line = start.line + newlines(skipped);
    let marked = match column {
        Some(column) => mark_cell(bytes, column, within).unwrap_or_default(),
        None => Span::new(0, bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(bytes.len())),
    };
    let (before, rest) = bytes.split_at_checked(marked.start)?;
    let (marked_bytes, after) = rest.split_at_checked(marked.end - marked.start)?;
    let before = String::from_utf8_lossy(before);
    let shown = String::from_utf8_lossy(marked_bytes);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let position = Position {
        line: first_line + newlines(before.as_bytes()),
        column: before.get(line_start..).unwrap_or_default().chars().count() as u64 + 1,
    };
    let span = Span::new(before.len(), before.len() + shown.len());
    let text = format!("{before}{shown}{}", String::from_utf8_lossy(after));
    Some(Excerpt::cut(name, &text, first_line, position, span))
}

/// Where each cell of the record starts that starts at `start`, as far as the record can be read.
pub(crate) fn cell_positions(path: &Path, start: Start, cells: usize, limit: u64) -> Vec<Position> {
    let bytes = read_from(path, start.byte, limit).unwrap_or_default();
    let blank = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let (skipped, mut rest) = bytes.split_at_checked(blank).unwrap_or_default();
    let mut position = Position { line: start.line + newlines(skipped), column: 1 };
    let mut parser = csv_core::Reader::new();
    let mut positions = Vec::new();
    while positions.len() < cells
        && let Some((cell, behind)) = skip_cell(&mut parser, rest).and_then(|length| rest.split_at_checked(length))
    {
        positions.push(position);
        let text = String::from_utf8_lossy(cell);
        let last_line = text.rsplit('\n').next().unwrap_or_default();
        let columns = last_line.chars().count() as u64;
        position.column = if last_line.len() == text.len() { position.column + columns } else { columns + 1 };
        position.line += newlines(cell);
        rest = behind;
    }
    positions
}

fn newlines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|&&byte| byte == b'\n').count() as u64
}

/// The bytes of a cell, quotes included, or of a part of its content.
fn mark_cell(bytes: &[u8], column: usize, within: Option<Span>) -> Option<Span> {
    let mut parser = csv_core::Reader::new();
    let mut at = 0;
    for _ in 0..column {
        at += skip_cell(&mut parser, bytes.get(at..)?)?;
    }
    let Some(within) = within else {
        let length = skip_cell(&mut parser, bytes.get(at..)?)?;
        let cell = bytes.get(at..at + length)?;
        let end = match cell.last() {
            Some(b',' | b'\n' | b'\r') => length - 1,
            _ => length,
        };
        return Some(Span::new(at, at + end));
    };
    // Fed byte by byte, the parser says which byte of the file becomes which byte of the content.
    let (mut content, mut from) = (0, None);
    loop {
        let mut output = [0];
        let (result, read, written) = parser.read_field(bytes.get(at..)?, &mut output);
        at += read;
        if written == 1 {
            if content == within.start {
                from = Some(at - 1);
            }
            content += 1;
            if content >= within.end && content > within.start {
                return Some(Span::new(from.unwrap_or(at - 1), at));
            }
        }
        match result {
            ReadFieldResult::OutputFull => {}
            // The content ends here: what is missing would have to follow.
            ReadFieldResult::Field { .. } => {
                let end = at - 1;
                let quoted = bytes.get(end.checked_sub(1)?) == Some(&b'"');
                let end = if quoted && from.is_none() { end - 1 } else { end };
                return Some(Span::new(from.unwrap_or(end), end));
            }
            ReadFieldResult::InputEmpty => return from.map(|from| Span::new(from, at)),
            ReadFieldResult::End => return Some(Span::new(from.unwrap_or(at), at)),
        }
    }
}

/// How many bytes the next cell takes, with the comma or line break behind it.
fn skip_cell(parser: &mut csv_core::Reader, bytes: &[u8]) -> Option<usize> {
    let mut output = [0; 1024];
    let mut at = 0;
    loop {
        let (result, read, _) = parser.read_field(bytes.get(at..)?, &mut output);
        at += read;
        match result {
            ReadFieldResult::Field { .. } => return Some(at),
            ReadFieldResult::OutputFull => {}
            ReadFieldResult::InputEmpty | ReadFieldResult::End => {
                return (at > 0 || matches!(result, ReadFieldResult::End)).then_some(at);
            }
        }
    }
}
