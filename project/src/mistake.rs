//! Mistakes in a project, as a person needs them: where, what is wrong there, and what to do.
//!
//! A run of checks collects all of them, so that nobody mends a project one error at a time. A mistake owns the few
//! lines that it shows, never a whole file: a CSV file may have a million rows, and mistakes outlive the checks.

use std::collections::BTreeMap;
use std::fmt;

use miette::{Diagnostic, LabeledSpan, MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};
use serde::Serialize;

use crate::suggest::{counted, harmless, harmless_text, shown, thousands};
use crate::template::TEMPLATE;
use crate::text::{Position, Span};

/// Mistakes of one file that are kept; further ones are counted.
pub const MAX_MISTAKES_PER_FILE: u64 = 100;

/// One thing that is wrong in one place of a project.
///
/// It is a `miette` diagnostic that shows the place, and serialises to
/// `{file, line?, column?, row?, csv_column?, message, help?}`.
#[derive(Clone, Serialize)]
#[serde(transparent)]
pub struct Mistake(Box<Details>);

#[derive(Clone, Serialize)]
struct Details {
    file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    row: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    csv_column: Option<String>,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
    #[serde(skip)]
    label: Option<String>,
    #[serde(skip)]
    excerpt: Option<Excerpt>,
}

impl Mistake {
    /// A mistake that concerns a file as a whole.
    pub(crate) fn new(file: &str, message: impl Into<String>) -> Mistake {
        Mistake(Box::new(Details {
            file: harmless_text(file),
            line: None,
            column: None,
            row: None,
            csv_column: None,
            message: harmless_text(&message.into()),
            help: None,
            label: None,
            excerpt: None,
        }))
    }

    /// The same at the place that the excerpt marks.
    pub(crate) fn at(mut self, excerpt: Excerpt) -> Mistake {
        self.0.line = Some(excerpt.position.line);
        self.0.column = Some(excerpt.position.column);
        self.0.excerpt = Some(excerpt);
        self
    }

    /// The same in a row of a CSV file, counted from 0, and in a column of it.
    pub(crate) fn in_row(mut self, row: u64, csv_column: Option<&str>) -> Mistake {
        self.0.row = Some(row);
        self.0.csv_column = csv_column.map(str::to_owned);
        self
    }

    /// The same with words under the marked place.
    pub(crate) fn label(mut self, label: impl Into<String>) -> Mistake {
        self.0.label = Some(label.into());
        self
    }

    /// The same with what to do about it.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Mistake {
        self.0.help = Some(harmless_text(&help.into()));
        self
    }

    /// The file, relative to the project.
    pub fn file(&self) -> &str {
        &self.0.file
    }

    /// The line, from 1, where the mistake has one.
    pub fn line(&self) -> Option<u64> {
        self.0.line
    }

    /// The column in characters, from 1, where the mistake has one.
    pub fn column(&self) -> Option<u64> {
        self.0.column
    }

    /// The row of a CSV file, from 0: the index of the agent or job.
    pub fn row(&self) -> Option<u64> {
        self.0.row
    }

    /// The name of a CSV file's column.
    pub fn csv_column(&self) -> Option<&str> {
        self.0.csv_column.as_deref()
    }

    /// What is wrong.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What to do about it.
    pub fn advice(&self) -> Option<&str> {
        self.0.help.as_deref()
    }
}

impl Mistake {
    fn write_message(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(row) = self.0.row {
            write!(f, "row {}", thousands(row))?;
            if let Some(column) = &self.0.csv_column {
                write!(f, ", column `{}`", shown(column))?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.0.message)
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A place is shown by the excerpt; where there is none, the words must name the file.
        if self.0.excerpt.is_none() {
            write!(f, "{}: ", self.0.file)?;
        }
        self.write_message(f)
    }
}

impl fmt::Debug for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.file)?;
        for place in [self.0.line, self.0.column].into_iter().flatten() {
            write!(f, ":{place}")?;
        }
        f.write_str(": ")?;
        self.write_message(f)
    }
}

impl std::error::Error for Mistake {}

impl Diagnostic for Mistake {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.0.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.0.excerpt.as_ref().map(|excerpt| excerpt as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let excerpt = self.0.excerpt.as_ref()?;
        let label = LabeledSpan::new_primary_with_span(self.0.label.clone(), excerpt.marked);
        Some(Box::new(std::iter::once(label)))
    }
}

/// All mistakes that a check found.
///
/// Of each file the first [`MAX_MISTAKES_PER_FILE`] are kept and the others counted. Serialises to
/// `{mistakes: […], more: {file: number}}`.
#[derive(Clone, Default, Serialize)]
pub struct Mistakes {
    mistakes: Vec<Mistake>,
    more: BTreeMap<String, u64>,
    #[serde(skip)]
    kept: BTreeMap<String, u64>,
}

impl Mistakes {
    /// The mistakes that were kept: file by file, in the order of their lines.
    pub fn iter(&self) -> impl Iterator<Item = &Mistake> {
        self.mistakes.iter()
    }

    /// How many there are, with the ones that were only counted.
    pub fn count(&self) -> u64 {
        self.mistakes.len() as u64 + self.more.values().sum::<u64>()
    }

    /// How many more there are in each file that has too many to keep.
    pub fn more(&self) -> impl Iterator<Item = (&str, u64)> {
        self.more.iter().map(|(file, count)| (file.as_str(), *count))
    }

    /// Every mistake on a line of its own, as compilers write them: `file:line:column: message (help)`.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let kept = self.mistakes.iter().map(|mistake| match mistake.advice() {
            Some(help) => format!("{mistake:?} ({help})"),
            None => format!("{mistake:?}"),
        });
        kept.chain(self.more.iter().map(|(file, count)| format!("{file}: and {} more", thousands(*count))))
    }

    /// Adds a mistake.
    pub(crate) fn push(&mut self, mistake: Mistake) {
        let file = mistake.file().to_owned();
        self.report(&file, || mistake);
    }

    /// Adds a mistake of `file`, which is made only if it is kept: finding a place costs reading the file again.
    pub(crate) fn report(&mut self, file: &str, make: impl FnOnce() -> Mistake) {
        let kept = self.kept.entry(file.to_owned()).or_default();
        if *kept < MAX_MISTAKES_PER_FILE {
            *kept += 1;
            self.mistakes.push(make());
        } else {
            *self.more.entry(file.to_owned()).or_default() += 1;
        }
    }

    /// Whether nothing is wrong.
    pub(crate) fn is_empty(&self) -> bool {
        self.mistakes.is_empty()
    }

    /// `value` if nothing is wrong, else the mistakes in the order of files (the template, then first found first) and
    /// lines.
    pub(crate) fn unless_any<T>(mut self, value: impl FnOnce() -> T) -> Result<T, Mistakes> {
        if self.is_empty() {
            return Ok(value());
        }
        // Most mistakes begin in the template, and so does reading.
        let mut files = vec![TEMPLATE.to_owned()];
        for mistake in &self.mistakes {
            if !files.iter().any(|file| file == mistake.file()) {
                files.push(mistake.file().to_owned());
            }
        }
        self.mistakes.sort_by_key(|mistake| {
            (files.iter().position(|file| file == mistake.file()), mistake.line(), mistake.column())
        });
        Err(self)
    }
}

impl From<Mistake> for Mistakes {
    fn from(mistake: Mistake) -> Mistakes {
        let mut mistakes = Mistakes::default();
        mistakes.push(mistake);
        mistakes
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in ", counted(self.count(), "mistake"))?;
        match self.mistakes.as_slice() {
            [first, others @ ..] if others.iter().all(|mistake| mistake.file() == first.file()) => {
                f.write_str(first.file())
            }
            _ => f.write_str("the project"),
        }
    }
}

impl fmt::Debug for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{self}")?;
        self.lines().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl std::error::Error for Mistakes {}

impl Diagnostic for Mistakes {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        if self.more.is_empty() {
            return None;
        }
        let more: Vec<String> =
            self.more.iter().map(|(file, count)| format!("and {} more in {file}", thousands(*count))).collect();
        Some(Box::new(more.join(", ")))
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(self.mistakes.iter().map(|mistake| mistake as &dyn Diagnostic)))
    }
}

/// Something worth knowing that stops nothing, such as a setting that has no effect.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Note {
    /// What it is about: the path of a value in its message, or an option.
    pub about: String,
    /// What there is to know.
    pub message: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.about, self.message)
    }
}

/// The lines around a place, with their true numbers.
#[derive(Clone, Debug)]
pub(crate) struct Excerpt {
    name: String,
    text: String,
    first_line: u64,
    position: Position,
    marked: SourceSpan,
}

/// The most characters of a line that an excerpt shows, and how many of them stand before the marked place.
const SHOWN: usize = 140;
const SHOWN_BEFORE: usize = 60;

impl Excerpt {
    /// Cuts the lines around `span` out of `text`, which starts with line `first_line` of the file; `position` is
    /// where the span starts in the file. Long lines are shortened, and characters that a terminal obeys replaced.
    pub(crate) fn cut(name: &str, text: &str, first_line: u64, position: Position, span: Span) -> Excerpt {
        let focus = position.line.saturating_sub(first_line);
        let mut excerpt = Excerpt {
            name: harmless_text(name),
            text: String::new(),
            first_line: first_line + focus.saturating_sub(1),
            position,
            marked: SourceSpan::from(0),
        };
        let mut start = 0;
        for (index, line) in (0u64..).zip(text.split('\n')) {
            if index > focus + 1 {
                break;
            }
            let marked = Span::new(span.start.saturating_sub(start), span.end.saturating_sub(start));
            start += line.len() + 1;
            if index + 1 < focus {
                continue;
            }
            if index > focus.saturating_sub(1) {
                excerpt.text.push('\n');
            }
            let line = line.strip_suffix('\r').unwrap_or(line);
            match index == focus {
                true => excerpt.push_marked(line, marked),
                false => excerpt.push_shortened(line, 0),
            }
        }
        excerpt
    }

    /// Adds the line that has the place, and marks it: at least one character wide, also at the end of the line.
    fn push_marked(&mut self, line: &str, marked: Span) {
        let before = line.char_indices().take_while(|(at, _)| *at < marked.start).count();
        let within = line.char_indices().filter(|(at, _)| (marked.start..marked.end).contains(at)).count();
        let fits = line.chars().nth(SHOWN).is_none();
        let skipped = if fits { 0 } else { before.saturating_sub(SHOWN_BEFORE) };
        let start = self.text.len();
        self.push_shortened(line, skipped);
        let visible = before - skipped + usize::from(skipped > 0);
        let mut offsets = self.text.get(start..).unwrap_or_default().char_indices().map(|(at, _)| start + at);
        let from = offsets.nth(visible);
        let to = if within > 0 { offsets.nth(within - 1) } else { offsets.next() };
        if from.is_none() {
            self.text.push(' ');
        }
        let end = self.text.len();
        let from = from.unwrap_or(end - 1);
        self.marked = SourceSpan::from((from, to.unwrap_or(end).saturating_sub(from)));
    }

    fn push_shortened(&mut self, line: &str, skipped: usize) {
        if skipped > 0 {
            self.text.push('…');
        }
        let mut rest = line.chars().skip(skipped);
        let shown = rest.by_ref().take(SHOWN);
        self.text.extend(shown.map(|c| if c == '\t' { c } else { harmless(c) }));
        if rest.next().is_some() {
            self.text.push('…');
        }
    }
}

impl SourceCode for Excerpt {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        lines_before: usize,
        lines_after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let contents = self.text.read_span(span, lines_before, lines_after)?;
        // Without context the contents start at the marked place, whose column is the file's, not the excerpt's.
        let column = if lines_before == 0 { self.position.column.saturating_sub(1) as usize } else { 0 };
        Ok(Box::new(MietteSpanContents::new_named(
            self.name.clone(),
            contents.data(),
            *contents.span(),
            self.first_line.saturating_sub(1) as usize + contents.line(),
            column,
            contents.line_count(),
        )))
    }
}
