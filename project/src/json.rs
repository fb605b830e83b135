//! Reads JSON strictly, keeps every number as it was written, and knows where everything stands.
//!
//! The grammar is `jiter`'s, which is RFC 8259 and nothing more. What JSON allows but cannot survive a trip through
//! programs is refused here: two keys with one name, a number that no 64-bit integer or float holds, nesting that
//! other parsers give up on. One reader serves files (a [`Node`] tree with places) and CSV cells (plain values).

use jiter::{Jiter, JiterError, JiterErrorType, JsonErrorType, Peek};
use serde_json::{Map, Number, Value};

use crate::mistake::Mistake;
use crate::node::{Node, Source};
use crate::suggest::shown;
use crate::text::{SourceFile, Span};

/// How deep objects and lists may nest, in a file and in a message.
///
/// `serde_json` reads 127 levels; a job message travels inside three levels of its own and must be readable there.
pub(crate) const MAX_DEPTH: usize = 120;

/// Faults of one text that are collected; a text full of them is not worth reading on.
const MAX_FAULTS: usize = 100;

const TOO_LONG: &str = "this whole number does not fit into 64 bits, and would lose digits";

/// What to do about a number that no 64-bit number holds. A setting of Armada's own does not take a string instead.
const IN_RANGE: &str = "write a number that fits; what only your script reads may also be a string";

/// Something in a text that is not acceptable.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    /// Where.
    pub(crate) span: Span,
    /// What is wrong.
    pub(crate) message: String,
    /// What to do, where that is known.
    pub(crate) help: Option<String>,
    /// Whether the text is not JSON at all (rather than JSON that would lose something).
    pub(crate) syntax: bool,
}

impl Fault {
    /// The mistake that this fault of a file's text is.
    pub(crate) fn in_file(self, file: &SourceFile) -> Mistake {
        let mistake = file.mistake(self.span, self.message);
        match self.help {
            Some(help) => mistake.help(help),
            None => mistake,
        }
    }
}

/// What the reader builds.
pub(crate) trait Tree: Sized {
    /// The members of an object while it is read.
    type Members: Default;
    /// A null, boolean, number or string.
    fn leaf(value: Value, span: Span) -> Self;
    /// A value that is not acceptable, which a fault says.
    fn lost(span: Span) -> Self;
    /// A list.
    fn list(items: Vec<Self>, span: Span) -> Self;
    /// An object.
    fn object(members: Self::Members, span: Span) -> Self;
    /// Adds a member; `false` if there is one of that name, which stays.
    fn insert(members: &mut Self::Members, key: String, key_span: Span, value: Self) -> bool;
}

impl Tree for Value {
    type Members = Map<String, Value>;

    fn leaf(value: Value, _: Span) -> Self {
        value
    }

    fn lost(_: Span) -> Self {
        Value::Null
    }

    fn list(items: Vec<Self>, _: Span) -> Self {
        Value::Array(items)
    }

    fn object(members: Self::Members, _: Span) -> Self {
        Value::Object(members)
    }

    fn insert(members: &mut Self::Members, key: String, _: Span, value: Self) -> bool {
        match members.entry(key) {
            serde_json::map::Entry::Occupied(_) => false,
            serde_json::map::Entry::Vacant(place) => {
                place.insert(value);
                true
            }
        }
    }
}

/// Reads a JSON text into a tree with places, which all lie in `source`, and says what is wrong with it. There is a
/// tree unless the text is no JSON: what is not acceptable is unknown in it, so that everything else can still be
/// checked.
pub(crate) fn read(text: &str, source: Source) -> (Option<Node>, Vec<Fault>) {
    let mut reader = Reader::new(text, false);
    let mut root: Option<Node> = reader.document(0);
    if let Some(root) = &mut root {
        root.set_source(source);
    }
    (root, reader.faults)
}

/// Reads a JSON text as a plain value, as `--set NAME=VALUE` does.
pub(crate) fn read_value(text: &str) -> Result<Value, Vec<Fault>> {
    Reader::new(text, false).finish(0)
}

/// Whether a CSV cell, or a string inside one, is to be read as JSON.
pub(crate) fn looks_like_json(text: &str) -> bool {
    matches!((text.as_bytes().first(), text.as_bytes().last()), (Some(b'{'), Some(b'}')) | (Some(b'['), Some(b']')))
}

/// Reads a CSV cell that [looks like JSON](looks_like_json). Strings inside it that look so too are read again, unless
/// they are not JSON: to quote them was somebody's intent. `depth` is how deep the cell's value lies in its message.
pub(crate) fn read_cell(text: &str, depth: usize) -> Result<Value, Vec<Fault>> {
    Reader::new(text, true).finish(depth)
}

/// The reader could not go on; its faults say why.
struct Stop;

struct Reader<'a> {
    text: &'a str,
    jiter: Jiter<'a>,
    /// Whether strings that look like JSON are read again.
    again: bool,
    faults: Vec<Fault>,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str, again: bool) -> Reader<'a> {
        Reader { text, jiter: Jiter::new(text.as_bytes()), again, faults: Vec::new() }
    }

    fn finish(mut self, depth: usize) -> Result<Value, Vec<Fault>> {
        match self.document(depth) {
            Some(value) if self.faults.is_empty() => Ok(value),
            _ => Err(self.faults),
        }
    }

    fn document<T: Tree>(&mut self, depth: usize) -> Option<T> {
        let value = self.peek().and_then(|peek| self.value(peek, depth)).ok()?;
        self.jiter.finish().map_err(|error| self.syntax(error)).ok()?;
        Some(value)
    }

    fn peek(&mut self) -> Result<Peek, Stop> {
        self.jiter.peek().map_err(|error| self.syntax(error))
    }

    /// Reads the value that starts at the current place, which lies inside `depth` objects and lists.
    fn value<T: Tree>(&mut self, peek: Peek, depth: usize) -> Result<T, Stop> {
        let start = self.jiter.current_index();
        match peek {
            Peek::Object | Peek::Array if depth >= MAX_DEPTH => {
                self.fault(Span::new(start, start + 1), format!("nested more than {MAX_DEPTH} levels deep"), None)?;
                Err(Stop)
            }
            Peek::Object => self.object(start, depth),
            Peek::Array => self.array(start, depth),
            Peek::String => {
                let text = self.jiter.known_str().map(str::to_owned).map_err(|error| self.syntax(error))?;
                let span = Span::new(start, self.jiter.current_index());
                self.string(text, span, depth)
            }
            Peek::True | Peek::False => {
                let value = self.jiter.known_bool(peek).map_err(|error| self.word(start, error))?;
                Ok(T::leaf(Value::Bool(value), Span::new(start, self.jiter.current_index())))
            }
            Peek::Null => {
                self.jiter.known_null().map_err(|error| self.word(start, error))?;
                Ok(T::leaf(Value::Null, Span::new(start, self.jiter.current_index())))
            }
            _ => {
                self.jiter.known_number_bytes(peek).map(drop).map_err(|error| self.syntax(error))?;
                let span = Span::new(start, self.jiter.current_index());
                let digits = self.text.get(span.start..span.end).unwrap_or_default();
                match number(digits) {
                    Ok(number) => Ok(T::leaf(Value::Number(number), span)),
                    Err(message) => {
                        let text: String = digits.chars().take(30).collect();
                        self.fault(span, message.to_owned(), Some(format!("{IN_RANGE}: \"{text}\"")))?;
                        Ok(T::lost(span))
                    }
                }
            }
        }
    }

    fn object<T: Tree>(&mut self, start: usize, depth: usize) -> Result<T, Stop> {
        let mut members = T::Members::default();
        let mut from = start + 1;
        let mut key =
            self.jiter.known_object().map(|key| key.map(str::to_owned)).map_err(|error| self.syntax(error))?;
        while let Some(name) = key {
            let key_span = self.key_span(from);
            let peek = self.peek()?;
            let value = self.value(peek, depth + 1)?;
            if !T::insert(&mut members, name, key_span, value) {
                let name = self.text.get(key_span.start..key_span.end).unwrap_or_default();
                let message = format!("the key {} is here for the second time in one object", shown(name));
                self.fault(key_span, message, Some("keep one of the two".to_owned()))?;
            }
            from = self.jiter.current_index();
            key = self.jiter.next_key().map(|key| key.map(str::to_owned)).map_err(|error| self.syntax(error))?;
        }
        Ok(T::object(members, Span::new(start, self.jiter.current_index())))
    }

    /// Where the key stands that was read since `from`, now that the parser is past its colon.
    fn key_span(&self, from: usize) -> Span {
        let read = self.text.get(from..self.jiter.current_index()).unwrap_or_default();
        let start = read.find('"').unwrap_or(0);
        let end = read.rfind('"').map_or(read.len(), |at| at + 1);
        Span::new(from + start, from + end)
    }

    fn array<T: Tree>(&mut self, start: usize, depth: usize) -> Result<T, Stop> {
        let mut items = Vec::new();
        let mut next = self.jiter.known_array().map_err(|error| self.syntax(error))?;
        while let Some(peek) = next {
            items.push(self.value(peek, depth + 1)?);
            next = self.jiter.array_step().map_err(|error| self.syntax(error))?;
        }
        Ok(T::list(items, Span::new(start, self.jiter.current_index())))
    }

    fn string<T: Tree>(&mut self, text: String, span: Span, depth: usize) -> Result<T, Stop> {
        if self.again && looks_like_json(&text) {
            let mut inner = Reader::new(&text, true);
            let value: Option<T> = inner.document(depth);
            match (value, inner.faults.iter().any(|fault| fault.syntax)) {
                (Some(value), false) if inner.faults.is_empty() => return Ok(value),
                (_, true) => {}
                // JSON that would lose something: as a string it would be a different thing than was meant.
                _ => {
                    for fault in inner.faults {
                        self.fault(span, fault.message, fault.help)?;
                    }
                }
            }
        }
        Ok(T::leaf(Value::String(text), span))
    }

    fn fault(&mut self, span: Span, message: String, help: Option<String>) -> Result<(), Stop> {
        self.faults.push(Fault { span, message, help, syntax: false });
        if self.faults.len() < MAX_FAULTS { Ok(()) } else { Err(Stop) }
    }

    /// Notes a word that is none of JSON's, where it starts.
    fn word(&mut self, start: usize, error: JiterError) -> Stop {
        self.syntax(JiterError { index: start, ..error })
    }

    /// Notes a text that is not JSON.
    fn syntax(&mut self, error: JiterError) -> Stop {
        let (message, help) = explain(&error.error_type, self.text, error.index);
        let width = self.text.get(error.index..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
        let span = Span::new(error.index.min(self.text.len()), error.index.min(self.text.len()) + width);
        // Digits without end are a number all the same.
        let syntax = error.error_type != JiterErrorType::JsonError(JsonErrorType::NumberOutOfRange);
        self.faults.push(Fault { span, message, help, syntax });
        Stop
    }
}

/// The number that these digits mean, if a 64-bit integer or float holds it.
fn number(digits: &str) -> Result<Number, &'static str> {
    let too_large = "this number is too large for a 64-bit float";
    // `-0` is a float for `serde_json` too: no integer has the sign.
    if digits == "-0" || digits.contains(['.', 'e', 'E']) {
        let float: f64 = digits.parse().unwrap_or(f64::INFINITY);
        if !float.is_finite() {
            return Err(too_large);
        }
        let mantissa = digits.split(['e', 'E']).next().unwrap_or_default();
        if float == 0.0 && mantissa.bytes().any(|byte| matches!(byte, b'1'..=b'9')) {
            return Err("this number is too small for a 64-bit float, and would be 0");
        }
        return Number::from_f64(float).ok_or(too_large);
    }
    if let Ok(number) = digits.parse::<u64>() {
        return Ok(Number::from(number));
    }
    digits.parse::<i64>().map(Number::from).map_err(|_| TOO_LONG)
}

/// What is wrong at `index`, what was expected there, and what people usually did.
fn explain(error: &JiterErrorType, text: &str, index: usize) -> (String, Option<String>) {
    use JsonErrorType as E;
    let rest = text.get(index..).unwrap_or_default();
    let word: String = rest.chars().take_while(|c| c.is_alphanumeric()).collect();
    let found = match rest.chars().next() {
        Some(_) if !word.is_empty() => format!("`{}`", shown(&word)),
        Some(c) => format!("`{}`", if c.is_control() { c.escape_unicode().to_string() } else { c.to_string() }),
        None => "the end".to_owned(),
    };
    let habit = match rest.chars().next() {
        Some('/' | '#') => Some("JSON has no comments: remove it"),
        Some('\'') => Some("JSON writes keys and texts in double quotes"),
        Some('N' | 'I') => Some("JSON has no NaN and no Infinity: write null, or a text"),
        Some('T' | 'F') => Some("JSON writes true and false in small letters"),
        Some('=') => Some("JSON writes a colon between key and value"),
        Some('+' | '.') => Some("JSON numbers start with a digit or a minus sign"),
        _ => None,
    };
    let JiterErrorType::JsonError(error) = error else { return (error.to_string(), None) };
    let expected = |what: &str| (format!("expected {what}, found {found}"), habit.map(str::to_owned));
    match error {
        E::ExpectedColon => expected("`:` after the key"),
        E::ExpectedListCommaOrEnd => expected("`,` or `]`"),
        E::ExpectedObjectCommaOrEnd => expected("`,` or `}`"),
        E::ExpectedSomeValue => expected("a value"),
        E::ExpectedSomeIdent => expected("`true`, `false` or `null`"),
        E::KeyMustBeAString => expected("a key in double quotes"),
        E::TrailingCharacters => expected("nothing more after the value"),
        E::TrailingComma => {
            (format!("expected a value or key after the comma, found {found}"), Some("remove the comma".to_owned()))
        }
        E::EofWhileParsingList => expected("`,` or `]`"),
        E::EofWhileParsingObject => expected("`,` or `}`"),
        E::EofWhileParsingString => expected("a double quote that ends the text"),
        // The text ends, or a word ends before it is one of the three.
        E::EofWhileParsingValue => expected("a value"),
        E::InvalidNumber => {
            (format!("expected a number such as 0, -1 or 2.5, found {found}"), habit.map(str::to_owned))
        }
        E::ControlCharacterWhileParsingString => (
            "expected a text without line breaks and control characters".to_owned(),
            Some(r"write a line break as \n and a tab as \t".to_owned()),
        ),
        E::InvalidEscape => (
            format!("expected an escape such as \\n or \\\", found {found}"),
            Some(r"write a backslash as \\".to_owned()),
        ),
        E::InvalidUnicodeCodePoint | E::LoneLeadingSurrogateInHexEscape | E::UnexpectedEndOfHexEscape => (
            "expected the escape of a whole character".to_owned(),
            Some(r"characters beyond \uffff are two escapes, a high and a low surrogate".to_owned()),
        ),
        E::NumberOutOfRange => (TOO_LONG.to_owned(), Some(IN_RANGE.to_owned())),
        other => (other.to_string(), None),
    }
}
