//! What becomes of tests, for people: as pytest shows it.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::time::Instant;

use armada_project::{Test, TestReport, counted};
use armada_protocol::report::LogLevel;

use super::outcome::{Outcome, word};
use super::selection::Selection;
use crate::args::Test as Arguments;
use crate::console::{may_have_colours, printable, printable_line};

/// The words that are counted, in the order in which they are summed up.
const WORDS: [&str; 7] = ["failed", "passed", "skipped", "deselected", "xfailed", "xpassed", "error"];
/// The width where there is no terminal.
const WIDTH: usize = 80;
/// How much room the share of tests that have ended takes.
const SHARE: usize = " [100%]".len();

const PLAIN: &str = "";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const RED: &str = "31";
const BOLD: &str = "1";
const BOLD_CYAN: &str = "1;36";
const BOLD_RED: &str = "1;31";

/// A way of showing what becomes of tests.
pub(super) trait Report {
    /// The tests are known.
    fn collected(&mut self, selection: &Selection<'_>) -> io::Result<()>;
    /// A test has begun.
    fn started(&mut self, _test: &Test) -> io::Result<()> {
        Ok(())
    }
    /// A test has ended: they come in the order in which they are written.
    fn ended(&mut self, test: &Test, outcome: &Outcome, session: &Session) -> io::Result<()>;
    /// The run is asked to end.
    fn ending(&mut self, reason: &str) -> io::Result<()>;
    /// All tests that will end have ended.
    fn end(&mut self, session: &Session, selection: &Selection<'_>, outcomes: &[Option<Outcome>]) -> io::Result<()>;
}

/// What all tests come to.
pub(super) struct Session {
    counts: [usize; WORDS.len()],
    tests: usize,
    ended: usize,
    pub(super) started: Instant,
    /// Whether the rest was left out after a failure.
    pub(super) stopped: bool,
    /// Whether the rest was left out because of a signal.
    pub(super) interrupted: bool,
}

impl Session {
    /// A session of so many tests.
    pub(super) fn new(tests: usize, deselected: usize, skipped: usize, started: Instant) -> Self {
        let mut session =
            Self { counts: [0; WORDS.len()], tests, ended: 0, started, stopped: false, interrupted: false };
        session.add("deselected", deselected);
        session.add("skipped", skipped);
        session
    }

    /// Counts a test that has ended.
    pub(super) fn count(&mut self, outcome: &Outcome) {
        self.ended += 1;
        outcome.reports.iter().for_each(|report| self.add(word(report), 1));
    }

    fn add(&mut self, word: &str, count: usize) {
        let counted = WORDS.iter().zip(&mut self.counts).find(|(one, _)| **one == word);
        if let Some((_, sum)) = counted {
            *sum += count;
        }
    }

    /// How many there are of each.
    pub(super) fn counts(&self) -> impl Iterator<Item = (&'static str, usize)> {
        WORDS.into_iter().zip(self.counts)
    }

    fn of(&self, word: &str) -> usize {
        self.counts().find(|(one, _)| *one == word).map_or(0, |(_, count)| count)
    }

    /// Whether a test failed.
    pub(super) fn has_failures(&self) -> bool {
        self.of("failed") + self.of("error") > 0
    }

    /// The colour of it all.
    fn colour(&self) -> &'static str {
        match (self.has_failures(), self.of("xpassed") > 0 || self.of("passed") == 0) {
            (true, _) => RED,
            (false, true) if self.ended == self.tests => YELLOW,
            _ => GREEN,
        }
    }
}

/// Text on standard output.
pub(super) struct Text {
    colours: bool,
    width: usize,
    /// -1 with `--quiet`, otherwise how many times `--verbose` was given.
    verbosity: i32,
    only_collects: bool,
    root: String,
    file: String,
    column: usize,
}

impl Text {
    pub(super) fn new(arguments: &Arguments, root: &Path) -> Self {
        let terminal = dialoguer::console::Term::stdout();
        let given = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        let measured = terminal.size_checked().filter(|_| io::stdout().is_terminal()).map(|(_, width)| width.into());
        Self {
            colours: may_have_colours(&io::stdout()),
            width: given.or(measured).filter(|width| *width > 20).unwrap_or(WIDTH),
            verbosity: if arguments.quiet { -1 } else { i32::from(arguments.verbose) },
            only_collects: arguments.collect_only,
            root: root.display().to_string(),
            file: String::new(),
            column: 0,
        }
    }

    fn paint(&self, text: &str, colour: &str) -> String {
        if self.colours && !colour.is_empty() && !text.is_empty() {
            format!("\u{1b}[{colour}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }

    /// A line with a text in its middle; `length` is that of the text without its colours.
    fn rule(&self, mark: char, text: &str, length: usize, colour: &str) -> String {
        let room = self.width.saturating_sub(length + 2);
        let side: String = std::iter::repeat_n(mark, (room / 2).max(1)).collect();
        let odd = if room % 2 == 1 { mark.to_string() } else { String::new() };
        let (side, odd) = (self.paint(&side, colour), self.paint(&odd, colour));
        format!("{side} {text} {side}{odd}")
    }

    fn title(&self, mark: char, text: &str, colour: &str) -> String {
        self.rule(mark, &self.paint(text, colour), text.chars().count(), colour)
    }

    /// The share of tests that have ended, at the right end of the line.
    fn share(&mut self, session: &Session) -> String {
        let share = format!(" [{:>3}%]", session.ended * 100 / session.tests.max(1));
        let blank = self.width.saturating_sub(self.column + share.len() + 1);
        self.column = 0;
        format!("{}{}", " ".repeat(blank), self.paint(&share, session.colour()))
    }

    fn letters(&mut self, test: &Test, outcome: &Outcome, session: &Session, out: &mut String) {
        if self.verbosity == 0 && test.file() != self.file {
            if self.column > 0 {
                // As far as it had come before this one.
                let before = Session { ended: session.ended - 1, counts: session.counts, ..*session };
                out.push_str(&self.share(&before));
                out.push('\n');
            }
            self.file = test.file().to_owned();
            let shown = printable_line(&self.file);
            self.column = shown.chars().count() + 1;
            out.push_str(&format!("{shown} "));
        }
        for report in &outcome.reports {
            let (letter, _, colour) = look(report);
            out.push_str(&self.paint(letter, colour));
            self.column += 1;
        }
        if session.ended == session.tests || self.column + SHARE + 1 >= self.width {
            out.push_str(&self.share(session));
            out.push('\n');
        }
    }

    fn lines(&mut self, test: &Test, outcome: &Outcome, session: &Session, out: &mut String) {
        for report in &outcome.reports {
            let (_, shown, colour) = look(report);
            let id = printable_line(&test.id);
            let has_reason = matches!(report.outcome.as_str(), "skipped" | "xfailed" | "xpassed");
            let reason = match printable_line(&report.message) {
                reason if has_reason && !reason.is_empty() => format!(" ({reason})"),
                _ => String::new(),
            };
            self.column = id.chars().count() + 1 + shown.len() + reason.chars().count();
            out.push_str(&format!("{id} {}{reason}{}\n", self.paint(shown, colour), self.share(session)));
        }
    }

    /// What became of a part of a test, at length.
    fn failure(&self, title: &str, report: &TestReport, outcome: Option<&Outcome>, out: &mut String) {
        out.push_str(&format!("{}\n", self.title('_', title, BOLD_RED)));
        out.push_str(&format!("{}\n", self.traceback(&report.text)));
        let log = outcome.map(|outcome| outcome.log.as_slice()).unwrap_or_default();
        if !log.is_empty() {
            out.push_str(&format!("{}\n", self.rule('-', "Captured log", "Captured log".len(), PLAIN)));
        }
        for line in log {
            let level = match line.level {
                LogLevel::Debug => "DEBUG",
                LogLevel::Info => "INFO",
                LogLevel::Warning => "WARNING",
                LogLevel::Error => "ERROR",
            };
            out.push_str(&format!("{level:8} {}\n", printable(&line.text)));
        }
    }

    /// A traceback whose lines have colours: what is wrong, where it was noticed, and the place.
    fn traceback(&self, text: &str) -> String {
        let painted = printable(text.trim_end()).lines().map(|line| self.traceback_line(line)).collect::<Vec<_>>();
        format!("\n{}", painted.join("\n"))
    }

    fn traceback_line(&self, line: &str) -> String {
        if line == "E" || line.starts_with("E ") {
            return self.paint(line, BOLD_RED);
        }
        if line.starts_with('>') {
            return self.paint(line, BOLD);
        }
        // `tests/test_a.py:7: AssertionError`
        let place = line.split_once(':').filter(|(file, rest)| {
            !file.contains(' ') && file.contains('.') && rest.starts_with(|one: char| one.is_ascii_digit())
        });
        match place {
            Some((file, rest)) => format!("{}:{rest}", self.paint(file, BOLD_RED)),
            None => line.to_owned(),
        }
    }

    /// A line of the short summary, cut to the width.
    fn short(&self, word: &str, id: &str, message: &str) -> String {
        let id = printable_line(id);
        let message = printable_line(message);
        let room = self.width.saturating_sub(word.len() + id.chars().count() + " ".len() + " - ".len());
        let cut = match message.char_indices().nth(room) {
            Some(_) if self.verbosity > 0 || room < "...".len() => message.clone(),
            Some(_) => message.chars().take(room - "...".len()).chain("...".chars()).collect(),
            None => message.clone(),
        };
        let more = if cut.is_empty() { cut } else { format!(" - {cut}") };
        format!("{} {id}{more}\n", self.paint(word, RED))
    }

    /// What all comes to, in a line.
    fn closing(&self, session: &Session) -> String {
        let (mut text, mut length) = (String::new(), 0);
        for (word, count) in session.counts().filter(|(_, count)| *count > 0) {
            let colour = match word {
                "failed" | "error" => BOLD_RED,
                "passed" => GREEN,
                _ => YELLOW,
            };
            let part = match word {
                "error" => counted(count as u64, "error"),
                _ => format!("{count} {word}"),
            };
            let join = if text.is_empty() { "" } else { ", " };
            length += join.len() + part.len();
            text.push_str(&format!("{join}{}", self.paint(&part, colour)));
        }
        if text.is_empty() {
            text = "no tests ran".to_owned();
            length = text.len();
        }
        let seconds = session.started.elapsed().as_secs_f64();
        let mut took = format!(" in {seconds:.2}s");
        if seconds >= 60.0 {
            let whole = session.started.elapsed().as_secs();
            took.push_str(&format!(" ({}:{:02}:{:02})", whole / 3600, whole / 60 % 60, whole % 60));
        }
        length += took.len();
        text.push_str(&self.paint(&took, session.colour()));
        if self.verbosity < 0 { text } else { self.rule('=', &text, length, session.colour()) }
    }
}

/// How a report looks: its letter, its word, and its colour.
fn look(report: &TestReport) -> (&'static str, &'static str, &'static str) {
    match word(report) {
        "passed" => (".", "PASSED", GREEN),
        "skipped" => ("s", "SKIPPED", YELLOW),
        "xfailed" => ("x", "XFAIL", YELLOW),
        "xpassed" => ("X", "XPASS", YELLOW),
        "failed" => ("F", "FAILED", RED),
        _ => ("E", "ERROR", RED),
    }
}

/// The name of a test without its file.
fn name(test: &Test) -> String {
    printable_line(test.id.split_once("::").map_or(test.id.as_str(), |(_, name)| name)).replace("::", ".")
}

fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

impl Report for Text {
    fn collected(&mut self, selection: &Selection<'_>) -> io::Result<()> {
        let mut out = String::new();
        if self.only_collects {
            for test in &selection.tests {
                out.push_str(&format!("{}\n", printable_line(&test.id)));
            }
            out.push('\n');
        } else if self.verbosity >= 0 {
            out.push_str(&format!("{}\n", self.title('=', "test session starts", BOLD)));
            out.push_str(&format!("armada {}\nrootdir: {}\n", env!("CARGO_PKG_VERSION"), printable_line(&self.root)));
        }
        if self.verbosity >= 0 || self.only_collects {
            let mut parts = vec![counted(selection.collected() as u64, "item")];
            parts.extend((!selection.errors.is_empty()).then(|| counted(selection.errors.len() as u64, "error")));
            if selection.deselected > 0 {
                parts.push(format!("{} deselected", selection.deselected));
            }
            parts.extend((!selection.skipped.is_empty()).then(|| format!("{} skipped", selection.skipped.len())));
            if selection.deselected > 0 {
                parts.push(format!("{} selected", selection.tests.len()));
            }
            let found = self.paint(&format!("collected {}", parts.join(" / ")), BOLD);
            out.push_str(&format!("{found}\n{}", if self.only_collects { "" } else { "\n" }));
        }
        if !selection.errors.is_empty() {
            out.push_str(&format!("{}\n", self.title('=', "ERRORS", PLAIN)));
            for (test, error) in &selection.errors {
                self.failure(&format!("ERROR collecting {}", printable_line(&test.id)), error, None, &mut out);
            }
            out.push_str(&format!("{}\n", self.title('=', "short test summary info", BOLD_CYAN)));
            for (test, error) in &selection.errors {
                out.push_str(&self.short("ERROR", &test.id, &error.message));
            }
            let interrupted =
                format!("Interrupted: {} during collection", counted(selection.errors.len() as u64, "error"));
            out.push_str(&format!("{}\n", self.title('!', &interrupted, RED)));
        }
        print(&out)
    }

    fn ended(&mut self, test: &Test, outcome: &Outcome, session: &Session) -> io::Result<()> {
        let mut out = String::new();
        match self.verbosity > 0 {
            true => self.lines(test, outcome, session, &mut out),
            false => self.letters(test, outcome, session, &mut out),
        }
        print(&out)
    }

    fn ending(&mut self, reason: &str) -> io::Result<()> {
        writeln!(io::stderr(), "\n{reason}")
    }

    fn end(&mut self, session: &Session, selection: &Selection<'_>, outcomes: &[Option<Outcome>]) -> io::Result<()> {
        let mut out = String::new();
        if self.column > 0 {
            out.push_str(&self.share(session));
            out.push('\n');
        }
        let ended = || selection.tests.iter().zip(outcomes).filter_map(|(test, one)| Some((*test, one.as_ref()?)));
        let of = |wanted: &'static str| {
            ended().flat_map(move |(test, outcome)| {
                let reports = outcome.reports.iter().filter(move |report| word(report) == wanted);
                reports.map(move |report| (test, outcome, report))
            })
        };
        for (heading, wanted) in [("ERRORS", "error"), ("FAILURES", "failed")] {
            if session.of(wanted) > 0 {
                out.push_str(&format!("\n{}\n", self.title('=', heading, PLAIN)));
            }
            for (test, outcome, report) in of(wanted) {
                let title = match report.when.as_str() {
                    "call" => name(test),
                    when => format!("ERROR at {} of {}", printable_line(when), name(test)),
                };
                self.failure(&title, report, Some(outcome), &mut out);
            }
        }
        if session.has_failures() {
            out.push_str(&format!("{}\n", self.title('=', "short test summary info", BOLD_CYAN)));
            for (shown, wanted) in [("FAILED", "failed"), ("ERROR", "error")] {
                of(wanted).for_each(|(test, _, report)| out.push_str(&self.short(shown, &test.id, &report.message)));
            }
        } else if self.verbosity >= 0 {
            out.push('\n');
        }
        if session.stopped {
            out.push_str(&format!("{}\n", self.title('!', "stopping after 1 failures", RED)));
        }
        if session.interrupted {
            out.push_str(&format!("{}\n", self.title('!', "Interrupted", RED)));
        }
        out.push_str(&format!("{}\n", self.closing(session)));
        print(&out)
    }
}
