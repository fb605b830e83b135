//! The terminal: colours only where there is one, and log lines that do not tear the progress apart.

use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;

use indicatif::MultiProgress;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::args::{Arguments, Command, LogFormat};
use crate::telemetry::Telemetry;

/// How a text looks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Style {
    Good,
    Bad,
    Strong,
    Quiet,
}

/// Whether what goes to standard error is coloured.
pub(crate) fn has_colours() -> bool {
    static COLOURS: OnceLock<bool> = OnceLock::new();
    *COLOURS.get_or_init(|| may_have_colours(&io::stderr()))
}

/// Whether what goes there may be coloured.
pub(crate) fn may_have_colours(stream: &impl IsTerminal) -> bool {
    let forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    stream.is_terminal() && !forbidden && !dumb
}

/// A text in a style, on a terminal.
pub(crate) fn paint(text: &str, style: Style) -> String {
    if !has_colours() {
        return text.to_owned();
    }
    let code = match style {
        Style::Good => "32",
        Style::Bad => "31",
        Style::Strong => "1",
        Style::Quiet => "2",
    };
    format!("\u{1b}[{code}m{text}\u{1b}[0m")
}

/// A text that somebody else has written, such as a script or a page, for a terminal: what would move the cursor,
/// change colours, ring, or turn the direction of the text round shows as `\u{1b}`. Line breaks are kept.
pub(crate) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => shown.push('\n'),
            '\t' => shown.push(' '),
            // Controls of both kinds, separators of lines and paragraphs, what has no width, and what turns directions.
            '\0'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}'
            | '\u{feff}' => {
                shown.extend(character.escape_unicode());
            }
            _ => shown.push(character),
        }
    }
    shown
}

/// The first line of such a text.
pub(crate) fn printable_line(text: &str) -> String {
    printable(text.lines().next().unwrap_or_default())
}

/// As much of a text as there is room for, in characters.
pub(crate) fn cut(mut text: String, characters: usize) -> String {
    if let Some((end, _)) = text.char_indices().nth(characters) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// The progress that is shown at the moment; log lines go above it.
static PROGRESS: OnceLock<MultiProgress> = OnceLock::new();

/// The progress of this process.
pub(crate) fn progress() -> &'static MultiProgress {
    PROGRESS.get_or_init(MultiProgress::new)
}

/// Writes to standard error, above the progress.
#[derive(Clone, Copy)]
struct AboveProgress;

impl Write for AboveProgress {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match PROGRESS.get() {
            Some(progress) => progress.suspend(|| io::stderr().write(bytes)),
            None => io::stderr().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl<'a> MakeWriter<'a> for AboveProgress {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        Self
    }
}

/// Sets up logging: warnings, or what `ARMADA_LOG` asks for (`debug`, `armada_host=trace`, …). What goes wrong
/// with RabbitMQ or a database is told by whoever uses it: their libraries' own words, in which statements of scripts
/// may be, are only for those who ask.
/// Gives what sends spans elsewhere, if that is asked for: it is to be kept until the end.
pub(crate) fn set_up(arguments: &Arguments) -> Option<Telemetry> {
    let asked = EnvFilter::try_from_env("ARMADA_LOG").ok();
    let is_asked = asked.is_some();
    let filter = asked.unwrap_or_else(|| EnvFilter::new("warn,lapin=off,sqlx=off"));
    // An agent's lines are read by its orchestrator, and have passed the agent's filter already.
    let filter = match "armada::agent=trace".parse() {
        Ok(directive) => filter.add_directive(directive),
        Err(_) => filter,
    };
    let is_agent = matches!(arguments.command, Command::Agent(_));
    let is_json = matches!(&arguments.command, Command::Serve(serve) if serve.log_format == LogFormat::Json);
    let log = tracing_subscriber::fmt::layer().with_ansi(has_colours() && !is_agent && !is_json);
    let log = log.with_writer(AboveProgress).with_target(false);
    let log = if is_json {
        log.json().flatten_event(true).boxed()
    } else if is_agent {
        // So that spans of host calls show at all: each is a line when it closes.
        log.without_time().with_span_events(FmtSpan::CLOSE).boxed()
    } else if is_asked || matches!(arguments.command, Command::Serve(_)) {
        log.boxed()
    } else {
        // A warning among what is said to people needs no time.
        log.without_time().boxed()
    };
    let spans = match arguments.command {
        Command::Serve(_) => Telemetry::from_environment(),
        _ => None,
    };
    let layer = spans.as_ref().map(Telemetry::layer);
    // It can only have been set up by ourselves.
    let _ = tracing_subscriber::registry().with(log.with_filter(filter)).with(layer).try_init();
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_somebody_else_has_written_reaches_the_terminal_as_a_command() {
        let told = printable("a\u{1b}[2Jb\u{7}\r\u{9b}31m\u{7f}\u{202e}c\u{2066}\u{2029}\td\nüß→");
        assert_eq!(told, r"a\u{1b}[2Jb\u{7}\u{d}\u{9b}31m\u{7f}\u{202e}c\u{2066}\u{2029} d".to_owned() + "\nüß→");
        assert_eq!(printable_line("one\ntwo"), "one");
    }
}
