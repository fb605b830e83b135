//! What a script reports: `wit/deps/monitoring.wit`.
//!
//! Reports are bounded per job before they are taken: in number, in rate and in bytes. What is taken goes out in small
//! batches while the job runs, and is all out before its outcome is. What cannot go out yet waits in a [`Backlog`].

mod backlog;

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use armada_project::{Capability, Grant, Limits};
use armada_protocol::report::{Artifact, Event, EventLevel, LogLevel, LogLine, Progress};
use armada_protocol::{Attempt, JobStore, ProtocolError, Report};
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use wasmtime::component::Accessor;

use self::backlog::Backlog;
use super::output::Stream;
use super::{Life, cut};
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
    /// Where reports wait that are too many for memory.
    folder: PathBuf,
    /// Host calls hold it while they report, which may include a write to the backlog's file: bounded, as the backlog
    /// is.
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
    waiting: Backlog,
    /// How many reports have been taken to be sent.
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
    /// The reports of an agent with this grant, which wait in this folder if they are too many for memory.
    pub(crate) fn new(grant: Arc<Grant>, folder: PathBuf) -> Self {
        Self { grant, folder, state: Mutex::default(), arrived: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The attempt that is being made.
    pub(super) fn attempt(&self) -> Option<Attempt> {
        self.state().job.as_ref().map(|job| job.attempt)
    }

    /// Whether a job is running.
    pub(crate) fn is_in_job(&self) -> bool {
        self.state().job.is_some()
    }

    /// Sends reports out as they come, until the job is over; then use [`finish_job`](Self::finish_job) for the rest,
    /// if this has not failed.
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

    /// Sends what waits, batch after batch, until nothing does.
    async fn send_waiting(&self, jobs: &dyn JobStore) -> Result<(), ProtocolError> {
        while let Some((attempt, first, reports)) = self.take()? {
            jobs.report(attempt, first, reports).await?;
        }
        Ok(())
    }

    /// Takes a batch of what waits: its attempt, the number of its first report, and the reports.
    fn take(&self) -> Result<Option<(Attempt, u64, Vec<Report>)>, ProtocolError> {
        let mut state = self.state();
        let Some(job) = &mut state.job else { return Ok(None) };
        let (first, reports) = (job.sent, job.waiting.take()?);
        job.sent += reports.len() as u64;
        Ok((!reports.is_empty()).then_some((job.attempt, first, reports)))
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
        let mut state = self.state();
        state.streams.retain(Stream::is_in_use);
        state.streams.extend_from_slice(streams);
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
        self.tell(EventLevel::Warning, content);
    }

    /// Tells what the host did for the job, once for each thing. Says whether there is a job to tell it to.
    pub(crate) fn tell(&self, level: EventLevel, content: String) -> bool {
        tracing::debug!(target: "armada::notice", "{content}");
        let mut state = self.state();
        let Some(job) = &mut state.job else { return false };
        if job.notices.len() as u64 >= NOTICES || !job.notices.insert(content.clone()) {
            return true;
        }
        let content = cut(&content, EVENT_BYTES).to_owned();
        let event = Event { time: Timestamp::now(), level, content, attachment: None };
        job.waiting.push(Report::Event(event));
        drop(state);
        self.arrived.notify_one();
        true
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
        job.waiting.push(Report::Progress(Progress { done, total, message }));
        drop(state);
        self.arrived.notify_one();
    }

    /// How many bytes an artifact of this name may have, beside what the job has kept.
    pub(super) fn room_for_artifact(&self, name: &str) -> u64 {
        let most = self.grant.limits().artifact_bytes_per_job;
        self.state().job.as_ref().map_or(0, |job| {
            let replaced = job.artifacts.get(name).copied().unwrap_or_default();
            most.saturating_sub(job.artifact_bytes.saturating_sub(replaced))
        })
    }

    /// Keeps an artifact of the job.
    pub(super) fn save_artifact(&self, artifact: Artifact) -> Result<(), Error> {
        self.state().job.as_mut().ok_or_else(no_job)?.keep(artifact, self.grant.limits())?;
        self.arrived.notify_one();
        Ok(())
    }
}

impl Life for Monitoring {
    /// An attempt begins: what is reported from now on belongs to it.
    fn begin_job(&self, attempt: Attempt) {
        let mut state = self.state();
        state.last_lines.clear();
        state.job = Some(JobReports {
            attempt,
            waiting: Backlog::new(self.folder.clone()),
            sent: 0,
            events: 0,
            notices: HashSet::new(),
            log_bytes: 0,
            log_is_full: false,
            artifacts: HashMap::new(),
            artifact_bytes: 0,
        });
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
        // On disk, what is replaced stays until it is sent.
        let most = limits.artifact_bytes_per_job.saturating_mul(2);
        if self.waiting.artifact_bytes_on_disk().saturating_add(size) > most {
            return Err(Error::Limit(format!(
                "too many versions of the job's artifacts wait to be stored, more than {most} bytes: \
                 save them less often, or raise run_message.sandbox.limits.artifact_bytes_per_job"
            )));
        }
        self.artifact_bytes = bytes;
        self.artifacts.insert(artifact.name.clone(), size);
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

#[cfg(test)]
mod tests {
    use armada_project::{Ceiling, Sandbox};
    use armada_protocol::{AgentState, Incarnation, Job, Next, Outcome, RunId, Start, Stop};
    use async_trait::async_trait;
    use tokio::sync::Semaphore;

    use super::*;

    /// A ledger that takes no reports until it is back, and then notes them.
    struct Away {
        asked: Notify,
        is_back: Semaphore,
        reported: Mutex<Vec<(u64, Report)>>,
        largest: Mutex<usize>,
    }

    #[async_trait]
    impl JobStore for Away {
        async fn agent(&self, _: RunId, _: Incarnation, _: AgentState) -> Result<(), ProtocolError> {
            Ok(())
        }
        async fn alive(&self, _: RunId, _: Incarnation) -> Result<(), ProtocolError> {
            Ok(())
        }
        async fn start(&self, _: RunId, _: &Job, _: Incarnation) -> Result<Start, ProtocolError> {
            Ok(Start::Ended)
        }
        async fn report(&self, _: Attempt, first: u64, reports: Vec<Report>) -> Result<(), ProtocolError> {
            self.asked.notify_one();
            let _permit = self.is_back.acquire().await.map_err(|_| ProtocolError::Closed)?;
            let mut largest = self.largest.lock().unwrap();
            *largest = reports.iter().map(content).sum::<usize>().max(*largest);
            self.reported.lock().unwrap().extend((first..).zip(reports));
            Ok(())
        }
        async fn finish(&self, _: Attempt, _: Outcome) -> Result<Next, ProtocolError> {
            Ok(Next::Ended)
        }
        async fn stopped(&self, _: RunId) -> Result<Stop, ProtocolError> {
            std::future::pending().await
        }
    }

    fn content(report: &Report) -> usize {
        match report {
            Report::Log(line) => line.text.len(),
            Report::Artifact(artifact) => artifact.bytes.len(),
            _ => 0,
        }
    }

    fn monitoring(folder: &std::path::Path) -> Monitoring {
        let monitoring =
            Monitoring::new(Arc::new(Grant::new(&Sandbox::default(), &Ceiling::none())), folder.to_owned());
        let run = RunId::new();
        let by = Incarnation::new(0);
        monitoring.begin_job(Attempt { run, job: run.job(0), index: 0, number: 1, agent: by.agent });
        monitoring
    }

    fn artifact(name: String, size: usize) -> Artifact {
        Artifact { name, media_type: "text/plain".to_owned(), bytes: vec![b'x'; size] }
    }

    #[tokio::test]
    async fn what_is_reported_while_the_ledger_is_away_is_bounded_in_memory_and_arrives_once_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let monitoring = monitoring(folder.path());
        let ledger = Away {
            asked: Notify::new(),
            is_back: Semaphore::new(0),
            reported: Mutex::default(),
            largest: Mutex::default(),
        };
        let over = CancellationToken::new();
        let job = async {
            let (mut expected, mut most) = (Vec::new(), 0);
            for number in 0..400 {
                let line = format!("line {number} {}", "x".repeat(1000));
                monitoring.log(LogLevel::Info, line.clone());
                expected.push(line);
                let name = format!("{number}.txt");
                if number % 5 == 0 {
                    monitoring.save_artifact(artifact(name.clone(), 100_000)).unwrap();
                    expected.push(name);
                }
                most = monitoring.state().job.as_ref().unwrap().waiting.bytes_in_memory().max(most);
                if number == 10 {
                    // What has come until now is being sent.
                    ledger.asked.notified().await;
                }
            }
            over.cancel();
            ledger.is_back.add_permits(1);
            (expected, most)
        };
        let ((expected, most), sent) = tokio::join!(job, monitoring.send_reports(&ledger, &over));
        sent.unwrap();
        monitoring.finish_job(&ledger).await.unwrap();
        assert!(most <= 1 << 20, "{most} bytes were in memory");
        let largest = *ledger.largest.lock().unwrap();
        assert!(largest <= 1 << 20, "{largest} bytes were sent at once");
        let reported = ledger.reported.into_inner().unwrap();
        let numbers: Vec<u64> = reported.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, (0..expected.len() as u64).collect::<Vec<_>>());
        let told: Vec<String> = reported
            .into_iter()
            .map(|(_, report)| match report {
                Report::Log(line) => line.text,
                Report::Artifact(artifact) => artifact.name,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(told, expected);
    }

    #[tokio::test]
    async fn versions_of_an_artifact_that_wait_do_not_fill_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let monitoring = monitoring(folder.path());
        let size = 8 << 20;
        let refused = (0..100).find_map(|_| monitoring.save_artifact(artifact("a.txt".to_owned(), size)).err());
        assert!(matches!(&refused, Some(Error::Limit(why)) if why.contains("artifact_bytes_per_job")), "{refused:?}");
        let state = monitoring.state();
        let on_disk = state.job.as_ref().unwrap().waiting.artifact_bytes_on_disk();
        assert!(on_disk <= 2 * monitoring.grant.limits().artifact_bytes_per_job, "{on_disk}");
    }
}
