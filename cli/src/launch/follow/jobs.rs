//! What a server tells of a run's jobs, as what a run of this machine tells of its own.
//!
//! The server tells how a job is now and, one by one, what it reports; here are the changes that lead there, and a job
//! that has ended is given with everything that it reported. That is kept for as long as the job goes on.

use std::collections::HashMap;

use armada_orchestrator::store::views::{JobStatus, JobView};
use armada_protocol::outcome::{Attempted, StoredArtifact};
use armada_protocol::report::{Event, EventLevel, LogLevel, LogLine};
use armada_protocol::{Attempt, Change, JobRecord, RunId, Status};
use jiff::Timestamp;
use serde::Deserialize;
use uuid::Uuid;

/// The jobs of a run that go on.
pub(super) struct Jobs {
    run: RunId,
    going_on: HashMap<Uuid, Known>,
}

/// What is known of a job.
#[derive(Default)]
struct Known {
    /// The attempt that is made, or was made last.
    attempt: Option<Attempt>,
    /// Whether it is made now.
    is_made: bool,
    events: Vec<Attempted<Event>>,
    log: Vec<Attempted<LogLine>>,
    artifacts: Vec<StoredArtifact>,
}

/// What is to be told of how a job is now.
pub(super) enum Told {
    /// Nothing.
    Nothing,
    /// This has happened.
    Change(Change),
    /// This attempt is no longer made, and the job gets another.
    Again(Attempt),
}

/// An event of a job, or a line of its log.
#[derive(Deserialize)]
pub(super) struct ReportMessage {
    job_uuid: Uuid,
    attempt: u32,
    #[serde(flatten)]
    level: Level,
    event_content: String,
    attachment: Option<String>,
    event_datetime: Timestamp,
}

#[derive(Deserialize)]
#[serde(tag = "kind", content = "event_status", rename_all = "snake_case")]
enum Level {
    Event(EventLevel),
    Log(LogLevel),
}

/// A file that a job has kept.
#[derive(Deserialize)]
pub(super) struct ArtifactMessage {
    pub(super) job_uuid: Uuid,
    pub(super) name: String,
    media_type: String,
    size: u64,
}

impl Jobs {
    pub(super) fn of(run: RunId) -> Self {
        Self { run, going_on: HashMap::new() }
    }

    /// A job is like this now.
    pub(super) fn job(&mut self, view: JobView) -> Told {
        let status = match view.job_status {
            JobStatus::Queued => return Told::Nothing,
            JobStatus::Waiting => {
                let known = self.going_on.get_mut(&view.job_uuid).filter(|known| known.is_made);
                return known.map_or(Told::Nothing, |known| {
                    known.is_made = false;
                    known.attempt.map_or(Told::Nothing, Told::Again)
                });
            }
            JobStatus::Running => return self.running(&view).map_or(Told::Nothing, Told::Change),
            JobStatus::Success => Status::Success,
            JobStatus::Failed => Status::Failed,
            JobStatus::Cancelled => Status::Cancelled,
        };
        let Known { events, log, artifacts, .. } = self.going_on.remove(&view.job_uuid).unwrap_or_default();
        let Some(finished) = view.finished_at else { return Told::Nothing };
        Told::Change(Change::Ended(Box::new(JobRecord {
            index: view.index,
            uuid: view.job_uuid,
            status,
            error: view.error.and_then(|error| serde_json::from_str(error.get()).ok()),
            result: view.result,
            attempts: view.attempts.try_into().unwrap_or(u32::MAX),
            agent: view.job_associated_agent.and_then(|agent| agent.try_into().ok()),
            started: view.started_at,
            finished,
            events,
            log,
            artifacts,
        })))
    }

    fn running(&mut self, view: &JobView) -> Option<Change> {
        let number = view.attempts.try_into().unwrap_or(u32::MAX);
        let agent = view.job_associated_agent?.try_into().ok()?;
        let attempt = Attempt { run: self.run, job: view.job_uuid, index: view.index, number, agent };
        let known = self.going_on.entry(view.job_uuid).or_default();
        (known.attempt, known.is_made) = (Some(attempt), true);
        let progress = view.progress.as_ref().and_then(|progress| serde_json::from_str(progress.get()).ok());
        Some(progress.map_or(Change::Started(attempt), |progress| Change::Progress(attempt, progress)))
    }

    /// A job has reported something. Nothing is told where it is not known who makes the attempt.
    pub(super) fn report(&mut self, message: ReportMessage) -> Option<Change> {
        let known = self.going_on.entry(message.job_uuid).or_default();
        let (number, time) = (message.attempt, message.event_datetime);
        let attempt = known.attempt.map(|attempt| Attempt { number, ..attempt });
        match message.level {
            Level::Event(level) => {
                let event = Event { time, level, content: message.event_content, attachment: message.attachment };
                known.events.push(Attempted { attempt: number, report: event.clone() });
                Some(Change::Event(attempt?, event))
            }
            Level::Log(level) => {
                let line = LogLine { time, level, text: message.event_content };
                known.log.push(Attempted { attempt: number, report: line.clone() });
                Some(Change::Log(attempt?, line))
            }
        }
    }

    /// A job has kept a file, which is there. One of the same name before it is not.
    pub(super) fn artifact(&mut self, message: ArtifactMessage, path: String) {
        let artifacts = &mut self.going_on.entry(message.job_uuid).or_default().artifacts;
        artifacts.retain(|artifact| artifact.name != message.name);
        let ArtifactMessage { name, media_type, size, .. } = message;
        artifacts.push(StoredArtifact { name, media_type, size, path });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const RUN: RunId = RunId(Uuid::from_u128(1));

    fn job(status: &str, attempts: u64) -> JobView {
        let text = json!({
            "job_uuid": RUN.job(3), "run_uuid": RUN, "job_datetime": Timestamp::UNIX_EPOCH, "job_associated_agent": 2,
            "job_status": status, "index": 3, "attempts": attempts, "started_at": Timestamp::UNIX_EPOCH,
            "finished_at": Timestamp::UNIX_EPOCH, "cursor": 1,
        });
        serde_json::from_str(&text.to_string()).unwrap()
    }

    fn report(kind: &str, status: &str, content: &str) -> ReportMessage {
        let text = json!({
            "event_uuid": RUN, "run_uuid": RUN, "job_uuid": RUN.job(3), "attempt": 1, "kind": kind, "cursor": 1,
            "event_status": status, "event_content": content, "event_datetime": Timestamp::UNIX_EPOCH,
        });
        serde_json::from_str(&text.to_string()).unwrap()
    }

    #[test]
    fn a_job_that_has_ended_has_what_it_reported_in_all_attempts() {
        let mut jobs = Jobs::of(RUN);
        assert!(matches!(jobs.job(job("Running", 1)), Told::Change(Change::Started(_))));
        let event = jobs.report(report("event", "warning", "odd"));
        assert!(matches!(event, Some(Change::Event(attempt, event))
            if (attempt.index, attempt.number, attempt.agent) == (3, 1, 2) && event.level == EventLevel::Warning));
        assert!(matches!(jobs.report(report("log", "debug", "line")), Some(Change::Log(..))));
        for size in [1, 2] {
            let text = json!({"job_uuid": RUN.job(3), "name": "a.txt", "media_type": "text/plain", "size": size});
            jobs.artifact(serde_json::from_value(text).unwrap(), "there".to_owned());
        }
        assert!(matches!(jobs.job(job("Waiting", 1)), Told::Again(attempt) if attempt.number == 1));
        assert!(matches!(jobs.job(job("Waiting", 1)), Told::Nothing), "it is told once");
        assert!(matches!(jobs.job(job("Running", 2)), Told::Change(Change::Started(_))));
        let Told::Change(Change::Ended(record)) = jobs.job(job("Success", 2)) else { panic!("it has ended") };
        assert_eq!((record.attempts, record.agent), (2, Some(2)));
        assert_eq!(record.events.len(), 1);
        assert_eq!((record.events[0].attempt, record.events[0].report.content.as_str()), (1, "odd"));
        assert_eq!((record.log[0].attempt, record.log[0].report.text.as_str()), (1, "line"));
        assert_eq!(record.artifacts.iter().map(|artifact| artifact.size).collect::<Vec<_>>(), [2]);
        assert!(jobs.going_on.is_empty());
    }

    #[test]
    fn a_job_whose_beginning_is_not_known_has_what_is_known() {
        let mut jobs = Jobs::of(RUN);
        assert!(jobs.report(report("event", "info", "seen")).is_none());
        let Told::Change(Change::Ended(record)) = jobs.job(job("Failed", 1)) else { panic!("it has ended") };
        assert_eq!(record.events.len(), 1);
    }
}
