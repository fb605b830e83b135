//! Tending: what a run needs from time to time while its agents work.
//!
//! Jobs that get another attempt go back on the queue when it is time, those that have failed for good to the queue of
//! dead jobs; agents that are silent for too long are taken for dead; and jobs that should be on the queue and are not
//! are put there again. A store or a queue that is away is waited for.

use std::time::{Duration, Instant};

use armada_project::Configuration;
use armada_protocol::{ProtocolError, RunId};

use super::{Conductor, ConductorError, Shared, unless_refused};
use crate::settings::AgentMode;

/// How often it is looked after a run that nothing is heard of.
const ROUND: Duration = Duration::from_secs(1);
/// How often a queue is asked how many jobs wait on it, and how often it has to look as if it had lost some.
const ASK_QUEUE: Duration = Duration::from_secs(10);
const LOOKS: u32 = 3;
/// How often the store of what agents read is told that a run goes on.
const KEEP: Duration = Duration::from_secs(3600);
/// How many jobs are put on a queue at once.
const BATCH: i64 = 500;

impl Conductor {
    /// Dispatches a run's jobs and looks after it. Ends only when the run cannot go on: with the reason, or with a
    /// mistake in its files.
    pub(super) async fn tend(&self, run: RunId, configuration: &Configuration) -> Result<String, ConductorError> {
        let dispatching = async {
            loop {
                match self.dispatch(run, configuration).await {
                    Err(error) if error.may_pass() => {
                        tracing::warn!(%run, %error, "dispatch goes on in a moment");
                        tokio::time::sleep(super::AGAIN_LONGEST).await;
                    }
                    ended => return ended,
                }
            }
        };
        tokio::pin!(dispatching);
        let mut is_dispatched = false;
        let mut lost = Lost { looked: Instant::now(), times: 0 };
        let (mut with_agents, mut kept) = (Instant::now(), Instant::now());
        loop {
            tokio::select! {
                ended = &mut dispatching, if !is_dispatched => {
                    ended?;
                    is_dispatched = true;
                }
                () = self.shared.store.wait_for_work(run, ROUND) => {}
            }
            match self.round(run, is_dispatched, &mut lost).await {
                Ok(()) => {}
                Err(error) if error.may_pass() => {
                    tracing::warn!(%run, %error, "a run could not be looked after: trying again");
                    tokio::time::sleep(super::AGAIN_LONGEST).await;
                }
                Err(error) => return Err(error),
            }
            if kept.elapsed() >= KEEP {
                kept = Instant::now();
                // It is kept for much longer than until the next time.
                if let Err(error) = self.shared.runs.keep(run).await {
                    tracing::warn!(%run, %error, "what the agents of a run need could not be kept for longer now");
                }
            }
            if matches!(self.shared.settings.agents, AgentMode::External) {
                if self.shared.store.has_agents(run) {
                    with_agents = Instant::now();
                } else if with_agents.elapsed() >= self.shared.settings.no_agent {
                    let waited = self.shared.settings.no_agent.as_secs();
                    return Ok(format!("no agent was there for {waited} s"));
                }
            }
        }
    }

    /// What is done each time. A store or a queue that is away ends it.
    pub(super) async fn round(&self, run: RunId, is_dispatched: bool, lost: &mut Lost) -> Result<(), ConductorError> {
        let Shared { store, queue, .. } = &*self.shared;
        store.tell_stop(run).await?;
        for silent in store.silent_agents(run).await? {
            let reason = format!("it was silent for {} s", self.shared.settings.agent_silence.as_secs());
            tracing::warn!(%run, agent = silent.agent, "an agent is taken for dead: {reason}");
            store.agent_is_gone(run, silent, reason).await?;
        }
        store.end_delays(run).await?;
        let jobs = store.waiting_jobs(run, !is_dispatched, BATCH).await?;
        self.publish(run, jobs).await?;
        self.bury(run).await?;
        if lost.looked.elapsed() >= ASK_QUEUE {
            lost.looked = Instant::now();
            store.forget_lost_delays(run).await?;
            let waiting = match queue.waiting(run).await {
                // Somebody has removed it, or its broker has forgotten it: what was on it is put on another.
                Err(ProtocolError::NotFound(_)) => {
                    queue.declare(run).await?;
                    let jobs = store.unqueue(run).await?;
                    tracing::warn!(%run, jobs, "the queue was gone: its jobs are put on a new one");
                    return Ok(());
                }
                waiting => waiting?,
            };
            self.waiting().insert(run, waiting.unwrap_or_default());
            lost.times = if is_dispatched && waiting == Some(0) && store.has_queued_jobs(run).await? {
                lost.times + 1
            } else {
                0
            };
            if lost.times >= LOOKS {
                lost.times = 0;
                let jobs = store.unqueue(run).await?;
                tracing::warn!(%run, jobs, "the queue is empty and should not be: its jobs are put there again");
            }
        }
        Ok(())
    }

    /// Puts the messages of jobs that have failed for good on the queue of dead jobs.
    pub(super) async fn bury(&self, run: RunId) -> Result<(), ConductorError> {
        let Shared { store, queue, .. } = &*self.shared;
        loop {
            let jobs = store.jobs_to_bury(run, BATCH).await?;
            if jobs.is_empty() {
                return Ok(());
            }
            let ids = jobs.iter().map(|job| job.uuid).collect();
            let buried = queue.bury(run, jobs).await.map_err(Into::into);
            unless_refused(run, "the queue of dead jobs refuses some: only the store has them", buried)?;
            store.buried(ids).await?;
        }
    }
}

/// What is known of jobs that the queue may have lost.
pub(super) struct Lost {
    pub(super) looked: Instant,
    pub(super) times: u32,
}

impl ConductorError {
    /// Whether it may go well the next time.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Store(error) => error.may_pass(),
            Self::Protocol(error) => {
                use armada_protocol::ProtocolError::*;
                matches!(error, Closed | Unavailable(_) | Io(_))
            }
            _ => false,
        }
    }
}
