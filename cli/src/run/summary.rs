//! What a run comes to: counts, the slowest jobs, and failures grouped by what they have in common.
//!
//! Its size does not depend on the number of jobs.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use armada_project::counted;
use armada_protocol::{Cause, Change, JobError, JobRecord, Status};
use serde_json::{Value, json};

use super::json::in_seconds;
use crate::console::{Style, cut, paint, printable, printable_line};

/// How many of the slowest jobs are shown.
const SLOWEST: usize = 5;
/// How many groups of failures are kept.
const GROUPS: usize = 50;
/// How many jobs of a group are named.
const NAMED: usize = 10;
/// How much of a failure is repeated, in characters; the results have it whole.
const MESSAGE: usize = 2_000;
/// How many places of a traceback are shown.
const PLACES: usize = 8;

/// What a run comes to.
pub(crate) struct Summary {
    started: Instant,
    took: Duration,
    pub(super) jobs: u64,
    succeeded: u64,
    failed: u64,
    cancelled: u64,
    retried: u64,
    /// The slowest jobs, slowest first: how long each took, and its index.
    slowest: Vec<(Duration, u64)>,
    groups: BTreeMap<(Cause, String), Group>,
    /// Failures that are in no group because there are too many.
    ungrouped: u64,
}

/// Failures with the same cause and first line.
struct Group {
    count: u64,
    jobs: Vec<u64>,
    example: JobError,
}

impl Summary {
    pub(crate) fn new(jobs: u64) -> Self {
        Self {
            started: Instant::now(),
            took: Duration::ZERO,
            jobs,
            succeeded: 0,
            failed: 0,
            cancelled: 0,
            retried: 0,
            slowest: Vec::new(),
            groups: BTreeMap::new(),
            ungrouped: 0,
        }
    }

    pub(super) fn failed(&self) -> u64 {
        self.failed
    }

    /// How many jobs have ended that somebody had begun.
    pub(super) fn ended(&self) -> u64 {
        self.succeeded + self.failed + self.cancelled
    }

    pub(super) fn started(&self) -> Instant {
        self.started
    }

    /// Counts what has happened.
    pub(crate) fn count(&mut self, change: &Change) {
        match change {
            Change::Retried(..) => self.retried += 1,
            Change::Ended(record) => self.count_job(record),
            _ => {}
        }
    }

    fn count_job(&mut self, record: &JobRecord) {
        match record.status {
            Status::Success => self.succeeded += 1,
            Status::Cancelled if record.attempts == 0 => {}
            Status::Cancelled => self.cancelled += 1,
            Status::Failed => self.failed += 1,
        }
        if let Some(error) = &record.error {
            self.group(record.index, error);
        }
        if let Some(took) = duration(record) {
            let place = self.slowest.partition_point(|(other, _)| *other >= took);
            self.slowest.insert(place, (took, record.index));
            self.slowest.truncate(SLOWEST);
        }
    }

    fn group(&mut self, index: u64, error: &JobError) {
        let key = (error.cause, error.message.lines().next().unwrap_or_default().to_owned());
        let is_new = !self.groups.contains_key(&key);
        if is_new && self.groups.len() >= GROUPS {
            self.ungrouped += 1;
            return;
        }
        let new = || Group { count: 0, jobs: Vec::new(), example: error.clone() };
        let group = self.groups.entry(key).or_insert_with(new);
        group.count += 1;
        if group.jobs.len() < NAMED {
            group.jobs.push(index);
        }
    }

    /// The run is over.
    pub(crate) fn finish(&mut self, now: Instant) {
        self.took = now.duration_since(self.started);
    }

    /// The groups, largest first.
    fn groups(&self) -> Vec<&Group> {
        let mut groups: Vec<&Group> = self.groups.values().collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.count));
        groups
    }

    /// The summary as JSON.
    pub(super) fn to_json(&self) -> Value {
        let groups = self.groups().into_iter().map(|group| {
            json!({"cause": group.example.cause, "message": group.example.message, "count": group.count,
                   "jobs": group.jobs, "traceback": group.example.traceback})
        });
        let slowest = self.slowest.iter().map(|(took, index)| json!({"index": index, "seconds": in_seconds(*took)}));
        json!({
            "jobs": self.jobs, "succeeded": self.succeeded, "failed": self.failed, "cancelled": self.cancelled,
            "not_started": self.jobs.saturating_sub(self.ended()), "retried_attempts": self.retried,
            "seconds": in_seconds(self.took), "slowest": slowest.collect::<Vec<_>>(),
            "failures": groups.collect::<Vec<_>>(), "ungrouped_failures": self.ungrouped,
        })
    }

    /// The summary for people.
    pub(super) fn to_text(&self) -> String {
        let mut lines = Vec::new();
        for group in self.groups() {
            lines.push(group.to_text());
        }
        if self.ungrouped > 0 {
            lines.push(format!("… and {} failures of other kinds: see the results\n", self.ungrouped));
        }
        if self.slowest.len() > 1 && self.ended() > 1 {
            let slowest = self.slowest.iter().map(|(took, index)| format!("job {index} {}", seconds(*took)));
            lines.push(format!("slowest: {}", slowest.collect::<Vec<_>>().join(", ")));
        }
        let mut counts = vec![paint(&format!("{} succeeded", self.succeeded), Style::Good)];
        let mut count = |number: u64, what: &str, style: Style| {
            if number > 0 {
                counts.push(paint(&format!("{number} {what}"), style));
            }
        };
        count(self.failed, "failed", Style::Bad);
        count(self.cancelled, "cancelled", Style::Bad);
        count(self.jobs.saturating_sub(self.ended()), "not started", Style::Quiet);
        count(self.retried, if self.retried == 1 { "attempt repeated" } else { "attempts repeated" }, Style::Quiet);
        lines.push(format!("{}: {} in {}", counted(self.jobs, "job"), counts.join(", "), seconds(self.took)));
        lines.join("\n")
    }
}

impl Group {
    fn to_text(&self) -> String {
        let jobs: Vec<String> = self.jobs.iter().map(ToString::to_string).collect();
        let more = if self.count > self.jobs.len() as u64 { ", …" } else { "" };
        let noun = if self.count == 1 { "job" } else { "jobs" };
        let heading = format!("{} {noun} {}: ", self.count, self.example.cause.describe());
        let mut text = format!("{}{}\n", paint(&heading, Style::Bad), cut(printable(&self.example.message), MESSAGE));
        // The places are those of the first job.
        let mut whose = self.jobs.first().map(|job| format!("job {job} at ")).unwrap_or_default();
        for place in self.example.traceback.iter().take(PLACES) {
            text.push_str(&format!("    {whose}{}\n", printable_line(place)));
            whose = format!("{:>1$}", "at ", whose.len());
        }
        if self.count > 1 || self.example.traceback.is_empty() {
            text.push_str(&paint(&format!("    {noun} {}{more}\n", jobs.join(", ")), Style::Quiet));
        }
        text
    }
}

/// How long a job took, all attempts together.
pub(crate) fn duration(record: &JobRecord) -> Option<Duration> {
    let started = record.started?;
    Duration::try_from(record.finished.duration_since(started)).ok()
}

/// A duration for people.
pub(super) fn seconds(duration: Duration) -> String {
    let whole = duration.as_secs();
    match whole {
        0..60 => format!("{:.1} s", duration.as_secs_f64()),
        60..3_600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3_600, whole % 3_600 / 60),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use armada_protocol::Outcome;
    use jiff::Timestamp;

    use super::*;

    pub(in crate::run) fn record(index: u64, milliseconds: i64, outcome: Outcome) -> Change {
        let (status, result, error) = outcome.into_parts();
        Change::Ended(Box::new(JobRecord {
            index,
            uuid: Default::default(),
            status,
            result,
            error,
            attempts: 1,
            agent: Some(0),
            started: Some(Timestamp::UNIX_EPOCH),
            finished: Timestamp::from_millisecond(milliseconds).unwrap(),
            events: Vec::new(),
            log: Vec::new(),
            artifacts: Vec::new(),
        }))
    }

    #[test]
    fn a_place_is_said_with_the_job_that_it_is_of() {
        let mut summary = Summary::new(3);
        for index in [2, 1] {
            let mut change = record(index, 5, Outcome::failed(Cause::Failed, "no price"));
            if let Change::Ended(record) = &mut change {
                record.error.as_mut().unwrap().traceback =
                    vec![format!("ctx_script.rs:{index}"), "lib.rs:9".to_owned()];
            }
            summary.count(&change);
        }
        let text = summary.to_text();
        assert!(text.contains("    job 2 at ctx_script.rs:2\n          at lib.rs:9\n    jobs 2, 1\n"), "{text}");
    }

    #[test]
    fn failures_are_grouped_by_cause_and_first_line() {
        let mut summary = Summary::new(30);
        for index in 0..20 {
            summary.count(&record(index, 5, Outcome::failed(Cause::Failed, format!("no price\non page {index}"))));
        }
        summary.count(&record(20, 5, Outcome::failed(Cause::Trap, "no price")));
        let groups = summary.groups();
        assert_eq!(groups.iter().map(|group| group.count).collect::<Vec<_>>(), [20, 1]);
        assert_eq!(groups[0].jobs.len(), NAMED);
        assert!(summary.to_text().contains("20 jobs failed: no price\non page 0"));
        assert!(summary.to_text().contains("30 jobs: 0 succeeded, 21 failed, 9 not started"));
    }

    #[test]
    fn it_does_not_grow_with_the_jobs() {
        let mut summary = Summary::new(10_000);
        for index in 0..10_000 {
            let outcome = Outcome::failed(Cause::Failed, format!("{index}"));
            summary.count(&record(index, i64::try_from(index).unwrap(), outcome));
        }
        assert_eq!(summary.groups.len(), GROUPS);
        assert_eq!(summary.ungrouped, 10_000 - GROUPS as u64);
        assert_eq!(
            summary.slowest.iter().map(|(_, index)| *index).collect::<Vec<_>>(),
            [9_999, 9_998, 9_997, 9_996, 9_995]
        );
    }
}
