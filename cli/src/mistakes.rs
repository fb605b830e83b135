//! Telling people about mistakes: in colour with the lines concerned on a terminal, plainly elsewhere, as JSON if
//! asked.

use std::io::{IsTerminal as _, Write as _};

use armada_orchestrator::http::Problem;
use armada_project::{Capability, Component, Denied, Grant, Mistakes, Note};
use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme};
use serde_json::{Value, json};

use crate::console::{Style, has_colours, paint, printable};
use crate::run::with;

/// Tells of an error, whatever it is: to people, or as an object to machines.
pub(crate) fn tell(error: &anyhow::Error, json: bool) {
    let mistakes = error.downcast_ref::<Mistakes>();
    if json && writeln!(std::io::stdout().lock(), "{}", as_json(error, mistakes)).is_ok() {
        return;
    }
    let text = match (mistakes, error.downcast_ref::<Problem>()) {
        (Some(mistakes), _) => render(mistakes),
        // What a server says: it has seen files that need not be here.
        (None, Some(problem)) if !problem.mistakes.is_empty() => {
            let lines = problem.mistakes.iter().map(|mistake| printable(&mistake.to_string()));
            lines.map(|line| format!("{} {line}", paint("error:", Style::Bad))).collect::<Vec<_>>().join("\n")
        }
        _ => format!("{} {}", paint("error:", Style::Bad), printable(&format!("{error:#}"))),
    };
    // Where standard error is closed, nobody listens.
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn as_json(error: &anyhow::Error, mistakes: Option<&Mistakes>) -> Value {
    match mistakes {
        Some(mistakes) => with(json!({"type": "mistakes"}), serde_json::to_value(mistakes).unwrap_or_default()),
        None => match error.downcast_ref::<Problem>() {
            Some(problem) => json!({"type": "error", "message": problem.detail, "mistakes": problem.mistakes}),
            None => json!({"type": "error", "message": format!("{error:#}")}),
        },
    }
}

/// Tells of what is worth knowing.
pub(crate) fn tell_notes(notes: &[Note]) {
    let mut out = std::io::stderr().lock();
    for note in notes {
        let _ = writeln!(out, "{} {}", paint("note:", Style::Quiet), printable(&note.to_string()));
    }
}

/// Tells what a component uses and is refused. A script may be made for that, so that it is no mistake to run it.
pub(crate) fn tell_refusals(component: &Component, grant: &Grant) {
    let note = |(capability, denied): (Capability, Denied)| Note {
        about: format!("the script uses `{capability}`"),
        message: denied.to_string(),
    };
    tell_notes(&component.refused(grant).into_iter().map(note).collect::<Vec<_>>());
}

fn render(mistakes: &dyn Diagnostic) -> String {
    let theme = match (has_colours(), std::io::stderr().is_terminal()) {
        (true, _) => GraphicalTheme::unicode(),
        (false, true) => GraphicalTheme::unicode_nocolor(),
        (false, false) => GraphicalTheme::none(),
    };
    let mut text = String::new();
    match GraphicalReportHandler::new_themed(theme).with_width(100).render_report(&mut text, mistakes) {
        Ok(()) => text.trim_end().to_owned(),
        Err(_) => mistakes.to_string(),
    }
}
