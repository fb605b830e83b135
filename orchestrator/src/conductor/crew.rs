//! The agents of a run: started where the settings say, started again when they die, and ended with the run.

use std::sync::Arc;
use std::time::Duration;

use armada_host::agent::{AgentOptions, Lived};
use armada_protocol::{Connections, Incarnation, RunId};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Conductor;
use crate::agents::Agents;
use crate::agents::keep::{Life, is_over, keep};
use crate::settings::{AgentMode, InProcess};

/// What is left of a run when its agents have ended.
pub(super) enum Left {
    /// They were told that the run is over, or that the server ends.
    Stopped,
    /// The last one had to be given up, for this reason.
    Nobody(String),
}

/// The agents of a run.
pub(super) struct Crew {
    keeping: JoinSet<Result<(), String>>,
    last: Left,
    /// Whether agents are somebody else's.
    is_external: bool,
    /// How long they have to end when the run is over.
    ending: Duration,
}

impl Crew {
    /// Starts them. `shutdown` has them hand back their jobs and end.
    pub(super) fn start(
        conductor: &Conductor,
        run: RunId,
        count: u32,
        connections: Connections,
        context: Duration,
        shutdown: &CancellationToken,
    ) -> Self {
        let settings = &conductor.shared.settings;
        let mut keeping = JoinSet::new();
        match &settings.agents {
            AgentMode::Processes(command) => {
                let agents = Arc::new(Agents::new(run, command.clone(), connections, context));
                for index in 0..count {
                    keeping.spawn(agents.clone().keep(index, shutdown.clone()));
                }
            }
            AgentMode::InProcess(options) => {
                for index in 0..count {
                    let (conductor, options) = (conductor.clone(), options.clone());
                    let (connections, shutdown) = (connections.clone(), shutdown.clone());
                    keeping.spawn(async move { conductor.keep(run, index, options, connections, shutdown).await });
                }
            }
            AgentMode::External => {}
        }
        let is_external = matches!(settings.agents, AgentMode::External);
        let ending = context.saturating_add(settings.grace);
        Self { keeping, last: Left::Stopped, is_external, ending }
    }

    /// Waits until no agent is left; for ever, if they are somebody else's.
    pub(super) async fn left(&mut self) -> Left {
        if self.is_external {
            return std::future::pending().await;
        }
        while let Some(kept) = self.keeping.join_next().await {
            self.last = match kept {
                Ok(Ok(())) => Left::Stopped,
                Ok(Err(reason)) => Left::Nobody(reason),
                Err(error) => Left::Nobody(format!("an agent's task failed: {error}")),
            };
        }
        std::mem::replace(&mut self.last, Left::Stopped)
    }

    /// Waits until they have ended.
    pub(super) async fn end(&mut self) {
        while self.keeping.join_next().await.is_some() {}
    }

    /// Waits until they have ended as they were told; makes them when that takes too long.
    pub(super) async fn end_after_stop(&mut self, shutdown: &CancellationToken) {
        if tokio::time::timeout(self.ending, self.end()).await.is_err() {
            shutdown.cancel();
            if tokio::time::timeout(self.ending, self.end()).await.is_err() {
                self.keeping.shutdown().await;
            }
        }
    }
}

impl Conductor {
    /// Keeps an agent within this process going until its run is over.
    async fn keep(
        &self,
        run: RunId,
        index: u32,
        options: InProcess,
        connections: Connections,
        shutdown: CancellationToken,
    ) -> Result<(), String> {
        let over = is_over(&*connections.jobs, run, &shutdown);
        keep(index, over, async |_| {
            let options = AgentOptions {
                run,
                by: Incarnation::new(index),
                cache: self.shared.cache.clone(),
                key: None,
                chromium: options.chromium.clone(),
                headed: options.headed,
                temp: options.temp.clone(),
            };
            let life = armada_host::agent::run(&self.shared.sandbox, options, connections.clone(), shutdown.clone());
            let Lived { jobs_taken, ended } = life.await;
            // That its queue was gone is not the same as that the run is over.
            let reason = ended.err().map_or("its queue was gone".to_owned(), |error| error.to_string());
            Life { has_worked: jobs_taken > 0, is_hopeless: false, reason }
        })
        .await
    }
}
