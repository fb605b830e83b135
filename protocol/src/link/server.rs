//! The orchestrator's end of a link.

use std::sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

use super::frame::{self, Answer, Ask, Reply, Request};
use crate::{
    AgentState, Attempt, Incarnation, JobConsumer, JobQueue, JobStore, ProtocolError, Report, RunId, RunStore,
};

/// How many replies wait to be written before further requests wait.
const REPLIES: usize = 16;
/// How many requests of an agent may be under way at the same time; it has no use for as many.
pub(super) const REQUESTS: usize = 64;

/// What came of serving an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// How many jobs it has taken on.
    pub jobs_taken: u64,
    /// Why it could not go on, if it said so.
    pub failure: Option<String>,
    /// Whether it said that it ends.
    pub has_closed: bool,
}

/// Serves one agent over a stream until the agent closes it. What the agent had taken from the queue and not settled is
/// delivered again. `told` hears what the agent says that it is doing.
pub async fn serve<S: AsyncRead + AsyncWrite + Send + 'static>(
    stream: S,
    run: RunId,
    by: Incarnation,
    queue: Arc<dyn JobQueue>,
    runs: Arc<dyn RunStore>,
    jobs: Arc<dyn JobStore>,
    told: impl Fn(&AgentState) + Send + Sync + 'static,
) -> Result<Served, ProtocolError> {
    let (mut read, mut write) = tokio::io::split(stream);
    let (replies, mut outgoing) = mpsc::channel::<(Reply, Vec<u8>)>(REPLIES);
    let consumer = Arc::new(Mutex::new(Consumer { queue, run, agent: by.agent, consumer: None }));
    let server = Arc::new(Server { run, by, runs, jobs, served: StdMutex::default(), told });
    // What only waits is given up with the connection; what does something is seen through.
    let (mut waiting, mut acting) = (JoinSet::new(), JoinSet::new());
    let writing = async {
        while let Some((reply, payload)) = outgoing.recv().await {
            frame::write(&mut write, &reply, &payload).await?;
        }
        Ok::<(), ProtocolError>(())
    };
    let reading = async {
        while let Some((request, payload)) = frame::read::<_, Request>(&mut read).await? {
            let (server, consumer, replies) = (server.clone(), consumer.clone(), replies.clone());
            let is_wait = request.ask.is_wait();
            let answering = if is_wait { &mut waiting } else { &mut acting };
            while answering.try_join_next().is_some() {}
            if answering.len() >= REQUESTS {
                if is_wait {
                    return Err(ProtocolError::Invalid("the agent waits for too much at once".to_owned()));
                }
                answering.join_next().await;
            }
            answering.spawn(async move {
                let (answer, payload) = server.answer(request.ask, payload, &consumer).await;
                let _ = replies.send((Reply { id: request.id, answer }, payload)).await;
            });
        }
        Ok::<(), ProtocolError>(())
    };
    let ended = tokio::select! {
        ended = reading => ended,
        ended = writing => ended,
    };
    drop(outgoing);
    waiting.shutdown().await;
    while acting.join_next().await.is_some() {}
    if let Err(error) = ended {
        tracing::debug!(%error, agent = by.agent, "the agent's link ended in the middle of something");
    }
    let served = server.served();
    Ok(served.clone())
}

/// The agent's consumer, once it asks for a job: one that goes to the queue itself has no other here.
struct Consumer {
    queue: Arc<dyn JobQueue>,
    run: RunId,
    agent: u32,
    consumer: Option<Box<dyn JobConsumer>>,
}

impl Consumer {
    async fn get(&mut self) -> Result<&mut dyn JobConsumer, ProtocolError> {
        let consumer = match self.consumer.take() {
            Some(consumer) => consumer,
            None => self.queue.consume(self.run, self.agent).await?,
        };
        Ok(&mut **self.consumer.insert(consumer))
    }
}

struct Server<F> {
    run: RunId,
    by: Incarnation,
    runs: Arc<dyn RunStore>,
    jobs: Arc<dyn JobStore>,
    served: StdMutex<Served>,
    told: F,
}

impl<F: Fn(&AgentState) + Send + Sync + 'static> Server<F> {
    fn served(&self) -> MutexGuard<'_, Served> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An agent speaks of its own attempts only.
    fn check(&self, attempt: Attempt) -> Result<(), ProtocolError> {
        if attempt.run == self.run && attempt.agent == self.by.agent {
            return Ok(());
        }
        Err(ProtocolError::Invalid("the attempt is not this agent's".to_owned()))
    }

    async fn answer(&self, ask: Ask, payload: Vec<u8>, consumer: &Mutex<Consumer>) -> (Answer, Vec<u8>) {
        match self.carry_out(ask, payload, consumer).await {
            Ok(answered) => answered,
            Err(ProtocolError::NotFound(what)) => (Answer::NotFound { what }, Vec::new()),
            Err(ProtocolError::Unavailable(message)) => (Answer::Unavailable { message }, Vec::new()),
            Err(error) => (Answer::Failed { message: error.to_string() }, Vec::new()),
        }
    }

    async fn carry_out(
        &self,
        ask: Ask,
        payload: Vec<u8>,
        consumer: &Mutex<Consumer>,
    ) -> Result<(Answer, Vec<u8>), ProtocolError> {
        let (run, by) = (self.run, self.by);
        let answer = match ask {
            Ask::Component { digest } => {
                // Another run's component is none of its business.
                if self.runs.agent(run, by.agent).await?.component.digest != digest {
                    return Err(ProtocolError::NotFound(format!("the component {digest}")));
                }
                return Ok((Answer::Component, self.runs.component(digest).await?));
            }
            Ask::Compiled { digest, engine } => {
                let record = self.runs.agent(run, by.agent).await?;
                let is_its_own = record.component.digest == digest
                    && record.compiled.is_some_and(|compiled| compiled.engine == engine);
                if !is_its_own {
                    return Err(ProtocolError::NotFound(format!("the compiled component {digest}")));
                }
                return Ok((Answer::Compiled, self.runs.compiled(digest, &engine).await?));
            }
            Ask::AgentRecord => Answer::AgentRecord { record: Box::new(self.runs.agent(run, by.agent).await?) },
            Ask::AgentState { state } => {
                if let AgentState::Failed { message } | AgentState::Died { message } = &state {
                    self.served().failure = Some(message.clone());
                }
                self.served().has_closed |= state == AgentState::Closed;
                (self.told)(&state);
                done(self.jobs.agent(run, by, state).await?)
            }
            Ask::NextJob => Answer::Job { delivery: consumer.lock().await.get().await?.next().await? },
            Ask::Acknowledge { tag } => done(consumer.lock().await.get().await?.acknowledge(tag).await?),
            Ask::Requeue { tag } => done(consumer.lock().await.get().await?.requeue(tag).await?),
            Ask::Alive => done(self.jobs.alive(run, by).await?),
            Ask::Start { job } => {
                let start = self.jobs.start(run, &job, by).await?;
                self.served().jobs_taken += 1;
                Answer::Start { start }
            }
            Ask::Report { attempt, first, mut reports, sizes } => {
                self.check(attempt)?;
                fill(&mut reports, &sizes, &payload)?;
                done(self.jobs.report(attempt, first, reports).await?)
            }
            Ask::Finish { attempt, outcome } => {
                self.check(attempt)?;
                let next = self.jobs.finish(attempt, outcome).await?;
                Answer::Next { next }
            }
            Ask::Stopped => Answer::Stop { stop: self.jobs.stopped(run).await? },
        };
        Ok((answer, Vec::new()))
    }
}

fn done((): ()) -> Answer {
    Answer::Done
}

/// Gives the artifacts their bytes from the payload.
fn fill(reports: &mut [Report], sizes: &[usize], payload: &[u8]) -> Result<(), ProtocolError> {
    let mut rest = payload;
    let mut sizes = sizes.iter();
    for report in reports {
        if let Report::Artifact(artifact) = report {
            let taken = sizes.next().and_then(|size| rest.split_at_checked(*size));
            let Some((bytes, after)) = taken else {
                return Err(ProtocolError::Invalid("the payload does not hold the artifacts announced".to_owned()));
            };
            artifact.bytes = bytes.to_vec();
            rest = after;
        }
    }
    Ok(())
}
