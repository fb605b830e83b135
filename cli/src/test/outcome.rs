//! What became of a test: its own report, or that of the job which it was.

use std::time::Duration;

use armada_project::{Test, TestReport};
use armada_protocol::report::LogLine;
use armada_protocol::{Cause, JobError, JobRecord};
use serde::Deserialize;

use crate::run::summary::duration;

/// What became of a test.
pub(super) struct Outcome {
    /// That of its parts which are worth a word: of its call, and of what failed.
    pub(super) reports: Vec<TestReport>,
    /// What it logged.
    pub(super) log: Vec<LogLine>,
    /// How long it took.
    pub(super) took: Option<Duration>,
}

/// The result of a job that was a test.
#[derive(Deserialize)]
struct Told {
    reports: Vec<TestReport>,
}

impl Outcome {
    /// The outcome that a job's record tells of.
    pub(super) fn of(record: &JobRecord, test: &Test) -> Self {
        let told = record.result.as_ref().map(|result| serde_json::from_str::<Told>(result.get()));
        let reports = match (told, &record.error) {
            (Some(Ok(told)), _) => told.reports,
            (_, Some(error)) => vec![failed(error, test)],
            _ => {
                let message = "the component did not say what became of the test: was it built by this version?";
                vec![TestReport::call("failed", message.to_owned(), message.to_owned())]
            }
        };
        let mut log: Vec<LogLine> = record.log.iter().map(|line| line.report.clone()).collect();
        // What a panic says on its way out is in the error already.
        let has_trapped = record.error.as_ref().is_some_and(|error| error.cause == Cause::Trap);
        if let Some(panic) = log.iter().rposition(|line| line.text.contains("panicked at ")).filter(|_| has_trapped) {
            log.truncate(panic);
            log.pop_if(|line| line.text.is_empty());
        }
        Self { reports, log, took: duration(record) }
    }

    /// Whether anything of it failed.
    pub(super) fn has_failed(&self) -> bool {
        self.reports.iter().any(|report| report.outcome == "failed")
    }

    /// What it comes to, in a word.
    pub(super) fn word(&self) -> &'static str {
        let words: Vec<&str> = self.reports.iter().map(word).collect();
        ["error", "failed", "skipped", "xfailed", "xpassed"]
            .into_iter()
            .find(|word| words.contains(word))
            .unwrap_or("passed")
    }
}

/// A report in a word. What fails outside a test's call is an error.
pub(super) fn word(report: &TestReport) -> &'static str {
    match report.outcome.as_str() {
        "passed" => "passed",
        "skipped" => "skipped",
        "xfailed" => "xfailed",
        "xpassed" => "xpassed",
        _ if report.when == "call" => "failed",
        _ => "error",
    }
}

/// The report of a job that failed: a panic, an exhausted limit, or a failure that the test returned.
fn failed(error: &JobError, test: &Test) -> TestReport {
    let message = match error.cause {
        // It is in the message already.
        Cause::Failed | Cause::Retry | Cause::Fatal | Cause::Trap => error.message.clone(),
        cause => format!("{}: {}", cause.describe(), error.message),
    };
    let said = message.lines().map(|line| format!("E   {line}")).collect::<Vec<_>>().join("\n");
    let places = match (error.traceback.as_slice(), test.line) {
        ([], Some(line)) => format!("{}:{line}", test.file()),
        ([], None) => test.file().to_owned(),
        (places, _) => places.join("\n"),
    };
    let text = format!("{said}\n\n{places}");
    let mut report = TestReport::call("failed", message, text);
    if error.cause == Cause::NoAgent {
        report.when = "setup".to_owned();
    }
    report
}
