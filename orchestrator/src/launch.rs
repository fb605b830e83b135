//! A run on one machine, from launch to its last job.
//!
//! However a run ends (drained, cancelled, without an agent that could go on, by a mistake in its files), its agents
//! are told to end and are waited for, and every job that has not ended by then ends with that reason: there is one
//! outcome for each job. What is in memory does not grow with the jobs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use armada_project::{ComponentRef, Configuration, Digest, Grant, Injection, Mistake};
use armada_protocol::embedded::{EmbeddedJobStore, EmbeddedQueue, EmbeddedRunStore};
use armada_protocol::{
    AgentRecord, Broker, Cause, Change, Connections, Inventory, InventoryLender, Job, Ledger, Outcome, ProtocolError,
    Registry, RunId, RunOptions,
};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::agents::{AgentCommand, Agents};

/// What is launched.
#[derive(Debug)]
pub struct LaunchRequest {
    /// The run's name.
    pub run: RunId,
    /// The resolved configuration.
    pub configuration: Configuration,
    /// The component's bytes.
    pub component: Vec<u8>,
    /// What the run is allowed.
    pub grant: Grant,
    /// Where artifacts go; nowhere when not given.
    pub artifacts: Option<PathBuf>,
    /// How agents are started.
    pub agent: AgentCommand,
    /// The tests to run, as the component asks for them, if it was built with its project's tests: each is a job, with
    /// the message of the first job and this under [`TEST_KEY`]; all agents have the message of the first one.
    pub tests: Option<Vec<Value>>,
}

/// The key of a job's message under which the test is named that is to run.
pub const TEST_KEY: &str = "armada_test";

impl LaunchRequest {
    /// How many agents are started: an agent without a job is of no use.
    pub fn agents(&self) -> u32 {
        let jobs = u32::try_from(self.jobs()).unwrap_or(u32::MAX);
        self.configuration.number_of_agents().min(jobs)
    }

    /// How many jobs there are.
    pub fn jobs(&self) -> u64 {
        self.tests.as_ref().map_or_else(|| self.configuration.number_of_jobs(), |tests| tests.len() as u64)
    }
}

/// Over what a run goes.
#[derive(Clone)]
pub struct Stores {
    /// The queue of its jobs.
    pub queue: Arc<dyn Broker>,
    /// The store of its component and agent records.
    pub runs: Arc<dyn Registry>,
    /// The ledger of its jobs.
    pub jobs: Arc<dyn Ledger>,
    /// Who lends its agents what the operator has.
    pub lender: Arc<InventoryLender>,
}

impl Stores {
    /// Those of this process: nothing needs to be installed for them, and nothing of them is left.
    pub fn embedded(inventory: Inventory) -> Self {
        let runs = Arc::new(EmbeddedRunStore::default());
        Self {
            queue: Arc::new(EmbeddedQueue::default()),
            lender: Arc::new(InventoryLender::new(inventory, runs.clone())),
            runs,
            jobs: Arc::new(EmbeddedJobStore::default()),
        }
    }
}

impl Stores {
    /// What its agents see of them.
    pub(crate) fn connections(&self) -> Connections {
        Connections {
            queue: self.queue.clone(),
            runs: self.runs.clone(),
            jobs: self.jobs.clone(),
            lender: self.lender.clone(),
        }
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunEnd {
    /// Every job has ended.
    Drained,
    /// It was cancelled.
    Cancelled,
}

/// Why a run could not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LaunchError {
    /// A file of the configuration was changed while it was read.
    #[error(transparent)]
    Configuration(#[from] Mistake),
    /// A message was not delivered.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// A message could not be written.
    #[error("a message could not be written: {0}")]
    Message(#[from] serde_json::Error),
    /// A task of the run panicked.
    #[error("a task of the run failed: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// Runs a project until every job has ended, telling what happens. `cancel` ends it early; `kill` does not wait for the
/// agents to end in order then.
///
/// Whatever happens, every job has ended and no agent is left when this returns.
pub async fn launch(
    request: LaunchRequest,
    stores: Stores,
    changes: mpsc::Sender<Change>,
    cancel: CancellationToken,
    kill: CancellationToken,
) -> Result<RunEnd, LaunchError> {
    let run = request.run;
    let options = RunOptions {
        attempts_per_job: request.grant.limits().attempts_per_job,
        artifacts: request.artifacts.clone(),
        changes,
    };
    stores.jobs.open(run, options).await?;
    let ended = drive(&request, &stores, &cancel, &kill).await;
    // After a mistake as after the last job, nothing of the run stays behind.
    stores.queue.delete(run).await?;
    stores.runs.delete(run).await?;
    stores.lender.forget(run);
    stores.jobs.close(run).await?;
    ended
}

async fn drive(
    request: &LaunchRequest,
    stores: &Stores,
    cancel: &CancellationToken,
    kill: &CancellationToken,
) -> Result<RunEnd, LaunchError> {
    let run = request.run;
    let digest = Digest::of(&request.component);
    let component = ComponentRef { digest, size: request.component.len() as u64 };
    let configuration = request.configuration.inject(Injection { run_id: run.0, component });
    let count = request.agents();
    stores.queue.declare(run).await?;
    stores.runs.put_component(run, digest, request.component.clone()).await?;
    let mut messages = configuration.agents();
    for index in 0..count {
        let message = match request.tests {
            Some(_) => configuration.agent_message(0)?,
            None => messages.next().transpose()?.unwrap_or_default(),
        };
        let record = AgentRecord { message, component, grant: request.grant.clone(), compiled: None };
        stores.runs.put_agent(run, index, record).await?;
    }
    let context = request.grant.limits().seconds_per_context;
    let context = Duration::try_from_secs_f64(context).unwrap_or(Duration::MAX);
    let agents = Arc::new(Agents::new(run, request.agent.clone(), stores.connections(), context));
    let mut keeping = JoinSet::new();
    for index in 0..count {
        keeping.spawn(agents.clone().keep(index, CancellationToken::new()));
    }
    let work = async {
        let supervising = supervise(&mut keeping);
        tokio::pin!(supervising);
        tokio::select! {
            left = &mut supervising => left,
            dispatched = dispatch(&configuration, request.tests.as_deref(), stores, run) => {
                dispatched?;
                supervising.await
            }
        }
    };
    let ended = tokio::select! {
        ended = work => ended.map(Some),
        () = cancel.cancelled() => Ok(None),
    };
    let (ended, outcome) = match ended {
        Ok(Some(Left::Stopped)) => return Ok(RunEnd::Drained),
        Ok(Some(Left::Nobody(reason))) => (Ok(RunEnd::Drained), Outcome::failed(Cause::NoAgent, reason)),
        Ok(None) => (Ok(RunEnd::Cancelled), Outcome::Cancelled),
        Err(error) => (Err(error), Outcome::Cancelled),
    };
    // The agents end their jobs, and themselves; what they have not ended by then, nobody will.
    stores.jobs.cancel(run).await?;
    let all = async { while keeping.join_next().await.is_some() {} };
    if kill.run_until_cancelled(all).await.is_none() {
        // Their processes are killed with the tasks that own them.
        keeping.shutdown().await;
    }
    stores.jobs.abandon(run, request.jobs(), outcome).await?;
    ended
}

/// Publishes every job, one row at a time, as fast as the queue takes them.
async fn dispatch(
    configuration: &Configuration,
    tests: Option<&[Value]>,
    stores: &Stores,
    run: RunId,
) -> Result<(), LaunchError> {
    let mut index = 0;
    if let Some(tests) = tests {
        let mut message = configuration.job_message(0)?;
        for test in tests {
            message.insert(TEST_KEY.to_owned(), test.clone());
            let message = serde_json::value::to_raw_value(&message)?;
            stores.queue.publish(run, vec![Job { uuid: run.job(index), index, message }]).await?;
            index += 1;
        }
        stores.jobs.dispatched(run, index).await?;
        return Ok(());
    }
    let mut messages = configuration.jobs();
    let mut line = Vec::new();
    while let Some(written) = messages.write_line(&mut line) {
        written?;
        let message: Box<RawValue> = serde_json::from_slice(&line)?;
        line.clear();
        stores.queue.publish(run, vec![Job { uuid: run.job(index), index, message }]).await?;
        index += 1;
    }
    stores.jobs.dispatched(run, index).await?;
    Ok(())
}

/// What is left of a run when its agents have ended.
enum Left {
    /// They were told that the run is over.
    Stopped,
    /// The last one had to be given up, for this reason, and nobody takes the jobs that remain.
    Nobody(String),
}

/// Waits for the agents.
async fn supervise(keeping: &mut JoinSet<Result<(), String>>) -> Result<Left, LaunchError> {
    let mut left = Left::Stopped;
    while let Some(kept) = keeping.join_next().await {
        left = match kept? {
            Ok(()) => Left::Stopped,
            Err(reason) => Left::Nobody(reason),
        };
    }
    Ok(left)
}
