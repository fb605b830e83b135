//! A run without a terminal: one plain line for each thing that matters, or JSON lines for machines.

use std::io::Write as _;
use std::time::Duration;

use armada_project::counted;
use armada_protocol::{AgentState, Change, JobRecord, Outcome, Status};
use serde_json::{Value, json};

use super::summary::{Summary, duration, seconds};
use super::{About, Show};
use crate::console::{Style, paint};

/// One line for each thing that matters.
#[derive(Default)]
pub(super) struct Plain {
    verbose: bool,
}

/// What there is to say of a change; nothing of most.
pub(super) fn line(change: &Change, verbose: bool) -> Option<String> {
    match change {
        Change::Agent { index, state: AgentState::Failed { message } } => {
            Some(format!("{} agent {index}: {message}", paint("failed", Style::Bad)))
        }
        Change::Retried(attempt, Outcome::Failed { error }) => Some(format!(
            "{} job {} (attempt {}): {}",
            paint("again", Style::Bad),
            attempt.index,
            attempt.number,
            error.message
        )),
        Change::Ended(record) => Some(ended(record)),
        Change::Event(attempt, event) if verbose => {
            Some(format!("job {}: {:?}: {}", attempt.index, event.level, event.content))
        }
        Change::Log(attempt, log) if verbose => Some(format!("job {}| {}", attempt.index, log.text)),
        _ => None,
    }
}

fn ended(record: &JobRecord) -> String {
    let took = duration(record).map(|took| format!(" in {}", seconds(took))).unwrap_or_default();
    let (word, style) = match record.status {
        Status::Success => ("done", Style::Good),
        Status::Failed => ("failed", Style::Bad),
        Status::Cancelled => ("cancelled", Style::Bad),
    };
    let more = record
        .error
        .as_ref()
        .map(|error| format!(": {}: {}", error.cause.describe(), error.message.lines().next().unwrap_or_default()));
    let more = more.unwrap_or_default();
    format!("{} job {}{took}{more}", paint(word, style), record.index)
}

#[allow(clippy::print_stderr, reason = "this is the command line")]
fn say(line: &str) {
    // Where standard error is closed, nobody listens.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// What a run is, in a line.
pub(super) fn heading(about: &About) -> String {
    let (jobs, agents) = (counted(about.jobs, "job"), counted(about.agents.into(), "agent"));
    format!("{}: {jobs}, {agents}, run {}", about.project, about.run)
}

/// What a run came to.
pub(super) fn conclusion(summary: &Summary, about: &About) -> String {
    format!("{}\nresults: {}", summary.to_text(), about.output.display())
}

impl Show for Plain {
    fn begin(&mut self, about: &About) {
        self.verbose = about.verbose;
        say(&heading(about));
    }

    fn change(&mut self, change: &Change, summary: &Summary) {
        let Some(line) = line(change, self.verbose) else { return };
        match change {
            Change::Ended(_) => say(&format!("[{}/{}] {line}", summary.ended(), summary.jobs)),
            _ => say(&line),
        }
    }

    fn ending(&mut self) {
        say("ending: the jobs in progress have a moment to end (Ctrl-C again ends them at once)");
    }

    fn end(&mut self, summary: &Summary, about: &About) {
        say(&format!("\n{}", conclusion(summary, about)));
    }
}

/// JSON lines on standard output.
#[derive(Default)]
pub(super) struct Json {}

fn print(value: &Value) {
    let _ = writeln!(std::io::stdout().lock(), "{value}");
}

/// A duration in seconds.
fn in_seconds(duration: Option<Duration>) -> Value {
    duration.map_or(Value::Null, |duration| duration.as_secs_f64().into())
}

impl Show for Json {
    fn begin(&mut self, about: &About) {
        print(
            &json!({"type": "run", "run_id": about.run, "project": about.project, "jobs": about.jobs, "agents": about.agents}),
        );
    }

    fn change(&mut self, change: &Change, _summary: &Summary) {
        print(&match change {
            Change::Agent { index, state } => json!({"type": "agent", "agent": index, "state": state}),
            Change::Started(attempt) => json!({"type": "started", "attempt": attempt}),
            Change::Event(attempt, event) => json!({"type": "event", "attempt": attempt, "event": event}),
            Change::Log(attempt, line) => json!({"type": "log", "attempt": attempt, "line": line}),
            Change::Progress(attempt, progress) => {
                json!({"type": "progress", "attempt": attempt, "progress": progress})
            }
            Change::Retried(attempt, outcome) => json!({"type": "retried", "attempt": attempt, "outcome": outcome}),
            Change::Ended(record) => json!({"type": "ended", "seconds": in_seconds(duration(record)), "job": record}),
            _ => return,
        });
    }

    fn ending(&mut self) {
        print(&json!({"type": "ending"}));
    }

    fn end(&mut self, summary: &Summary, about: &About) {
        let mut value = summary.to_json();
        if let Some(object) = value.as_object_mut() {
            object.insert("type".to_owned(), "summary".into());
            object.insert("run_id".to_owned(), about.run.to_string().into());
            object.insert("results".to_owned(), about.output.display().to_string().into());
        }
        print(&value);
    }
}
