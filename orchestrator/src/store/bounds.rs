//! What an attempt may report: checked here again, because an agent from elsewhere may be anything that has its run's
//! credential.
//!
//! Agents keep their scripts to the run's limits, and count in the same way; whatever is beyond them comes from no
//! agent of ours.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use armada_project::{Grant, Limits};
use armada_protocol::report::Artifact;
use armada_protocol::{Attempt, ProtocolError, Report, RunId};
use sqlx::Row as _;
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::views::count;
use super::{Store, StoreError};

/// How long the text of an event or a line of the log, of a progress, or of what an agent says of itself may be, in
/// bytes. Agents cut theirs earlier.
pub(super) const TEXT_BYTES: usize = 64 << 10;
/// What a report counts beside its text, in bytes, as agents count it.
const RECORD_BYTES: u64 = 100;
/// How many bytes an attempt may report beside its own events and its log: what the host has to say.
const OWN_BYTES: u64 = 16 << 20;
/// How long an event may be, in bytes.
const EVENT_BYTES: u64 = 16 << 10;

/// What is known of what a run's attempts have reported.
#[derive(Default)]
pub(super) struct Bounds {
    limits: OnceCell<Limits>,
    /// By job, for the attempt that is open.
    reported: Mutex<HashMap<Uuid, Reported>>,
}

/// How much an attempt has reported.
#[derive(Default)]
struct Reported {
    attempt: u32,
    /// How many reports are counted: what is said again counts once.
    until: u64,
    bytes: u64,
}

impl Bounds {
    /// Nothing is reported of a job any more.
    pub(super) fn forget(&self, job: Uuid) {
        self.reported.lock().unwrap_or_else(PoisonError::into_inner).remove(&job);
    }

    /// Counts reports; says whether they are as many bytes as the attempt may report at most.
    fn count(&self, attempt: Attempt, first: u64, reports: &[Report], most: u64) -> bool {
        let mut all = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        let reported = all.entry(attempt.job).or_default();
        if reported.attempt != attempt.number {
            *reported = Reported { attempt: attempt.number, ..Reported::default() };
        }
        for (number, report) in (first..).zip(reports) {
            if number >= reported.until {
                reported.until = number.saturating_add(1);
                reported.bytes = reported.bytes.saturating_add(text_of(report).len() as u64 + RECORD_BYTES);
            }
        }
        reported.bytes <= most
    }
}

fn text_of(report: &Report) -> &str {
    match report {
        Report::Event(event) => &event.content,
        Report::Log(line) => &line.text,
        // Only the last of these is kept.
        Report::Progress(_) | Report::Artifact(_) => "",
    }
}

fn artifact_of(report: &Report) -> Option<&Artifact> {
    match report {
        Report::Artifact(artifact) => Some(artifact),
        _ => None,
    }
}

impl Store {
    /// Refuses reports that are more than the attempt's run allows.
    pub(super) async fn check_bounds(
        &self,
        attempt: Attempt,
        first: u64,
        reports: &[Report],
    ) -> Result<(), ProtocolError> {
        let refused = |what: &str| Err(ProtocolError::Invalid(format!("the attempt reports more {what} than it may")));
        if i64::try_from(first.saturating_add(reports.len() as u64)).is_err() {
            return refused("reports");
        }
        let live = self.live.of(attempt.run);
        let limits = live.bounds.limits.get_or_try_init(|| self.limits(attempt.run)).await?;
        let is_too_long = |report: &Report| match report {
            Report::Progress(progress) => progress.message.len() > TEXT_BYTES,
            Report::Artifact(artifact) => artifact.media_type.len() > TEXT_BYTES,
            report => text_of(report).len() > TEXT_BYTES,
        };
        if reports.iter().any(is_too_long) {
            return refused("text at once");
        }
        let events = limits.events_per_job.saturating_mul(EVENT_BYTES + RECORD_BYTES);
        let most = events.saturating_add(limits.log_bytes_per_job).saturating_add(OWN_BYTES);
        if !live.bounds.count(attempt, first, reports, most) {
            return refused("events and lines of the log");
        }
        self.check_artifacts(attempt, reports, limits).await
    }

    async fn check_artifacts(
        &self,
        attempt: Attempt,
        reports: &[Report],
        limits: &Limits,
    ) -> Result<(), ProtocolError> {
        let artifacts: HashMap<&str, &Artifact> =
            reports.iter().filter_map(artifact_of).map(|artifact| (artifact.name.as_str(), artifact)).collect();
        if artifacts.is_empty() {
            return Ok(());
        }
        let mut sizes = self.artifact_sizes(attempt).await?;
        sizes.extend(artifacts.values().map(|artifact| (artifact.name.clone(), artifact.bytes.len() as u64)));
        let bytes = sizes.values().fold(0, |sum: u64, size| sum.saturating_add(*size));
        if sizes.len() as u64 > limits.artifacts_per_job || bytes > limits.artifact_bytes_per_job {
            let told = "the attempt keeps more artifacts than it may".to_owned();
            return Err(ProtocolError::Invalid(told));
        }
        Ok(())
    }

    /// The sizes of what an attempt has kept, by name.
    async fn artifact_sizes(&self, attempt: Attempt) -> Result<HashMap<String, u64>, StoreError> {
        let select = sqlx::query("SELECT name, size FROM artifacts WHERE job_id = $1 AND attempt = $2");
        let select = select.bind(attempt.job.to_string()).bind(i64::from(attempt.number));
        let rows = select.fetch_all(self.pool()).await?;
        rows.iter().map(|row| Ok((row.try_get("name")?, count(row.try_get("size")?)))).collect()
    }

    async fn limits(&self, run: RunId) -> Result<Limits, StoreError> {
        let select =
            sqlx::query("SELECT granted FROM runs WHERE id = $1 AND granted IS NOT NULL").bind(run.to_string());
        let row = select.fetch_optional(self.pool()).await?;
        let row = row.ok_or_else(|| StoreError::NotFound(format!("run {run}")))?;
        let grant: Grant = serde_json::from_str(row.try_get("granted")?)?;
        Ok(grant.limits().clone())
    }
}
