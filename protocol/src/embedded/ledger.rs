//! The ledger in memory: who makes which attempt at what, and what came of it.
//!
//! Every decision (is this job over, does it get another attempt, is the run drained) is made under the run's one lock,
//! as a database would make it in one transaction. Of a job that has ended, one bit is kept; its record goes to whoever
//! listens to the run's changes, and the ledger waits for them rather than pile records up.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::mpsc::PermitIterator;
use tokio::sync::watch;
use uuid::Uuid;

use crate::outcome::{Attempted, StoredArtifact};
use crate::report::{Artifact, Event, LogLine};
use crate::{
    AgentState, Attempt, Cause, Change, Incarnation, Job, JobRecord, JobStore, Ledger, Next, Outcome, ProtocolError,
    Report, RunId, RunOptions, Start, Stop,
};

/// The [`Ledger`] of this process.
#[derive(Debug, Default)]
pub struct EmbeddedJobStore {
    runs: Mutex<HashMap<RunId, Arc<Run>>>,
}

#[derive(Debug)]
struct Run {
    options: RunOptions,
    book: Mutex<Book>,
    stop: watch::Sender<Option<Stop>>,
}

#[derive(Debug, Default)]
struct Book {
    /// Jobs of which an attempt was begun and that have not ended.
    open: HashMap<Uuid, OpenJob>,
    /// One bit for each job that has ended, by index.
    ended: Bits,
    /// How many jobs there are, once all have been dispatched.
    total: Option<u64>,
}

#[derive(Debug)]
struct OpenJob {
    attempts: u32,
    /// Whether the last attempt is still being made.
    running: bool,
    by: Incarnation,
    started: Timestamp,
    events: Vec<Attempted<Event>>,
    log: Vec<Attempted<LogLine>>,
    artifacts: Vec<StoredArtifact>,
}

impl OpenJob {
    fn new(by: Incarnation) -> Self {
        Self {
            attempts: 0,
            running: false,
            by,
            started: Timestamp::now(),
            events: Vec::new(),
            log: Vec::new(),
            artifacts: Vec::new(),
        }
    }
}

/// A growing set of small numbers.
#[derive(Debug, Default)]
struct Bits {
    words: Vec<u64>,
    count: u64,
}

impl Bits {
    fn position(index: u64) -> Option<(usize, u64)> {
        Some((usize::try_from(index / 64).ok()?, 1 << (index % 64)))
    }

    fn contains(&self, index: u64) -> bool {
        Self::position(index).is_some_and(|(word, bit)| self.words.get(word).is_some_and(|bits| bits & bit != 0))
    }

    fn insert(&mut self, index: u64) {
        let Some((word, bit)) = Self::position(index) else { return };
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        if let Some(bits) = self.words.get_mut(word)
            && *bits & bit == 0
        {
            *bits |= bit;
            self.count += 1;
        }
    }
}

/// Room for changes among those that wait to be heard.
struct Room<'a>(Option<PermitIterator<'a, Change>>);

impl Room<'_> {
    fn tell(&mut self, change: Change) {
        if let Some(permit) = self.0.as_mut().and_then(Iterator::next) {
            permit.send(change);
        }
    }
}

impl Run {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Room for this many changes, taken before anything is decided: what is decided is then told in the same breath,
    /// whatever becomes of whoever asked. Nobody listening any more means that nobody wants to know.
    async fn room(&self, changes: usize) -> Room<'_> {
        Room(self.options.changes.reserve_many(changes).await.ok())
    }

    /// Ends a job: takes it out of the book and tells, and lets the agents stop if it was the last.
    fn end(&self, book: &mut Book, room: &mut Room<'_>, job: Uuid, index: u64, outcome: Outcome) {
        let record = book.end(job, index, outcome);
        room.tell(Change::Ended(Box::new(record)));
        self.stop_if_drained(book, room);
    }

    fn stop_if_drained(&self, book: &Book, room: &mut Room<'_>) {
        if book.is_drained() {
            room.tell(Change::Drained);
            self.stop.send_if_modified(|stop| {
                let first = stop.is_none();
                stop.get_or_insert(Stop::Drained);
                first
            });
        }
    }

    /// Writes an artifact to its file, which replaces an earlier one of the same name.
    async fn keep(&self, attempt: Attempt, artifact: Artifact) -> Result<Option<StoredArtifact>, ProtocolError> {
        let Some(root) = &self.options.artifacts else { return Ok(None) };
        if !Artifact::is_allowed_name(&artifact.name) {
            return Err(ProtocolError::Invalid(format!("an artifact cannot be named {:?}", artifact.name)));
        }
        let folder = root.join(format!("job-{}", attempt.index));
        tokio::fs::create_dir_all(&folder).await?;
        let path = folder.join(&artifact.name);
        tokio::fs::write(&path, &artifact.bytes).await?;
        Ok(Some(StoredArtifact {
            name: artifact.name,
            media_type: artifact.media_type,
            size: artifact.bytes.len().try_into().unwrap_or(u64::MAX),
            path: path.display().to_string(),
        }))
    }
}

impl Book {
    /// Takes a job out of the book as ended.
    fn end(&mut self, job: Uuid, index: u64, outcome: Outcome) -> JobRecord {
        let open = self.open.remove(&job);
        self.ended.insert(index);
        let (status, result, error) = outcome.into_parts();
        let mut record = JobRecord {
            index,
            uuid: job,
            status,
            result,
            error,
            attempts: 0,
            agent: None,
            started: None,
            finished: Timestamp::now(),
            events: Vec::new(),
            log: Vec::new(),
            artifacts: Vec::new(),
        };
        if let Some(open) = open {
            record.attempts = open.attempts;
            record.agent = Some(open.by.agent);
            record.started = Some(open.started);
            record.events = open.events;
            record.log = open.log;
            record.artifacts = open.artifacts;
        }
        record
    }

    fn is_drained(&self) -> bool {
        self.total.is_some_and(|total| self.ended.count >= total)
    }

    fn running(&mut self, attempt: Attempt) -> Option<&mut OpenJob> {
        self.open.get_mut(&attempt.job).filter(|open| open.running && open.attempts == attempt.number)
    }
}

impl EmbeddedJobStore {
    fn runs(&self) -> MutexGuard<'_, HashMap<RunId, Arc<Run>>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, run: RunId) -> Result<Arc<Run>, ProtocolError> {
        self.runs().get(&run).cloned().ok_or_else(|| ProtocolError::NotFound(format!("run {run}")))
    }
}

#[async_trait]
impl Ledger for EmbeddedJobStore {
    async fn open(&self, run: RunId, options: RunOptions) -> Result<(), ProtocolError> {
        let state = Run { options, book: Mutex::default(), stop: watch::Sender::new(None) };
        self.runs().insert(run, Arc::new(state));
        Ok(())
    }

    async fn dispatched(&self, run: RunId, total: u64) -> Result<(), ProtocolError> {
        let run = self.run(run)?;
        let mut room = run.room(1).await;
        let mut book = run.book();
        book.total = Some(total);
        run.stop_if_drained(&book, &mut room);
        Ok(())
    }

    async fn cancel(&self, run: RunId) -> Result<(), ProtocolError> {
        self.run(run)?.stop.send_if_modified(|stop| {
            let first = stop.is_none();
            stop.get_or_insert(Stop::Cancelled);
            first
        });
        Ok(())
    }

    async fn abandon(&self, run_id: RunId, total: u64, outcome: Outcome) -> Result<(), ProtocolError> {
        let run = self.run(run_id)?;
        for index in 0..total {
            if run.book().ended.contains(index) {
                continue;
            }
            let mut room = run.room(1).await;
            let mut book = run.book();
            // Its agent may have finished it while there was no room.
            if !book.ended.contains(index) {
                let record = book.end(run_id.job(index), index, outcome.clone());
                room.tell(Change::Ended(Box::new(record)));
            }
        }
        self.dispatched(run_id, total).await
    }

    async fn close(&self, run: RunId) -> Result<(), ProtocolError> {
        self.runs().remove(&run);
        Ok(())
    }
}

#[async_trait]
impl JobStore for EmbeddedJobStore {
    async fn agent(&self, run: RunId, by: Incarnation, state: AgentState) -> Result<(), ProtocolError> {
        // Whoever watches one run on one machine is told the same of both.
        let state = match state {
            AgentState::Died { message } => AgentState::Failed { message },
            other => other,
        };
        self.run(run)?.room(1).await.tell(Change::Agent { index: by.agent, state });
        Ok(())
    }

    /// That an agent of this machine is dead shows by its link.
    async fn alive(&self, run: RunId, _by: Incarnation) -> Result<(), ProtocolError> {
        self.run(run).map(drop)
    }

    async fn start(&self, run_id: RunId, job: &Job, by: Incarnation) -> Result<Start, ProtocolError> {
        let run = self.run(run_id)?;
        let (job, index, agent) = (job.uuid, job.index, by.agent);
        let mut room = run.room(2).await;
        let mut book = run.book();
        if book.ended.contains(index) {
            return Ok(Start::Ended);
        }
        let open = book.open.entry(job).or_insert_with(|| OpenJob::new(by));
        if open.running && open.by == by {
            return Ok(Start::Attempt(Attempt { run: run_id, job, index, number: open.attempts, agent }));
        }
        if open.running {
            let lost = Attempt { run: run_id, job, index, number: open.attempts, agent: open.by.agent };
            let message = format!("agent {} died during attempt {}", lost.agent, lost.number);
            let outcome = Outcome::failed(Cause::Agent, message);
            if open.attempts >= run.options.attempts_per_job {
                run.end(&mut book, &mut room, job, index, outcome);
                return Ok(Start::Ended);
            }
            room.tell(Change::Retried(lost, outcome));
        }
        open.attempts += 1;
        open.running = true;
        open.by = by;
        let attempt = Attempt { run: run_id, job, index, number: open.attempts, agent };
        room.tell(Change::Started(attempt));
        Ok(Start::Attempt(attempt))
    }

    /// Nothing is said twice here: whoever is not answered within this machine is dead.
    async fn report(&self, attempt: Attempt, _first: u64, reports: Vec<Report>) -> Result<(), ProtocolError> {
        let run = self.run(attempt.run)?;
        for report in reports {
            // The file is written first: once an artifact is in the book, it is on the disk.
            let (report, stored) = match report {
                Report::Artifact(artifact) if run.book().running(attempt).is_some() => {
                    (None, run.keep(attempt, artifact).await?)
                }
                other => (Some(other), None),
            };
            let mut room = run.room(1).await;
            let mut book = run.book();
            let Some(open) = book.running(attempt) else { return Ok(()) };
            if let Some(stored) = stored {
                open.artifacts.retain(|other| other.name != stored.name);
                open.artifacts.push(stored);
            }
            match report {
                Some(Report::Event(event)) => {
                    open.events.push(Attempted { attempt: attempt.number, report: event.clone() });
                    room.tell(Change::Event(attempt, event));
                }
                Some(Report::Log(line)) => {
                    open.log.push(Attempted { attempt: attempt.number, report: line.clone() });
                    room.tell(Change::Log(attempt, line));
                }
                Some(Report::Progress(progress)) => room.tell(Change::Progress(attempt, progress)),
                Some(Report::Artifact(_)) | None => {}
            }
        }
        Ok(())
    }

    async fn finish(&self, attempt: Attempt, outcome: Outcome) -> Result<Next, ProtocolError> {
        let run = self.run(attempt.run)?;
        let mut room = run.room(2).await;
        let mut book = run.book();
        if book.ended.contains(attempt.index) {
            return Ok(Next::Ended);
        }
        let Some(open) = book.running(attempt) else {
            let message = format!("attempt {} of job {} is not open", attempt.number, attempt.index);
            return Err(ProtocolError::Invalid(message));
        };
        if outcome.is_retryable() && open.attempts < run.options.attempts_per_job {
            open.running = false;
            room.tell(Change::Retried(attempt, outcome));
            Ok(Next::Again)
        } else {
            run.end(&mut book, &mut room, attempt.job, attempt.index, outcome);
            Ok(Next::Ended)
        }
    }

    async fn stopped(&self, run: RunId) -> Result<Stop, ProtocolError> {
        let mut stop = self.run(run)?.stop.subscribe();
        let stop = stop.wait_for(Option::is_some).await.map_err(|_| ProtocolError::Closed)?;
        stop.ok_or(ProtocolError::Closed)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::Status;

    const RUN: RunId = RunId(Uuid::from_u128(1));

    async fn ledger(attempts_per_job: u32) -> (EmbeddedJobStore, mpsc::Receiver<Change>) {
        let (changes, heard) = mpsc::channel(100);
        let ledger = EmbeddedJobStore::default();
        ledger.open(RUN, RunOptions { attempts_per_job, artifacts: None, changes }).await.unwrap();
        (ledger, heard)
    }

    fn job(index: u64) -> Job {
        Job { uuid: RUN.job(index), index, message: serde_json::value::RawValue::from_string("{}".to_owned()).unwrap() }
    }

    async fn begin(ledger: &EmbeddedJobStore, agent: u32) -> Attempt {
        match ledger.start(RUN, &job(0), Incarnation::new(agent)).await.unwrap() {
            Start::Attempt(attempt) => attempt,
            other => panic!("{other:?}"),
        }
    }

    fn success() -> Outcome {
        Outcome::Success { result: serde_json::value::RawValue::from_string("1".to_owned()).unwrap() }
    }

    fn record(heard: &mut mpsc::Receiver<Change>) -> JobRecord {
        loop {
            if let Change::Ended(record) = heard.try_recv().unwrap() {
                return *record;
            }
        }
    }

    #[tokio::test]
    async fn a_retryable_failure_gets_another_attempt_until_the_limit() {
        let (ledger, mut heard) = ledger(2).await;
        let first = begin(&ledger, 0).await;
        assert_eq!(ledger.finish(first, Outcome::failed(Cause::Retry, "once")).await.unwrap(), Next::Again);
        let second = begin(&ledger, 1).await;
        assert_eq!(second.number, 2);
        assert_eq!(ledger.finish(second, Outcome::failed(Cause::Retry, "twice")).await.unwrap(), Next::Ended);
        let record = record(&mut heard);
        assert_eq!((record.attempts, record.agent), (2, Some(1)));
        assert_eq!(record.error.unwrap().message, "twice");
    }

    #[tokio::test]
    async fn a_failure_of_the_script_is_final() {
        let (ledger, _heard) = ledger(3).await;
        let attempt = begin(&ledger, 0).await;
        assert_eq!(ledger.finish(attempt, Outcome::failed(Cause::Failed, "no")).await.unwrap(), Next::Ended);
        assert_eq!(ledger.start(RUN, &job(0), Incarnation::new(0)).await.unwrap(), Start::Ended);
    }

    #[tokio::test]
    async fn a_dead_agents_attempt_counts_and_the_last_one_ends_the_job() {
        let (ledger, mut heard) = ledger(2).await;
        begin(&ledger, 0).await;
        assert_eq!(begin(&ledger, 1).await.number, 2);
        assert_eq!(ledger.start(RUN, &job(0), Incarnation::new(2)).await.unwrap(), Start::Ended);
        let record = record(&mut heard);
        assert_eq!(record.error.unwrap().cause, Cause::Agent);
        assert_eq!((record.attempts, record.agent), (2, Some(1)));
    }

    #[tokio::test]
    async fn a_late_report_and_a_late_outcome_change_nothing() {
        let (ledger, mut heard) = ledger(3).await;
        let old = begin(&ledger, 0).await;
        let new = begin(&ledger, 1).await;
        let event = Event {
            time: Timestamp::UNIX_EPOCH,
            level: crate::report::EventLevel::Info,
            content: String::new(),
            attachment: None,
        };
        ledger.report(old, 0, vec![Report::Event(event)]).await.unwrap();
        assert!(ledger.finish(old, success()).await.is_err());
        ledger.finish(new, success()).await.unwrap();
        assert!(record(&mut heard).events.is_empty());
        assert_eq!(ledger.finish(new, success()).await.unwrap(), Next::Ended);
        assert!(heard.try_recv().is_err(), "a job ends once");
    }

    #[tokio::test]
    async fn the_run_is_drained_by_the_last_outcome_or_by_the_end_of_dispatch_whichever_is_later() {
        let (first, mut heard) = ledger(1).await;
        let attempt = begin(&first, 0).await;
        first.dispatched(RUN, 1).await.unwrap();
        first.finish(attempt, success()).await.unwrap();
        assert_eq!(first.stopped(RUN).await.unwrap(), Stop::Drained);
        record(&mut heard);
        assert!(matches!(heard.try_recv(), Ok(Change::Drained)));

        let (second, mut heard) = ledger(1).await;
        let attempt = begin(&second, 0).await;
        second.finish(attempt, success()).await.unwrap();
        record(&mut heard);
        assert!(heard.try_recv().is_err());
        second.dispatched(RUN, 1).await.unwrap();
        assert!(matches!(heard.try_recv(), Ok(Change::Drained)));
    }

    #[tokio::test]
    async fn what_is_abandoned_ends_once_whether_it_was_begun_or_not() {
        let (ledger, mut heard) = ledger(1).await;
        let attempt = begin(&ledger, 0).await;
        let Start::Attempt(second) = ledger.start(RUN, &job(1), Incarnation::new(1)).await.unwrap() else { panic!() };
        ledger.finish(second, success()).await.unwrap();
        ledger.cancel(RUN).await.unwrap();
        ledger.abandon(RUN, 4, Outcome::Cancelled).await.unwrap();
        let mut ended = Vec::new();
        while let Ok(change) = heard.try_recv() {
            if let Change::Ended(record) = change {
                assert_eq!(record.uuid, RUN.job(record.index));
                ended.push((record.index, record.status, record.attempts, record.agent));
            }
        }
        let (success, cancelled) = (Status::Success, Status::Cancelled);
        assert_eq!(
            ended,
            [(1, success, 1, Some(1)), (0, cancelled, 1, Some(0)), (2, cancelled, 0, None), (3, cancelled, 0, None)]
        );
        assert_eq!(ledger.stopped(RUN).await.unwrap(), Stop::Cancelled);
        assert_eq!(ledger.finish(attempt, Outcome::Cancelled).await.unwrap(), Next::Ended);
    }

    #[tokio::test]
    async fn artifacts_are_kept_under_their_job_and_replaced_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let (changes, mut heard) = mpsc::channel(100);
        let ledger = EmbeddedJobStore::default();
        let artifacts = Some(folder.path().to_owned());
        ledger.open(RUN, RunOptions { attempts_per_job: 1, artifacts, changes }).await.unwrap();
        let attempt = begin(&ledger, 0).await;
        for bytes in [b"old".to_vec(), b"newer".to_vec()] {
            let artifact = Artifact { name: "a.txt".into(), media_type: "text/plain".into(), bytes };
            ledger.report(attempt, 0, vec![Report::Artifact(artifact)]).await.unwrap();
        }
        let escape = Artifact { name: "../a".into(), media_type: String::new(), bytes: Vec::new() };
        assert!(ledger.report(attempt, 0, vec![Report::Artifact(escape)]).await.is_err());
        ledger.finish(attempt, success()).await.unwrap();
        let record = record(&mut heard);
        assert_eq!(record.artifacts.len(), 1);
        assert_eq!(record.artifacts[0].size, 5);
        assert_eq!(std::fs::read(folder.path().join("job-0/a.txt")).unwrap(), b"newer");
    }

    #[test]
    fn a_set_of_a_million_small_numbers_is_a_million_bits() {
        let mut bits = Bits::default();
        for index in (0..1_000_000).rev().chain([0, 63, 64]) {
            bits.insert(index);
        }
        assert_eq!(bits.count, 1_000_000);
        assert!(bits.contains(999_999) && !bits.contains(1_000_000));
        assert_eq!(bits.words.len(), 15_625);
    }
}
