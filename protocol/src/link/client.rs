//! The agent's end of a link.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use armada_project::Digest;
use async_trait::async_trait;
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::frame::{self, Answer, Ask, Reply, Request};
use crate::inventory::Upstream;
use crate::{
    AgentRecord, AgentState, Attempt, Delivery, Incarnation, Job, JobConsumer, JobQueue, JobStore, Lender, Lent, Next,
    Outcome, ProtocolError, Report, RunId, RunStore, Start, Stop, Wanted,
};

type Waiting = oneshot::Sender<(Answer, Vec<u8>)>;

/// The queue, the store and the ledger of this process's orchestrator, over a stream.
///
/// The run and the incarnation of the calls are those that the orchestrator serves the stream for.
pub struct Link {
    shared: Arc<Shared>,
    reading: JoinHandle<()>,
    writing: JoinHandle<()>,
}

struct Shared {
    /// Frames go through one task, so that giving up on a request never leaves half a frame behind.
    outgoing: mpsc::Sender<(Request, Vec<u8>)>,
    /// Who waits for which reply; none at all once the stream has ended.
    waiting: Mutex<Option<HashMap<u64, Waiting>>>,
    next_id: AtomicU64,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.reading.abort();
        self.writing.abort();
    }
}

impl Link {
    /// Speaks to the orchestrator over this stream.
    pub fn connect<S: AsyncRead + AsyncWrite + Send + 'static>(stream: S) -> Self {
        let (mut read, mut write) = tokio::io::split(stream);
        let (outgoing, mut requests) = mpsc::channel::<(Request, Vec<u8>)>(1);
        let shared =
            Arc::new(Shared { outgoing, waiting: Mutex::new(Some(HashMap::new())), next_id: AtomicU64::new(0) });
        let writing = tokio::spawn(async move {
            while let Some((request, payload)) = requests.recv().await {
                // When writing fails, the stream has ended, and reading ends every wait.
                if frame::write(&mut write, &request, &payload).await.is_err() {
                    break;
                }
            }
        });
        let reading = tokio::spawn({
            let shared = shared.clone();
            async move {
                while let Ok(Some((reply, payload))) = frame::read::<_, Reply>(&mut read).await {
                    let mut waiting = shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                    if let Some(waiter) = waiting.as_mut().and_then(|waiting| waiting.remove(&reply.id)) {
                        // Whoever waited may have given up.
                        let _ = waiter.send((reply.answer, payload));
                    }
                }
                // Dropping the senders ends every wait.
                shared.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
            }
        });
        Self { shared, reading, writing }
    }
}

impl Link {
    /// Ends every wait: the stream is of no use any more.
    pub(super) fn close(&self) {
        self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.reading.abort();
        self.writing.abort();
    }
}

impl Shared {
    /// Sends a request, and gives the receiver of its reply.
    async fn send(&self, ask: Ask, payload: Vec<u8>) -> Result<oneshot::Receiver<(Answer, Vec<u8>)>, ProtocolError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        match self.waiting.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            Some(waiting) => waiting.insert(id, sender),
            None => return Err(ProtocolError::Closed),
        };
        self.outgoing.send((Request { id, ask }, payload)).await.map_err(|_| ProtocolError::Closed)?;
        Ok(receiver)
    }

    async fn ask(&self, ask: Ask, payload: Vec<u8>) -> Result<(Answer, Vec<u8>), ProtocolError> {
        let receiver = self.send(ask, payload).await?;
        accept(receiver.await)
    }

    async fn tell(&self, ask: Ask, payload: Vec<u8>) -> Result<(), ProtocolError> {
        match self.ask(ask, payload).await?.0 {
            Answer::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }
}

/// Turns what the orchestrator could not do into an error.
fn accept(reply: Result<(Answer, Vec<u8>), oneshot::error::RecvError>) -> Result<(Answer, Vec<u8>), ProtocolError> {
    match reply {
        Ok((Answer::NotFound { what }, _)) => Err(ProtocolError::NotFound(what)),
        Ok((Answer::Unavailable { message }, _)) => Err(ProtocolError::Unavailable(message)),
        Ok((Answer::Failed { message }, _)) => Err(ProtocolError::Invalid(message)),
        Ok(answered) => Ok(answered),
        Err(_) => Err(ProtocolError::Closed),
    }
}

fn unexpected(answer: &Answer) -> ProtocolError {
    ProtocolError::Invalid(format!("an answer of another kind: {answer:?}"))
}

#[async_trait]
impl Lender for Link {
    async fn lent(&self, _run: RunId, _by: Incarnation) -> Result<Lent, ProtocolError> {
        match self.shared.ask(Ask::Lent, Vec::new()).await?.0 {
            Answer::Lent { lent } => Ok(*lent),
            other => Err(unexpected(&other)),
        }
    }

    async fn lease(&self, _run: RunId, _by: Incarnation, wanted: Wanted) -> Result<Upstream, ProtocolError> {
        match self.shared.ask(Ask::Lease { wanted }, Vec::new()).await?.0 {
            Answer::Upstream { upstream } => Ok(*upstream),
            other => Err(unexpected(&other)),
        }
    }

    async fn give_back(&self, _run: RunId, _by: Incarnation, has_failed: bool) -> Result<(), ProtocolError> {
        self.shared.tell(Ask::GiveBack { has_failed }, Vec::new()).await
    }
}

#[async_trait]
impl RunStore for Link {
    async fn component(&self, digest: Digest) -> Result<Bytes, ProtocolError> {
        match self.shared.ask(Ask::Component { digest }, Vec::new()).await? {
            (Answer::Component, bytes) => Ok(bytes.into()),
            (other, _) => Err(unexpected(&other)),
        }
    }

    async fn compiled(&self, digest: Digest, engine: &str) -> Result<Bytes, ProtocolError> {
        match self.shared.ask(Ask::Compiled { digest, engine: engine.to_owned() }, Vec::new()).await? {
            (Answer::Compiled, code) => Ok(code.into()),
            (other, _) => Err(unexpected(&other)),
        }
    }

    async fn agent(&self, _run: RunId, _index: u32) -> Result<AgentRecord, ProtocolError> {
        match self.shared.ask(Ask::AgentRecord, Vec::new()).await?.0 {
            Answer::AgentRecord { record } => Ok(*record),
            other => Err(unexpected(&other)),
        }
    }
}

#[async_trait]
impl JobQueue for Link {
    async fn consume(&self, _run: RunId, _agent: u32) -> Result<Box<dyn JobConsumer>, ProtocolError> {
        Ok(Box::new(Consumer { shared: self.shared.clone(), asked: None }))
    }
}

#[async_trait]
impl JobStore for Link {
    async fn agent(&self, _run: RunId, _by: Incarnation, state: AgentState) -> Result<(), ProtocolError> {
        self.shared.tell(Ask::AgentState { state }, Vec::new()).await
    }

    async fn alive(&self, _run: RunId, _by: Incarnation) -> Result<(), ProtocolError> {
        self.shared.tell(Ask::Alive, Vec::new()).await
    }

    async fn start(&self, _run: RunId, job: &Job, _by: Incarnation) -> Result<Start, ProtocolError> {
        match self.shared.ask(Ask::Start { job: job.clone() }, Vec::new()).await?.0 {
            Answer::Start { start } => Ok(start),
            other => Err(unexpected(&other)),
        }
    }

    async fn report(&self, attempt: Attempt, first: u64, reports: Vec<Report>) -> Result<(), ProtocolError> {
        let mut payload = Vec::new();
        let mut sizes = Vec::new();
        for report in &reports {
            if let Report::Artifact(artifact) = report {
                payload.extend_from_slice(&artifact.bytes);
                sizes.push(artifact.bytes.len());
            }
        }
        self.shared.tell(Ask::Report { attempt, first, reports, sizes }, payload).await
    }

    async fn finish(&self, attempt: Attempt, outcome: Outcome) -> Result<Next, ProtocolError> {
        match self.shared.ask(Ask::Finish { attempt, outcome }, Vec::new()).await?.0 {
            Answer::Next { next } => Ok(next),
            other => Err(unexpected(&other)),
        }
    }

    async fn stopped(&self, _run: RunId) -> Result<Stop, ProtocolError> {
        match self.shared.ask(Ask::Stopped, Vec::new()).await?.0 {
            Answer::Stop { stop } => Ok(stop),
            other => Err(unexpected(&other)),
        }
    }
}

struct Consumer {
    shared: Arc<Shared>,
    /// A request for a job whose reply was not awaited to the end: the job that it brings must not be lost.
    asked: Option<oneshot::Receiver<(Answer, Vec<u8>)>>,
}

#[async_trait]
impl JobConsumer for Consumer {
    async fn next(&mut self) -> Result<Option<Delivery>, ProtocolError> {
        let receiver = match &mut self.asked {
            Some(receiver) => receiver,
            none => none.insert(self.shared.send(Ask::NextJob, Vec::new()).await?),
        };
        let reply = accept(receiver.await);
        self.asked = None;
        match reply?.0 {
            Answer::Job { delivery } => Ok(delivery),
            other => Err(unexpected(&other)),
        }
    }

    async fn acknowledge(&mut self, tag: u64) -> Result<(), ProtocolError> {
        self.shared.tell(Ask::Acknowledge { tag }, Vec::new()).await
    }

    async fn requeue(&mut self, tag: u64) -> Result<(), ProtocolError> {
        self.shared.tell(Ask::Requeue { tag }, Vec::new()).await
    }
}
