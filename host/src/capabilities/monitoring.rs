//! What a script reports: `wit/deps/monitoring.wit`.
//!
//! Reports are bounded per job before they are taken: in number, in rate and in bytes. What is taken goes out in small
//! batches while the job runs, and is all out before its outcome is.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use armada_project::{Capability, Grant, Limits};
use armada_protocol::report::{Artifact, Event, EventLevel, LogLevel, LogLine, Progress};
use armada_protocol::{Attempt, JobStore, ProtocolError, Report};
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use wasmtime::component::Accessor;

use super::cut;
use super::output::Stream;
use crate::call::{Call, Host, call, call_now};
use crate::contract::{Error, monitoring as wit};
use crate::instance::InstanceState;

/// How long an event may be, in bytes.
const EVENT_BYTES: usize = 16 * 1024;
/// How long a line of the log may be, in bytes.
pub(crate) const LINE_BYTES: usize = 8 * 1024;
/// How long a media type and the text of a progress may be, in bytes.
const SHORT_BYTES: usize = 255;
/// How many of the last lines of the log are remembered, for what a trap does not say.
const LAST_LINES: usize = 20;
/// How many notices of the host one job gets, beside its own events.
const NOTICES: u64 = 100;
/// What a line of the log counts beside its text, in bytes.
const RECORD_BYTES: u64 = 100;
/// How long reports wait for company before they go out.
const BATCH: Duration = Duration::from_millis(20);

/// The reports of an agent's jobs.
pub(crate) struct Monitoring {
    grant: Arc<Grant>,
    state: Mutex<State>,
    arrived: Notify,
}

#[derive(Default)]
struct State {
    job: Option<JobReports>,
    last_lines: VecDeque<String>,
    /// The guest's output streams, whose last lines may have no end.
    streams: Vec<Stream>,
    /// When the events of the last second were reported, for their rate.
    recent_events: VecDeque<Instant>,
}

/// What a job has reported so far.
struct JobReports {
    attempt: Attempt,
    waiting: Vec<Report>,
    /// How many reports have been sent.
    sent: u64,
    events: u64,
    notices: HashSet<String>,
    log_bytes: u64,
    log_is_full: bool,
    /// The sizes of its artifacts, by name.
    artifacts: HashMap<String, u64>,
    /// The sum of these.
    artifact_bytes: u64,
}

impl Monitoring {
    /// The reports of an agent with this grant.
    pub(crate) fn new(grant: Arc<Grant>) -> Self {
        Self { grant, state: Mutex::default(), arrived: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An attempt begins: what is reported from now on belongs to it.
    pub(crate) fn begin_job(&self, attempt: Attempt) {
        let mut state = self.state();
        state.last_lines.clear();
        state.job = Some(JobReports {
            attempt,
            waiting: Vec::new(),
            sent: 0,
            events: 0,
            notices: HashSet::new(),
            log_bytes: 0,
            log_is_full: false,
            artifacts: HashMap::new(),
            artifact_bytes: 0,
        });
    }

    /// The attempt that is being made.
    fn attempt(&self) -> Option<Attempt> {
        self.state().job.as_ref().map(|job| job.attempt)
    }

    /// Sends reports out as they come, until the job is over; then use [`finish_job`](Self::finish_job) for the rest.
    pub(crate) async fn send_reports(
        &self,
        jobs: &dyn JobStore,
        over: &CancellationToken,
    ) -> Result<(), ProtocolError> {
        loop {
            tokio::select! {
                biased;
                () = over.cancelled() => return Ok(()),
                () = self.arrived.notified() => {}
            }
            tokio::select! {
                () = over.cancelled() => return Ok(()),
                () = tokio::time::sleep(BATCH) => {}
            }
            // Seen through: what was taken to be sent would otherwise be lost.
            self.send_waiting(jobs).await?;
        }
    }

    async fn send_waiting(&self, jobs: &dyn JobStore) -> Result<(), ProtocolError> {
        let batch = self.state().job.as_mut().map(|job| {
            let (first, reports) = (job.sent, std::mem::take(&mut job.waiting));
            job.sent += reports.len() as u64;
            (job.attempt, first, reports)
        });
        match batch {
            Some((attempt, first, reports)) if !reports.is_empty() => jobs.report(attempt, first, reports).await,
            _ => Ok(()),
        }
    }

    /// The attempt is over: everything that it has reported goes out.
    pub(crate) async fn finish_job(&self, jobs: &dyn JobStore) -> Result<(), ProtocolError> {
        self.flush_streams();
        self.send_waiting(jobs).await?;
        self.state().job = None;
        Ok(())
    }

    /// The streams of a new instance, whose last lines are to be logged at the end of a job.
    pub(super) fn attach(&self, streams: &[Stream]) {
        self.state().streams = streams.to_vec();
    }

    /// Logs the last lines of the guest's streams, ended or not.
    pub(crate) fn flush_streams(&self) {
        let streams = self.state().streams.clone();
        for stream in streams {
            stream.flush();
        }
    }

    /// The last lines of the log, oldest first.
    pub(crate) fn last_lines(&self) -> Vec<String> {
        self.state().last_lines.iter().cloned().collect()
    }

    /// Writes a line to the log of the job, or to the host's own while there is none.
    pub(crate) fn log(&self, level: LogLevel, text: String) {
        let most = self.grant.limits().log_bytes_per_job;
        let mut state = self.state();
        if state.last_lines.len() >= LAST_LINES {
            state.last_lines.pop_front();
        }
        state.last_lines.push_back(text.clone());
        let Some(job) = &mut state.job else {
            tracing::info!(target: "armada::script", "{text}");
            return;
        };
        if job.log_is_full {
            return;
        }
        job.log_bytes = job.log_bytes.saturating_add(text.len() as u64 + RECORD_BYTES);
        let (level, text) = if job.log_bytes > most {
            job.log_is_full = true;
            let text = format!("the log is full at {most} bytes (run_message.sandbox.limits.log_bytes_per_job)");
            (LogLevel::Warning, text)
        } else {
            (level, text)
        };
        job.waiting.push(Report::Log(LogLine { time: Timestamp::now(), level, text }));
        drop(state);
        self.arrived.notify_one();
    }

    /// Tells what the host did to the job and not the script, once for each thing.
    pub(crate) fn notice(&self, content: String) {
        tracing::debug!(target: "armada::notice", "{content}");
        let mut state = self.state();
        let Some(job) = &mut state.job else { return };
        if job.notices.len() as u64 >= NOTICES || !job.notices.insert(content.clone()) {
            return;
        }
        let event = Event { time: Timestamp::now(), level: EventLevel::Warning, content, attachment: None };
        job.waiting.push(Report::Event(event));
        drop(state);
        self.arrived.notify_one();
    }

    fn record_event(&self, level: EventLevel, content: String, attachment: Option<Artifact>) -> Result<(), Error> {
        if content.len() > EVENT_BYTES {
            return Err(Error::Limit(format!(
                "an event has at most {EVENT_BYTES} bytes; this one has {}",
                content.len()
            )));
        }
        let limits = self.grant.limits();
        let mut state = self.state();
        let instant = Instant::now();
        let second_ago = instant.checked_sub(Duration::from_secs(1));
        while state.recent_events.front().is_some_and(|first| second_ago.is_some_and(|ago| *first < ago)) {
            state.recent_events.pop_front();
        }
        if state.recent_events.len() as u64 >= limits.events_per_second {
            return Err(Error::Limit(format!(
                "{} events in a second are the most: see run_message.sandbox.limits.events_per_second",
                limits.events_per_second
            )));
        }
        let job = state.job.as_mut().ok_or_else(no_job)?;
        if job.events >= limits.events_per_job {
            return Err(Error::Limit(format!(
                "the job has reported {} events already: see run_message.sandbox.limits.events_per_job",
                job.events
            )));
        }
        let name = attachment.as_ref().map(|attachment| attachment.name.clone());
        if let Some(attachment) = attachment {
            job.keep(attachment, limits)?;
        }
        job.events += 1;
        job.waiting.push(Report::Event(Event { time: Timestamp::now(), level, content, attachment: name }));
        state.recent_events.push_back(instant);
        drop(state);
        self.arrived.notify_one();
        Ok(())
    }

    fn report_progress(&self, done: u64, total: Option<u64>, message: &str) {
        let message = cut(message, SHORT_BYTES).to_owned();
        let mut state = self.state();
        let Some(job) = &mut state.job else { return };
        // Only the last one counts, so only the last one waits.
        job.waiting.retain(|report| !matches!(report, Report::Progress(_)));
        job.waiting.push(Report::Progress(Progress { done, total, message }));
        drop(state);
        self.arrived.notify_one();
    }

    fn save_artifact(&self, artifact: Artifact) -> Result<(), Error> {
        self.state().job.as_mut().ok_or_else(no_job)?.keep(artifact, self.grant.limits())?;
        self.arrived.notify_one();
        Ok(())
    }
}

fn no_job() -> Error {
    Error::Invalid("no job is running: report from the script or the job context".to_owned())
}

impl JobReports {
    /// Takes an artifact, which replaces an earlier one of its name.
    fn keep(&mut self, artifact: Artifact, limits: &Limits) -> Result<(), Error> {
        if !Artifact::is_allowed_name(&artifact.name) {
            return Err(Error::Invalid(format!(
                "{:?} is no name for an artifact: it must be a file name of 1 to 200 bytes, without a path, that neither \
                 starts with a dot, hyphen or blank nor has invisible characters",
                cut(&artifact.name, SHORT_BYTES)
            )));
        }
        if artifact.media_type.len() > SHORT_BYTES || artifact.media_type.contains(char::is_control) {
            return Err(Error::Invalid("this is no media type".to_owned()));
        }
        let size = artifact.bytes.len() as u64;
        let replaced = self.artifacts.get(&artifact.name).copied();
        if replaced.is_none() && self.artifacts.len() as u64 >= limits.artifacts_per_job {
            return Err(Error::Limit(format!(
                "the job has kept {} artifacts already: see run_message.sandbox.limits.artifacts_per_job",
                self.artifacts.len()
            )));
        }
        let bytes = self.artifact_bytes.saturating_sub(replaced.unwrap_or_default()).saturating_add(size);
        if bytes > limits.artifact_bytes_per_job {
            return Err(Error::Limit(format!(
                "the job's artifacts would have {bytes} bytes, more than {}: \
                 raise run_message.sandbox.limits.artifact_bytes_per_job",
                limits.artifact_bytes_per_job
            )));
        }
        self.artifact_bytes = bytes;
        self.artifacts.insert(artifact.name.clone(), size);
        self.waiting.retain(|report| !matches!(report, Report::Artifact(other) if other.name == artifact.name));
        self.waiting.push(Report::Artifact(artifact));
        Ok(())
    }
}

const fn named(name: &'static str) -> Call {
    Call::of(Capability::Monitoring, name)
}

impl From<wit::Artifact> for Artifact {
    fn from(artifact: wit::Artifact) -> Self {
        Self { name: artifact.name, media_type: artifact.media_type, bytes: artifact.bytes }
    }
}

impl wit::Host for InstanceState {
    fn current_job(&mut self) -> Option<wit::Job> {
        let job = call_now(self, named("current-job"), |state| {
            Ok(state.capabilities.monitoring.attempt().map(|attempt| wit::Job {
                run_id: attempt.run.to_string(),
                job_uuid: attempt.job.to_string(),
                index: attempt.index,
                attempt: attempt.number,
                agent: attempt.agent,
            }))
        });
        job.unwrap_or(None)
    }

    fn record_event(
        &mut self,
        level: wit::EventLevel,
        content: String,
        attachment: Option<wit::Artifact>,
    ) -> Result<(), Error> {
        let level = match level {
            wit::EventLevel::Info => EventLevel::Info,
            wit::EventLevel::Success => EventLevel::Success,
            wit::EventLevel::Warning => EventLevel::Warning,
            wit::EventLevel::Failure => EventLevel::Failure,
        };
        call_now(self, named("record-event"), |state| {
            state.capabilities.monitoring.record_event(level, content, attachment.map(Into::into))
        })
    }

    fn log(&mut self, level: wit::LogLevel, message: String) {
        let level = match level {
            wit::LogLevel::Debug => LogLevel::Debug,
            wit::LogLevel::Info => LogLevel::Info,
            wit::LogLevel::Warning => LogLevel::Warning,
            wit::LogLevel::Error => LogLevel::Error,
        };
        // It needs no grant, as standard output does not, which goes to the same log.
        let _ = call_now(self, Call::free("log"), |state| {
            for line in message.lines() {
                let text = cut(line, LINE_BYTES);
                let ellipsis = if text.len() < line.len() { "…" } else { "" };
                state.capabilities.monitoring.log(level, format!("{text}{ellipsis}"));
            }
            Ok(())
        });
    }

    fn progress(&mut self, done: u64, total: Option<u64>, message: String) {
        let _ = call_now(self, named("progress"), |state| {
            state.capabilities.monitoring.report_progress(done, total, &message);
            Ok(())
        });
    }
}

impl wit::HostWithStore<InstanceState> for Host {
    async fn save_artifact(accessor: &Accessor<InstanceState, Self>, artifact: wit::Artifact) -> Result<(), Error> {
        call(accessor, named("save-artifact"), |state| {
            let monitoring = state.capabilities.monitoring.clone();
            Ok(async move { monitoring.save_artifact(artifact.into()) })
        })
        .await
    }
}

impl crate::call::Weigh for wit::Job {}
