//! Over what orchestrator and agents speak: a queue, a store that is read once, and a ledger of what happened.
//!
//! Each is two traits: what agents see of it, and what the orchestrator does with it besides. An agent's end of a link
//! has the first only.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use armada_project::Digest;
use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::change::Change;
use crate::job::{AgentRecord, Attempt, Incarnation, Job, RunId};
use crate::lending::Lender;
use crate::outcome::Outcome;
use crate::report::Report;

/// Why something was not said.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// The other side is gone.
    #[error("the connection to the orchestrator is closed")]
    Closed,
    /// The thing asked for does not exist.
    #[error("{0} does not exist")]
    NotFound(String),
    /// What was asked for cannot be reached now, and may be later.
    #[error("{0}")]
    Unavailable(String),
    /// What was said makes no sense here.
    #[error("{0}")]
    Invalid(String),
    /// Reading or writing failed.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// What was received cannot be read.
    #[error("unreadable message: {0}")]
    Json(#[from] serde_json::Error),
}

/// The queues of jobs, one per run, as their agents see them.
#[async_trait]
pub trait JobQueue: Send + Sync {
    /// Begins to consume the run's queue for an agent. What the consumer has not settled when it is dropped is
    /// delivered again, to whichever agent asks next.
    async fn consume(&self, run: RunId, agent: u32) -> Result<Box<dyn JobConsumer>, ProtocolError>;
}

/// A delivery, to be settled by the consumer that gave it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Delivery {
    /// Names the delivery within its consumer.
    pub tag: u64,
    /// What was delivered.
    pub job: Job,
}

/// One agent's view of its run's queue. At most one delivery is unsettled at a time (a prefetch of 1).
#[async_trait]
pub trait JobConsumer: Send {
    /// Waits for the next job; nothing once the queue is gone. Cancelling the wait loses nothing.
    async fn next(&mut self) -> Result<Option<Delivery>, ProtocolError>;

    /// The job is done with.
    async fn acknowledge(&mut self, tag: u64) -> Result<(), ProtocolError>;

    /// The job is to be delivered again.
    async fn requeue(&mut self, tag: u64) -> Result<(), ProtocolError>;
}

/// The queues, as the orchestrator of runs fills them: what a message broker has.
#[async_trait]
pub trait Broker: JobQueue {
    /// Makes the run's queue, if it is not there yet.
    async fn declare(&self, run: RunId) -> Result<(), ProtocolError>;

    /// Puts jobs on the run's queue, in their order, and returns once the queue has them all. Waits while the queue is
    /// full, so a run of a million jobs never has a million messages in memory. When it fails, some may be on the
    /// queue.
    async fn publish(&self, run: RunId, jobs: Vec<Job>) -> Result<(), ProtocolError>;

    /// How many jobs wait to be taken, those that an agent has and has not settled not counted; nothing where the queue
    /// does not know.
    async fn waiting(&self, run: RunId) -> Result<Option<u64>, ProtocolError>;

    /// Puts jobs that have failed for good on the run's queue of dead jobs, where there is one, for whoever wants to
    /// look at them. It stays when the run's queue is deleted.
    async fn bury(&self, run: RunId, jobs: Vec<Job>) -> Result<(), ProtocolError>;

    /// Removes the run's queue of dead jobs and what is on it.
    async fn delete_dead(&self, run: RunId) -> Result<(), ProtocolError>;

    /// Removes the run's queue and what is still on it; who publishes to it or consumes it comes to an end.
    async fn delete(&self, run: RunId) -> Result<(), ProtocolError>;
}

/// The most bytes that a store of runs keeps under one name. Redis has room for no more.
const STORED_BYTES: usize = 512 << 20;

/// Refuses what is too large for a store of runs.
pub(crate) fn check_stored(what: impl fmt::Display, bytes: usize) -> Result<(), ProtocolError> {
    if bytes <= STORED_BYTES {
        return Ok(());
    }
    Err(ProtocolError::Invalid(format!(
        "{what} has {bytes} bytes, more than the {} MiB that are kept",
        STORED_BYTES >> 20
    )))
}

/// What agents read once when they start: components and agent records.
#[async_trait]
pub trait RunStore: Send + Sync {
    /// A component's bytes, shared where they are in memory. Whoever reads them checks them against the digest.
    async fn component(&self, digest: Digest) -> Result<Bytes, ProtocolError>;

    /// What a component was compiled to. It is native code: whoever reads it checks its signature before anything else.
    async fn compiled(&self, digest: Digest, engine: &str) -> Result<Bytes, ProtocolError>;

    /// An agent's record.
    async fn agent(&self, run: RunId, index: u32) -> Result<AgentRecord, ProtocolError>;
}

/// The store of what agents read, as the orchestrator of runs keeps it. Components, compiled or not, are there once for
/// all runs, and for as long as there is a run that they were put for.
#[async_trait]
pub trait Registry: RunStore {
    /// Keeps a component under its digest, for a run.
    async fn put_component(&self, run: RunId, digest: Digest, bytes: Vec<u8>) -> Result<(), ProtocolError>;

    /// Keeps what a component was compiled to for engines of this configuration, for a run.
    async fn put_compiled(&self, run: RunId, digest: Digest, engine: &str, code: Vec<u8>) -> Result<(), ProtocolError>;

    /// Keeps an agent's record.
    async fn put_agent(&self, run: RunId, index: u32, record: AgentRecord) -> Result<(), ProtocolError>;

    /// Says that the run goes on, where things are forgotten that nobody has asked to keep for long.
    async fn keep(&self, run: RunId) -> Result<(), ProtocolError>;

    /// Forgets the run.
    async fn delete(&self, run: RunId) -> Result<(), ProtocolError>;
}

/// What becomes of a delivery, as the ledger decides it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// Make this attempt.
    Attempt(Attempt),
    /// The job has ended already: settle the delivery and go on.
    Ended,
    /// Another agent is at it, and the ledger sees to it that the job is delivered again if that one dies: settle the
    /// delivery and go on.
    Elsewhere,
    /// The run is paused: keep the delivery, and ask again in so many milliseconds.
    Paused {
        /// When to ask again.
        ask_again_ms: u64,
    },
}

/// What becomes of a job after an attempt, as the ledger decides it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Next {
    /// The job has ended: acknowledge its delivery.
    Ended,
    /// The job gets another attempt: requeue its delivery.
    Again,
    /// The job gets another attempt later, and is delivered anew for it: acknowledge this delivery.
    Later,
}

/// Why the agents of a run are to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// Every job has ended.
    Drained,
    /// The run was cancelled: jobs in progress end now.
    Cancelled,
}

/// What an agent is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum AgentState {
    /// It loads its component and opens its context.
    Opening,
    /// It takes jobs.
    Open,
    /// It ended as it was told.
    Closed,
    /// It could not go on, and says so itself: whatever job it had, it has handed back.
    Failed {
        /// Why.
        message: String,
    },
    /// Its process has ended without a word: the job that it had, it takes with it.
    Died {
        /// How.
        message: String,
    },
}

/// The ledger of a run's jobs, as its agents see it: attempts, reports and outcomes.
#[async_trait]
pub trait JobStore: Send + Sync {
    /// Notes what an agent is doing.
    async fn agent(&self, run: RunId, by: Incarnation, state: AgentState) -> Result<(), ProtocolError>;

    /// Says that an agent is alive. One that is silent for too long is taken for dead, and its job given to another.
    async fn alive(&self, run: RunId, by: Incarnation) -> Result<(), ProtocolError>;

    /// Opens an attempt at a delivered job, or says why not. An attempt that was opened before and never finished,
    /// because its agent died, is closed by this; when it was the last one allowed, the job ends with it. Asked twice
    /// by the same incarnation, it gives the same attempt.
    async fn start(&self, run: RunId, job: &Job, by: Incarnation) -> Result<Start, ProtocolError>;

    /// Adds to what is known of an attempt: its reports from this number on, counted from 0, so that what is said twice
    /// is there once. Reports of an attempt that is no longer open are dropped.
    async fn report(&self, attempt: Attempt, first: u64, reports: Vec<Report>) -> Result<(), ProtocolError>;

    /// Closes an attempt and decides, in the same step, whether the job and the run end with it. Asked twice, it
    /// answers twice the same.
    async fn finish(&self, attempt: Attempt, outcome: Outcome) -> Result<Next, ProtocolError>;

    /// Waits until the agents of this run are to stop.
    async fn stopped(&self, run: RunId) -> Result<Stop, ProtocolError>;
}

/// Over what an agent speaks to its orchestrator.
#[derive(Clone)]
pub struct Connections {
    /// The queue that its jobs come from.
    pub queue: Arc<dyn JobQueue>,
    /// The store that its component and its record come from.
    pub runs: Arc<dyn RunStore>,
    /// The ledger that its reports and outcomes go to.
    pub jobs: Arc<dyn JobStore>,
    /// Who lends it what the operator has.
    pub lender: Arc<dyn Lender>,
}

/// How the ledger keeps a run.
#[derive(Debug)]
pub struct RunOptions {
    /// How many attempts a job gets, at least 1.
    pub attempts_per_job: u32,
    /// Where artifacts go, as `job-<index>/<name>`; nowhere when not given.
    pub artifacts: Option<PathBuf>,
    /// Who is told what happens. The ledger waits for it.
    pub changes: mpsc::Sender<Change>,
}

/// The ledger, as the orchestrator of a run keeps it.
#[async_trait]
pub trait Ledger: JobStore {
    /// Opens the ledger of a run.
    async fn open(&self, run: RunId, options: RunOptions) -> Result<(), ProtocolError>;

    /// Says that every job of the run has been dispatched, and how many there are. The run is drained once that many
    /// have ended, and its agents are told to stop.
    async fn dispatched(&self, run: RunId, total: u64) -> Result<(), ProtocolError>;

    /// Cancels the run, unless it is drained: its agents are told to end their jobs.
    async fn cancel(&self, run: RunId) -> Result<(), ProtocolError>;

    /// Ends every one of the run's jobs, of so many, that has not ended, whether it was begun, dispatched, or neither:
    /// no agent will take it any more.
    async fn abandon(&self, run: RunId, total: u64, outcome: Outcome) -> Result<(), ProtocolError>;

    /// Closes the ledger of a run.
    async fn close(&self, run: RunId) -> Result<(), ProtocolError>;
}
