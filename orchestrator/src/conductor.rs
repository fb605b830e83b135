//! The conductor: it sees each run through its life, from its acceptance to its last job and on to its agents' end.
//!
//! A run is one task here, and everything it decides on is in the store: a server that was started again finds its runs
//! there and goes on. The queue is only what wakes agents. Jobs are put on it when they are dispatched, when they get
//! another attempt, and again when they seem to have been lost; the ledger sees to it that none is done twice.

mod crew;
mod dispatch;
mod leftover;
mod tend;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use armada_host::{ComponentCache, ComponentError, Sandbox};
use armada_project::{Configuration, Digest, Injection, Mistake};
use armada_protocol::patient::Patient;
use armada_protocol::{
    AgentRecord, Broker, Cause, CompiledRef, Connections, InventoryLender, JobStore as _, Outcome, ProtocolError,
    Registry, RunId, Stop,
};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use self::crew::{Crew, Left};
use crate::credentials::Credentials;
use crate::inputs::{Inputs, InputsError};
use crate::settings::{AgentMode, Settings};
use crate::store::views::{RunStatus, RunView};
use crate::store::{Ending, NewRun, Store, StoreError, Stored};

/// How long to wait before something that failed for a while is tried again: this, and twice as long each time.
const AGAIN: Duration = Duration::from_millis(100);
/// The longest of these waits.
const AGAIN_LONGEST: Duration = Duration::from_secs(2);

/// How long agents of this process wait for a store that is away.
const PATIENCE: Duration = Duration::from_secs(600);

/// Why a run is not, or not as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConductorError {
    /// The store says so.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What the run was launched with cannot be read.
    #[error(transparent)]
    Inputs(#[from] InputsError),
    /// A message did not go where it should.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// Its component cannot be run.
    #[error(transparent)]
    Component(#[from] ComponentError),
    /// A file of its configuration has a mistake that shows only when it is read to its end.
    #[error("{0}")]
    Configuration(#[from] Mistake),
    /// A message could not be written.
    #[error("a message could not be written: {0}")]
    Message(#[from] serde_json::Error),
    /// A task panicked.
    #[error("a task of the run failed: {0}")]
    Task(#[from] tokio::task::JoinError),
    /// The server ends.
    #[error("the server is ending: ask again in a moment")]
    Ending,
}

/// What became of a launch.
#[derive(Clone, Copy, Debug)]
pub struct Launched {
    /// The run.
    pub run: RunId,
    /// Whether the same request had not launched it before.
    pub is_new: bool,
}

/// Conducts runs.
#[derive(Clone)]
pub struct Conductor {
    shared: Arc<Shared>,
}

struct Shared {
    store: Store,
    queue: Arc<dyn Broker>,
    runs: Arc<dyn Registry>,
    lender: Arc<InventoryLender>,
    sandbox: Sandbox,
    cache: ComponentCache,
    credentials: Credentials,
    settings: Arc<Settings>,
    conducting: Mutex<HashMap<RunId, JoinHandle<()>>>,
    /// What somebody has asked for, and what is seen through if they go away meanwhile.
    asked: TaskTracker,
    ending: CancellationToken,
    /// How many jobs wait on the queue of each run, as that said last.
    waiting: Mutex<HashMap<RunId, u64>>,
}

impl Conductor {
    /// A conductor of the runs of this store.
    pub fn new(
        store: Store,
        queue: Arc<dyn Broker>,
        runs: Arc<dyn Registry>,
        sandbox: Sandbox,
        credentials: Credentials,
        settings: Arc<Settings>,
    ) -> Self {
        let cache = ComponentCache::new(settings.cache.join("components"));
        let (conducting, waiting) = (Mutex::default(), Mutex::default());
        let (asked, ending) = (TaskTracker::new(), CancellationToken::new());
        let lender = Arc::new(InventoryLender::new(settings.inventory.clone(), runs.clone()));
        let shared = Shared {
            store,
            queue,
            runs,
            lender,
            sandbox,
            cache,
            credentials,
            settings,
            conducting,
            asked,
            ending,
            waiting,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Goes on with the runs that had not ended when the server did.
    pub async fn resume_all(&self) -> Result<usize, ConductorError> {
        let runs = self.shared.store.unfinished_runs().await?;
        for run in &runs {
            self.conduct(*run);
        }
        Ok(runs.len())
    }

    /// Accepts a run, and begins it.
    pub async fn launch(
        &self,
        inputs: Inputs,
        idempotency_key: Option<String>,
        replay_of: Option<RunId>,
    ) -> Result<Launched, ConductorError> {
        if self.shared.ending.is_cancelled() {
            return Err(ConductorError::Ending);
        }
        let grant = inputs.grant(&self.shared.settings.ceiling);
        let configuration = inputs.configuration();
        let jobs = u32::try_from(configuration.number_of_jobs()).unwrap_or(u32::MAX);
        let new = NewRun {
            run: inputs.run(),
            project: inputs.project().to_owned(),
            component: inputs.component(),
            capabilities: serde_json::to_value(inputs.capabilities(&grant))?,
            grant,
            agents: configuration.number_of_agents().min(jobs).max(1),
            idempotency_key,
            replay_of,
        };
        let conductor = self.clone();
        self.see_to(async move { conductor.accept(inputs, new).await }).await
    }

    async fn accept(&self, inputs: Inputs, new: NewRun) -> Result<Launched, ConductorError> {
        let run = new.run;
        // The inputs have their place before the run is known: whoever finds the run finds them.
        tokio::task::spawn_blocking(move || inputs.keep()).await??;
        match self.shared.store.create_run(new).await {
            Ok(Stored::New) => {
                self.conduct(run);
                Ok(Launched { run, is_new: true })
            }
            Ok(Stored::Before(before)) => {
                self.remove_inputs(run).await;
                Ok(Launched { run: before, is_new: false })
            }
            Err(error) => {
                // A store that has gone away may have it, unheard.
                match self.shared.store.run(run).await {
                    Ok(_) => {
                        self.conduct(run);
                        return Ok(Launched { run, is_new: true });
                    }
                    Err(StoreError::NotFound(_)) => self.remove_inputs(run).await,
                    Err(_) => tracing::warn!(%run, "whether a run was accepted is not known: its inputs are kept"),
                }
                Err(error.into())
            }
        }
    }

    /// What agents speak to.
    pub(crate) fn connections(&self) -> Connections {
        let Shared { store, queue, runs, lender, .. } = &*self.shared;
        Connections { queue: queue.clone(), runs: runs.clone(), jobs: Arc::new(store.clone()), lender: lender.clone() }
    }

    /// How many jobs wait on queues, as those said a few seconds ago.
    pub(crate) fn queue_depth(&self) -> u64 {
        self.waiting().values().sum()
    }

    /// Ends a run before its jobs have.
    pub async fn cancel(&self, run: RunId) -> Result<RunView, ConductorError> {
        Ok(self.shared.store.cancel_run(run).await?)
    }

    /// Has no new attempts begun.
    pub async fn pause(&self, run: RunId) -> Result<RunView, ConductorError> {
        Ok(self.shared.store.pause_run(run, true).await?)
    }

    /// Has new attempts begun again.
    pub async fn resume(&self, run: RunId) -> Result<RunView, ConductorError> {
        Ok(self.shared.store.pause_run(run, false).await?)
    }

    /// Gives the failed jobs of a run that has ended further attempts. Says how many.
    pub async fn retry(&self, run: RunId) -> Result<u64, ConductorError> {
        if self.shared.ending.is_cancelled() {
            return Err(ConductorError::Ending);
        }
        let conductor = self.clone();
        self.see_to(async move {
            let Shared { store, queue, .. } = &*conductor.shared;
            let view = store.run(run).await?;
            if view.status.has_ended() {
                // What is left of its end is done first.
                let last = conductor.conducting().remove(&run);
                if let Some(last) = last {
                    last.await?;
                }
                // What has failed is in the store, too. Once the jobs are to be made again, nothing may come between
                // them and whoever conducts their run.
                if view.jobs_failed > 0 {
                    queue.delete_dead(run).await?;
                }
            }
            let jobs = store.retry_failed(run).await?;
            conductor.conduct(run);
            Ok(jobs)
        })
        .await
    }

    /// Does something to its end, also when whoever asked for it goes away.
    async fn see_to<T: Send + 'static>(
        &self,
        act: impl Future<Output = Result<T, ConductorError>> + Send + 'static,
    ) -> Result<T, ConductorError> {
        self.shared.asked.spawn(act).await?
    }

    /// Launches a run with the inputs of another.
    pub async fn replay(&self, run: RunId) -> Result<RunId, ConductorError> {
        let view = self.shared.store.run(run).await?;
        let inputs = self.inputs(run).await?;
        let inputs = tokio::task::spawn_blocking(move || inputs.copy()).await??;
        tracing::info!(of = %view.run_uuid, run = %inputs.run(), "replaying a run");
        Ok(self.launch(inputs, None, Some(run)).await?.run)
    }

    /// Removes a run that has ended, and everything that is kept of it.
    pub async fn delete(&self, run: RunId) -> Result<(), ConductorError> {
        let conductor = self.clone();
        self.see_to(async move {
            let Shared { store, queue, .. } = &*conductor.shared;
            // While the run is known, it can be tried again.
            if store.run(run).await?.status.has_ended() {
                queue.delete_dead(run).await?;
            }
            store.delete_run(run).await?;
            conductor.remove_inputs(run).await;
            Ok(())
        })
        .await
    }

    /// Ends: agents hand their jobs back, and whoever starts the server again goes on with its runs. Agents that take
    /// longer than the grace are killed.
    pub async fn close(&self) {
        self.shared.ending.cancel();
        let deadline = Instant::now() + self.shared.settings.grace;
        self.shared.asked.close();
        if timeout_at(deadline, self.shared.asked.wait()).await.is_err() {
            tracing::warn!("the server ends while something that was asked for is not done");
        }
        let conducting: Vec<_> = self.conducting().drain().collect();
        for (run, mut conducting) in conducting {
            let ended = match timeout_at(deadline, &mut conducting).await {
                Ok(ended) => ended,
                Err(_) => {
                    tracing::warn!(%run, "a run's agents did not end in time: they are killed");
                    conducting.abort();
                    conducting.await
                }
            };
            if let Err(error) = ended
                && !error.is_cancelled()
            {
                tracing::error!(%run, %error, "a run's task failed");
            }
        }
    }

    fn conducting(&self) -> MutexGuard<'_, HashMap<RunId, JoinHandle<()>>> {
        self.shared.conducting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<RunId, u64>> {
        self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn conduct(&self, run: RunId) {
        let conductor = self.clone();
        let mut conducting = self.conducting();
        conducting.retain(|_, task| !task.is_finished());
        conducting.insert(
            run,
            tokio::spawn(
                async move { conductor.see_through(run).await }.instrument(tracing::info_span!("run", run_id = %run)),
            ),
        );
    }

    /// Sees a run through, whatever happens to it.
    async fn see_through(&self, run: RunId) {
        let mut wait = AGAIN;
        let failure = loop {
            match self.drive(run).await {
                Ok(Over::Yes) => break None,
                // Whoever starts the server again goes on.
                Ok(Over::ServerEnds) => return,
                Err(error) if error.may_pass() => {
                    tracing::warn!(%run, %error, "a run cannot go on now: trying again");
                    tokio::select! {
                        () = tokio::time::sleep(wait) => wait = (wait * 2).min(AGAIN_LONGEST),
                        () = self.shared.ending.cancelled() => return,
                    }
                }
                Err(error) => break Some(error.into()),
            }
        };
        wait = AGAIN;
        while let Err(error) = self.end(run, failure.as_ref()).await {
            if let ConductorError::Store(StoreError::NotFound(_) | StoreError::Conflict(_)) = error {
                // Somebody has removed the run, or ended it in another way.
                tracing::warn!(%run, %error, "a run's end was not stored");
                return;
            }
            tracing::warn!(%run, %error, "a run's end could not be stored yet");
            tokio::select! {
                () = tokio::time::sleep(wait) => wait = (wait * 2).min(AGAIN_LONGEST),
                () = self.shared.ending.cancelled() => return,
            }
        }
    }

    /// Makes everything ready for a run's agents.
    async fn prepare(&self, run: RunId) -> Result<Prepared, ConductorError> {
        let Shared { store, queue, runs, settings, .. } = &*self.shared;
        let inputs = self.inputs(run).await?;
        let grant = inputs.grant(&settings.ceiling);
        let view = store.run(run).await?;
        let component = inputs.component();
        let bytes = Arc::new(inputs.component_bytes().await?);
        let code = self.compile(component.digest, bytes.clone()).await?;
        let configuration = inputs.configuration().inject(Injection { run_id: run.0, component });
        queue.declare(run).await?;
        runs.put_component(run, component.digest, Arc::unwrap_or_clone(bytes)).await?;
        let compiled = match code {
            Some(code) => self.publish_code(run, component.digest, code).await?,
            None => None,
        };
        let mut messages = configuration.agents();
        let count = u32::try_from(view.agents).unwrap_or(u32::MAX);
        for index in 0..count {
            let message = messages.next().transpose()?.unwrap_or_default();
            let record = AgentRecord { message, component, grant: grant.clone(), compiled: compiled.clone() };
            runs.put_agent(run, index, record).await?;
        }
        if view.status == RunStatus::Pending {
            store.set_status(run, RunStatus::Dispatching, None).await?;
        } else {
            store.forget_delays(run).await?;
            if settings.amqp_url.is_none() {
                // What was on the queue in the memory of the process before this one is gone with it.
                store.unqueue(run).await?;
            }
        }
        if !matches!(settings.agents, AgentMode::External) {
            store.forget_agents(run).await?;
        }
        let context = Duration::try_from_secs_f64(grant.limits().seconds_per_context).unwrap_or(Duration::MAX);
        Ok(Prepared { configuration, count, context })
    }

    /// From wherever the run is, to the end of its jobs and agents.
    async fn drive(&self, run: RunId) -> Result<Over, ConductorError> {
        let Shared { store, settings, ending, .. } = &*self.shared;
        let Prepared { configuration, count, context } = tokio::select! {
            prepared = self.prepare(run) => prepared?,
            _ = self.stopped(run) => return Ok(Over::Yes),
            () = ending.cancelled() => return Ok(Over::ServerEnds),
        };
        let mut connections = self.connections();
        if matches!(settings.agents, AgentMode::InProcess(_)) {
            // Agents of this process wait here for a store that is away; those in others wait there.
            connections.jobs = Arc::new(Patient::new(connections.jobs, PATIENCE));
        }
        let shutdown = ending.child_token();
        let mut crew = Crew::start(self, run, count, connections, context, &shutdown);
        let tending = self.tend(run, &configuration);
        let failure = tokio::select! {
            biased;
            () = ending.cancelled() => {
                crew.end().await;
                return Ok(Over::ServerEnds);
            }
            _ = self.stopped(run) => None,
            left = crew.left() => match left {
                Left::Stopped => tokio::select! {
                    _ = self.stopped(run) => None,
                    () = ending.cancelled() => return Ok(Over::ServerEnds),
                },
                Left::Nobody(reason) => Some(without_agents(reason)),
            },
            failed = tending => Some(failed.map_or_else(Ending::from, without_agents)),
        };
        if let Some(failure) = failure {
            store.stop_run(run, failure).await?;
        }
        crew.end_after_stop(&shutdown).await;
        Ok(Over::Yes)
    }

    /// Waits until the run's agents are to stop, through whatever happens to the store.
    async fn stopped(&self, run: RunId) -> Stop {
        loop {
            match self.shared.store.stopped(run).await {
                Ok(stop) => return stop,
                Err(error) => tracing::warn!(%run, %error, "whether the run is over is not known now"),
            }
            tokio::time::sleep(AGAIN_LONGEST).await;
        }
    }

    /// Stores how a run ended, and removes what only its agents needed. A failure counts unless something else has
    /// ended the run.
    async fn end(&self, run: RunId, failure: Option<&Ending>) -> Result<(), ConductorError> {
        let Shared { store, queue, runs, .. } = &*self.shared;
        self.waiting().remove(&run);
        if let Some(failure) = failure {
            store.stop_run(run, failure.clone()).await?;
        }
        let ending = store.ending(run).await?;
        if let Some(ending) = &ending {
            store.abandon(run, ending.outcome.clone()).await?;
        }
        if ending.as_ref().is_none_or(|ending| ending.status() == RunStatus::Failed) {
            unless_refused(run, "what is left on the queue cannot be taken", self.settle_leftover(run).await)?;
        }
        self.bury(run).await?;
        unless_refused(run, "the queue cannot be removed", queue.delete(run).await.map_err(Into::into))?;
        unless_refused(run, "what agents needed cannot be removed", runs.delete(run).await.map_err(Into::into))?;
        self.shared.lender.forget(run);
        let (status, reason) = match ending {
            Some(ending) => (ending.status(), ending.reason),
            None => {
                let view = store.run(run).await?;
                let all_well = view.jobs_failed == 0 && view.jobs_cancelled == 0;
                (if all_well { RunStatus::Succeeded } else { RunStatus::Failed }, None)
            }
        };
        store.set_status(run, status, reason.clone()).await?;
        tracing::info!(%run, status = status.word(), reason, "a run has ended");
        Ok(())
    }

    /// Has the component compiled, once for all agents. Those of this machine find it in the cache; for others, it
    /// gives the code.
    async fn compile(&self, digest: Digest, bytes: Arc<Vec<u8>>) -> Result<Option<Vec<u8>>, ConductorError> {
        let (cache, sandbox) = (self.shared.cache.clone(), self.shared.sandbox.clone());
        let is_for_others = matches!(self.shared.settings.agents, AgentMode::External);
        let compile = move || match is_for_others {
            true => cache.code(&sandbox, digest, &bytes).map(Some),
            false => cache.compile(&sandbox, digest, &bytes).map(|_| None),
        };
        Ok(tokio::task::spawn_blocking(compile).await??)
    }

    /// Stores what a component was compiled to where agents of a run find it. Gives its name, signed; nothing if it
    /// cannot be stored: then they compile it themselves.
    async fn publish_code(
        &self,
        run: RunId,
        digest: Digest,
        code: Vec<u8>,
    ) -> Result<Option<CompiledRef>, ConductorError> {
        let Shared { runs, sandbox, credentials, .. } = &*self.shared;
        let (sandbox, key) = (sandbox.clone(), credentials.signing_key().clone());
        let sign = move || (key.sign(&sandbox, digest, &code), code);
        let (compiled, code) = tokio::task::spawn_blocking(sign).await?;
        match runs.put_compiled(run, digest, &compiled.engine, code).await {
            Ok(()) => Ok(Some(compiled)),
            Err(error) => {
                tracing::warn!(%run, %error, "a compiled component is not stored: the run's agents compile it themselves");
                Ok(None)
            }
        }
    }

    /// What a run was launched with.
    async fn inputs(&self, run: RunId) -> Result<Inputs, ConductorError> {
        let data = self.shared.settings.data.clone();
        Ok(tokio::task::spawn_blocking(move || Inputs::open(&data, run)).await??)
    }

    async fn remove_inputs(&self, run: RunId) {
        let folder = Inputs::folder(&self.shared.settings.data, run);
        if let Err(error) = tokio::fs::remove_dir_all(&folder).await
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%run, %error, "what a run was launched with could not be removed");
        }
    }
}

/// Goes on where a server refuses something for good: that does not keep a run from ending.
fn unless_refused(run: RunId, what: &str, done: Result<(), ConductorError>) -> Result<(), ConductorError> {
    match done {
        Err(error) if !error.may_pass() => {
            tracing::warn!(%run, %error, "{what}");
            Ok(())
        }
        done => done,
    }
}

/// A run that agents can be started for.
struct Prepared {
    configuration: Configuration,
    /// How many agents it has.
    count: u32,
    /// How long their contexts may take.
    context: Duration,
}

/// Whether a run's jobs and agents have ended.
enum Over {
    Yes,
    /// The server ends before them.
    ServerEnds,
}

/// How a run ends that has no agents any more.
fn without_agents(reason: String) -> Ending {
    Ending { outcome: Outcome::failed(Cause::NoAgent, reason.clone()), reason: Some(reason) }
}

impl From<ConductorError> for Ending {
    fn from(error: ConductorError) -> Self {
        Self { reason: Some(error.to_string()), outcome: Outcome::Cancelled }
    }
}
