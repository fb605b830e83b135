//! A run on one machine, from launch to drained.

use std::path::PathBuf;
use std::sync::Arc;

use armada_project::{ComponentRef, Configuration, Digest, Grant, Injection, Mistake};
use armada_protocol::embedded::{Change, EmbeddedJobStore, EmbeddedQueue, EmbeddedRunStore, RunOptions};
use armada_protocol::{AgentRecord, Cause, Job, JobQueue, Outcome, ProtocolError, RunId, RunStore};
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::agents::{AgentCommand, Served, keep};

/// What is launched.
#[derive(Debug)]
pub struct Launch {
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

/// Runs a project until every job has ended, telling what happens. `cancel` ends it early.
///
/// Whatever happens, no agent is left when this returns.
pub async fn launch(
    launch: Launch,
    changes: mpsc::Sender<Change>,
    cancel: CancellationToken,
) -> Result<RunEnd, LaunchError> {
    let run = launch.run;
    let stores = Stores::default();
    let options = RunOptions {
        attempts_per_job: launch.grant.limits().attempts_per_job,
        artifacts: launch.artifacts.clone(),
        changes,
    };
    stores.jobs.open(run, options);
    let ended = drive(&launch, &stores, &cancel).await;
    // After a mistake as after the last job, nothing of the run stays behind.
    stores.queue.delete(run).await?;
    stores.runs.delete(run).await?;
    stores.jobs.close(run);
    ended
}

#[derive(Clone, Default)]
struct Stores {
    queue: Arc<EmbeddedQueue>,
    runs: Arc<EmbeddedRunStore>,
    jobs: Arc<EmbeddedJobStore>,
}

async fn drive(launch: &Launch, stores: &Stores, cancel: &CancellationToken) -> Result<RunEnd, LaunchError> {
    let run = launch.run;
    let digest = Digest::of(&launch.component);
    let component = ComponentRef { digest, size: launch.component.len() as u64 };
    let configuration = launch.configuration.inject(Injection { run_id: run.0, component });
    stores.queue.declare(run).await?;
    stores.runs.put_component(digest, launch.component.clone()).await?;
    for (index, message) in (0..).zip(configuration.agents()) {
        let record = AgentRecord { message: message?, component, grant: launch.grant.clone() };
        stores.runs.put_agent(run, index, record).await?;
    }
    let served = Served { run, queue: stores.queue.clone(), runs: stores.runs.clone(), jobs: stores.jobs.clone() };
    let mut agents = JoinSet::new();
    for index in 0..configuration.number_of_agents() {
        agents.spawn(keep(launch.agent.clone(), served.clone(), index));
    }
    let work = async {
        let (dispatched, supervised) =
            tokio::join!(dispatch(&configuration, stores, run), async { supervise(&mut agents, stores, run).await });
        dispatched?;
        supervised
    };
    let ended = tokio::select! {
        ended = work => ended.map(|()| RunEnd::Drained),
        () = cancel.cancelled() => Ok(RunEnd::Cancelled),
    };
    if !matches!(ended, Ok(RunEnd::Drained)) {
        // Cancelled, or unable to go on: the agents end their jobs, and themselves.
        stores.jobs.cancel(run)?;
        while agents.join_next().await.is_some() {}
    }
    ended
}

/// Publishes every job, one row at a time, as fast as the queue takes them.
async fn dispatch(configuration: &Configuration, stores: &Stores, run: RunId) -> Result<(), LaunchError> {
    let mut messages = configuration.jobs();
    let mut line = Vec::new();
    let mut index = 0;
    while let Some(written) = messages.write_line(&mut line) {
        written?;
        let message: Box<RawValue> = serde_json::from_slice(&line)?;
        line.clear();
        stores.queue.publish(run, Job { uuid: Uuid::new_v4(), index, message }).await?;
        index += 1;
    }
    stores.jobs.dispatched(run, index).await?;
    Ok(())
}

/// Waits for the agents. When the last one had to be given up, nobody is left to take the jobs that remain: each ends
/// with that reason.
async fn supervise(agents: &mut JoinSet<Result<(), String>>, stores: &Stores, run: RunId) -> Result<(), LaunchError> {
    let mut given_up = None;
    while let Some(agent) = agents.join_next().await {
        match agent? {
            // It was told that the run is over; so will the others be.
            Ok(()) => given_up = None,
            Err(reason) if agents.is_empty() => given_up = Some(reason),
            Err(_) => {}
        }
    }
    let Some(reason) = given_up else { return Ok(()) };
    let outcome = Outcome::failed(Cause::NoAgent, format!("no agent is left: {reason}"));
    stores.jobs.abandon_open(run, outcome.clone()).await?;
    let mut consumer = stores.queue.consume(run, 0).await?;
    let stopped = armada_protocol::JobStore::stopped(&*stores.jobs, run);
    tokio::pin!(stopped);
    loop {
        let delivery = tokio::select! {
            _ = &mut stopped => return Ok(()),
            delivery = consumer.next() => delivery?,
        };
        let Some(delivery) = delivery else { return Ok(()) };
        stores.jobs.abandon(run, delivery.job.uuid, delivery.job.index, outcome.clone()).await?;
        consumer.acknowledge(delivery.tag).await?;
    }
}
