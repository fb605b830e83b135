//! A run without a terminal: one plain line for each thing that matters.

use std::io::{self, Write as _};

use armada_project::counted;
use armada_protocol::{AgentState, Cause, Change, JobRecord, Outcome, Status};

use super::summary::{Summary, duration, seconds};
use super::{About, Show};
use crate::console::{Style, cut, paint, printable, printable_line};

/// How much of a failure stands in the line of its job, in characters.
const REASON: usize = 300;

/// One line for each thing that matters.
#[derive(Default)]
pub(super) struct Plain {
    verbose: bool,
}

/// What there is to say of a change; nothing of most.
pub(super) fn line(change: &Change, verbose: bool) -> Option<String> {
    match change {
        Change::Agent { index, state: AgentState::Failed { message } | AgentState::Died { message } } => {
            Some(format!("{} agent {index}: {}", paint("failed", Style::Bad), printable(message)))
        }
        Change::Retried(attempt, Outcome::Failed { error }) => Some(format!(
            "{} job {} (attempt {}): {}",
            paint("again", Style::Bad),
            attempt.index,
            attempt.number,
            printable_line(&error.message)
        )),
        // Jobs that nobody began are counted.
        Change::Ended(record) if was_not_started(record) => None,
        Change::Ended(record) => Some(ended(record)),
        Change::Event(attempt, event) if verbose => {
            Some(format!("job {}: {:?}: {}", attempt.index, event.level, printable_line(&event.content)))
        }
        Change::Log(attempt, log) if verbose => Some(format!("job {}| {}", attempt.index, printable_line(&log.text))),
        _ => None,
    }
}

/// Whether a job was cancelled before anybody began it.
pub(super) fn was_not_started(record: &JobRecord) -> bool {
    record.status == Status::Cancelled && record.attempts == 0
}

fn ended(record: &JobRecord) -> String {
    let took = duration(record).map(|took| format!(" in {}", seconds(took))).unwrap_or_default();
    let (word, style) = match record.status {
        Status::Success => ("done", Style::Good),
        Status::Failed => ("failed", Style::Bad),
        Status::Cancelled => ("cancelled", Style::Bad),
    };
    let more = record.error.as_ref().map(|error| match error.cause {
        // That has been said.
        Cause::Failed => format!(": {}", cut(printable_line(&error.message), REASON)),
        cause => format!(": {}: {}", cause.describe(), cut(printable_line(&error.message), REASON)),
    });
    format!("{} job {}{took}{}", paint(word, style), record.index, more.unwrap_or_default())
}

/// Says something that stays.
pub(crate) fn say(line: &str) {
    // Where standard error is closed, nobody listens.
    let _ = writeln!(io::stderr(), "{line}");
}

/// What a run is, in a line.
pub(super) fn heading(about: &About) -> String {
    let (jobs, agents) = (counted(about.jobs, "job"), counted(about.agents.into(), "agent"));
    format!("{}: {jobs}, {agents}, run {}", printable_line(&about.project), about.run)
}

/// What a run came to.
pub(super) fn conclusion(summary: &Summary, about: &About) -> String {
    format!("{}\nresults: {}", summary.to_text(), about.results)
}

impl Show for Plain {
    fn begin(&mut self, about: &About) -> io::Result<()> {
        self.verbose = about.verbose;
        say(&heading(about));
        Ok(())
    }

    fn change(&mut self, change: &Change, summary: &Summary) -> io::Result<()> {
        match (change, line(change, self.verbose)) {
            (Change::Ended(_), Some(line)) => say(&format!("[{}/{}] {line}", summary.ended(), summary.jobs)),
            (_, Some(line)) => say(&line),
            (_, None) => {}
        }
        Ok(())
    }

    fn ending(&mut self, reason: &str) -> io::Result<()> {
        say(reason);
        Ok(())
    }

    fn end(&mut self, summary: &Summary, about: &About) -> io::Result<()> {
        say(&format!("\n{}", conclusion(summary, about)));
        Ok(())
    }
}
