//! The orchestrator's end of a link.

use std::sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::frame::{self, Answer, Ask, Reply, Request};
use crate::{
    AgentState, Attempt, Connections, Incarnation, JobConsumer, JobQueue, JobStore, Lender, ProtocolError, Report,
    RunId, RunStore,
};

/// How many replies wait to be written before further requests wait.
const REPLIES: usize = 16;
/// How many requests of an agent may be under way at the same time; it has no use for as many.
pub(super) const REQUESTS: usize = 64;
/// The most bytes of a request that counts for nothing, and of one that only waits or reads.
const SMALL_BYTES: u64 = 64 << 10;
/// What [`Allowance::large`] counts in, so that its number fits.
const UNIT_BYTES: u64 = 1 << 10;
/// How long a link from elsewhere may be silent. Its agent has something to say every few seconds.
const SILENCE: Duration = Duration::from_secs(300);
/// What a request of an agent from elsewhere may have besides artifacts: the result of a job, with what JSON makes of
/// it.
const BESIDES_ARTIFACTS: u64 = 16 << 20;
/// What a request of an agent from elsewhere may have in any case.
const ANY_REQUEST: u64 = 32 << 20;
/// What large requests of all the agents of a run from elsewhere may have together, unless a single one has more.
const LARGE_REQUESTS: u64 = 256 << 20;

/// What agents at the other ends of links may take of this process's memory and time. It is shared by its clones.
#[derive(Clone, Debug)]
pub struct Allowance {
    /// How many bytes one request may have.
    pub(super) request: u64,
    /// Room for the large requests that arrive or are carried out, in [`UNIT_BYTES`].
    pub(super) large: Arc<Semaphore>,
    /// How long a link may be silent, if not for ever.
    pub(super) silence: Option<Duration>,
}

impl Allowance {
    /// That of an agent which this process has started itself: whatever any grant allows.
    pub fn own() -> Self {
        let request = 2 * frame::MAX_PART_BYTES as u64;
        Self { request, large: Arc::new(room(request)), silence: None }
    }

    /// That of the agents of a run which somebody else has started, where a job may have so many bytes of artifacts.
    pub fn distant(artifact_bytes: u64) -> Self {
        let request = artifact_bytes.saturating_add(BESIDES_ARTIFACTS).max(ANY_REQUEST);
        Self { request, large: Arc::new(room(request.max(LARGE_REQUESTS))), silence: Some(SILENCE) }
    }

    /// Waits for the next request to begin, which must be none that is too large; nothing at the end of the stream.
    async fn begin<R: AsyncRead + Unpin>(&self, from: &mut R) -> Result<Option<frame::Head>, ProtocolError> {
        let head = frame::Head::read(from, frame::CHUNK_TIME);
        let head = match self.silence {
            Some(silence) => timeout(silence, head).await.map_err(|_| ProtocolError::Closed)??,
            None => head.await?,
        };
        if let Some(head) = head
            && head.bytes() > self.request
        {
            let (bytes, most) = (head.bytes(), self.request);
            return Err(ProtocolError::Invalid(format!("a request has {bytes} bytes, and may have {most}")));
        }
        Ok(head)
    }

    /// Waits until there is room for a request of so many bytes.
    async fn admit(&self, bytes: u64) -> Result<Option<OwnedSemaphorePermit>, ProtocolError> {
        if bytes <= SMALL_BYTES {
            return Ok(None);
        }
        let units = u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX);
        // It is never closed.
        self.large.clone().acquire_many_owned(units).await.map(Some).map_err(|_| ProtocolError::Closed)
    }
}

fn room(bytes: u64) -> Semaphore {
    Semaphore::new(usize::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(Semaphore::MAX_PERMITS))
}

/// The agent at the other end of a link.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The run that it works for.
    pub run: RunId,
    /// Which agent of that run it is.
    pub by: Incarnation,
    /// What it may take.
    pub allowance: Allowance,
}

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
    peer: Peer,
    connections: Connections,
    told: impl Fn(&AgentState) + Send + Sync + 'static,
) -> Result<Served, ProtocolError> {
    let Peer { run, by, allowance } = peer;
    let Connections { queue, runs, jobs, lender } = connections;
    let (mut read, mut write) = tokio::io::split(stream);
    let (replies, mut outgoing) = mpsc::channel::<(Reply, Payload)>(REPLIES);
    let consumer = Arc::new(Mutex::new(Consumer { queue, run, agent: by.agent, consumer: None }));
    let large = Arc::new(Semaphore::new(1));
    let server = Arc::new(Server { run, by, runs, jobs, lender, large, served: StdMutex::default(), told });
    // What only waits or reads is given up with the connection; what does something is seen through.
    let (mut waiting, mut acting) = (JoinSet::new(), JoinSet::new());
    let writing = async {
        while let Some((reply, payload)) = outgoing.recv().await {
            let writing = frame::write(&mut write, &reply, &payload.bytes);
            timeout(frame::time_to_take(payload.bytes.len()), writing).await.map_err(|_| ProtocolError::Closed)??;
        }
        Ok::<(), ProtocolError>(())
    };
    let reading = async {
        while let Some(head) = allowance.begin(&mut read).await? {
            let room = allowance.admit(head.bytes()).await?;
            let (request, payload) = head.read_rest::<_, Request>(&mut read, frame::CHUNK_TIME).await?;
            let (server, consumer, replies) = (server.clone(), consumer.clone(), replies.clone());
            let is_wait = request.ask.is_wait();
            if is_wait && room.is_some() {
                return Err(ProtocolError::Invalid("the agent asks for little with much".to_owned()));
            }
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
                drop(room);
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
    // An agent that comes back over another link leases again when it next needs to.
    let _ = server.lender.give_back(run, by, false).await;
    if let Err(error) = ended {
        tracing::debug!(%error, agent = by.agent, "the agent's link ended in the middle of something");
    }
    let served = server.served();
    Ok(served.clone())
}

/// The bytes of a reply, and the turn that large ones have: there is one transfer at a time, until it is written.
#[derive(Default)]
struct Payload {
    bytes: Bytes,
    _turn: Option<OwnedSemaphorePermit>,
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
    lender: Arc<dyn Lender>,
    /// A turn for what is large: the agent's record, and its component, compiled or not.
    large: Arc<Semaphore>,
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

    /// The turn of what is large. It is always had in the end: nobody closes the turns.
    async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        self.large.clone().acquire_owned().await.ok()
    }

    async fn answer(&self, ask: Ask, payload: Vec<u8>, consumer: &Mutex<Consumer>) -> (Answer, Payload) {
        match self.carry_out(ask, payload, consumer).await {
            Ok(answered) => answered,
            Err(ProtocolError::NotFound(what)) => (Answer::NotFound { what }, Payload::default()),
            Err(ProtocolError::Unavailable(message)) => (Answer::Unavailable { message }, Payload::default()),
            Err(error) => (Answer::Failed { message: error.to_string() }, Payload::default()),
        }
    }

    async fn carry_out(
        &self,
        ask: Ask,
        payload: Vec<u8>,
        consumer: &Mutex<Consumer>,
    ) -> Result<(Answer, Payload), ProtocolError> {
        let (run, by) = (self.run, self.by);
        let answer = match ask {
            Ask::Component { digest } => {
                let turn = self.turn().await;
                // Another run's component is none of its business.
                if self.runs.agent(run, by.agent).await?.component.digest != digest {
                    return Err(ProtocolError::NotFound(format!("the component {digest}")));
                }
                let bytes = self.runs.component(digest).await?;
                return Ok((Answer::Component, Payload { bytes, _turn: turn }));
            }
            Ask::Compiled { digest, engine } => {
                let turn = self.turn().await;
                let record = self.runs.agent(run, by.agent).await?;
                let is_its_own = record.component.digest == digest
                    && record.compiled.is_some_and(|compiled| compiled.engine == engine);
                if !is_its_own {
                    return Err(ProtocolError::NotFound(format!("the compiled component {digest}")));
                }
                let bytes = self.runs.compiled(digest, &engine).await?;
                return Ok((Answer::Compiled, Payload { bytes, _turn: turn }));
            }
            Ask::AgentRecord => {
                let turn = self.turn().await;
                let record = Box::new(self.runs.agent(run, by.agent).await?);
                return Ok((Answer::AgentRecord { record }, Payload { bytes: Bytes::new(), _turn: turn }));
            }
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
            Ask::Lent => Answer::Lent { lent: Box::new(self.lender.lent(run, by).await?) },
            Ask::Lease { wanted } => Answer::Upstream { upstream: Box::new(self.lender.lease(run, by, wanted).await?) },
            Ask::GiveBack { has_failed } => done(self.lender.give_back(run, by, has_failed).await?),
        };
        Ok((answer, Payload::default()))
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
