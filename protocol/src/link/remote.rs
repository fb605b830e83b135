//! The same link from another machine: a connection to the server's API that is made again whenever it is lost.
//!
//! What was asked over a connection that broke is asked again over the next one; everything that is asked can be (see
//! [`Patient`](crate::patient::Patient)). That a connection is dead, and not only silent, shows by the agent's own
//! heartbeat: it is answered, or the connection is given up, unless something large is on its way before it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use armada_project::Digest;
use async_trait::async_trait;
use bytes::Bytes;
use reqwest::header::{CONNECTION, UPGRADE};
use reqwest::{Client, StatusCode};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use url::Url;

use super::frame::time_to_take;
use super::{INCARNATION, Link, PROTOCOL};
use crate::backoff::Backoff;
use crate::inventory::Upstream;
use crate::{
    AgentRecord, AgentState, Attempt, Delivery, Incarnation, Job, JobConsumer, JobQueue, JobStore, Lender, Lent, Next,
    Outcome, ProtocolError, Report, RunId, RunStore, Start, Stop, Wanted,
};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);
/// How long an answer may take that nothing has to happen for.
const ANSWER: Duration = Duration::from_secs(60);
/// How long a component may take to come, compiled or not.
const TRANSFER: Duration = Duration::from_secs(600);
/// How long the answer to a heartbeat may take.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// The queue, the store and the ledger of a server that is reached over the network.
#[derive(Clone)]
pub struct RemoteLink {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    url: Url,
    token: Option<String>,
    by: Incarnation,
    /// How long somebody waits for a server that is away.
    patience: Duration,
    link: Mutex<Option<Arc<Link>>>,
    /// How many large things are on their way: heartbeats wait behind them.
    transfers: AtomicUsize,
}

/// A large thing that is on its way.
struct Transfer<'a>(&'a AtomicUsize);

impl<'a> Transfer<'a> {
    fn begin(transfers: &'a AtomicUsize) -> Self {
        transfers.fetch_add(1, Ordering::Relaxed);
        Self(transfers)
    }
}

impl Drop for Transfer<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl RemoteLink {
    /// A link of this incarnation of a run's agent to the server at this address. It connects when it is first used.
    pub fn new(
        server: &Url,
        run: RunId,
        by: Incarnation,
        token: Option<String>,
        patience: Duration,
    ) -> Result<Self, ProtocolError> {
        let invalid = |error: String| ProtocolError::Invalid(error);
        let mut url = server.clone();
        url.path_segments_mut()
            .map_err(|()| invalid(format!("{server} is no address of a server: expected http://HOST:PORT")))?
            .pop_if_empty()
            .extend(["api", "runs", &run.to_string(), "agents", &by.agent.to_string(), "link"]);
        let client = Client::builder().connect_timeout(CONNECT).http1_only().build();
        let client = client.map_err(|error| invalid(format!("no connection can be made: {error}")))?;
        let transfers = AtomicUsize::new(0);
        Ok(Self { shared: Arc::new(Shared { client, url, token, by, patience, link: Mutex::default(), transfers }) })
    }

    /// Asks over a connection, and again over another one for as long as there is patience. Without a limit, it waits
    /// for something to happen.
    async fn ask<T, F>(&self, limit: Option<Duration>, ask: impl Fn(Arc<Link>) -> F) -> Result<T, ProtocolError>
    where
        F: Future<Output = Result<T, ProtocolError>>,
    {
        let (mut backoff, mut since) = (Backoff::new(), Instant::now());
        loop {
            let failure = match self.shared.link().await {
                Ok(link) => {
                    let answer = ask(link.clone());
                    let answer = match limit {
                        Some(limit) => timeout(limit, answer).await.unwrap_or(Err(ProtocolError::Closed)),
                        None => {
                            let answer = answer.await;
                            // It has waited for as long as there was nothing to say.
                            since = Instant::now();
                            answer
                        }
                    };
                    match answer {
                        Err(error @ (ProtocolError::Closed | ProtocolError::Io(_))) => {
                            self.shared.give_up(&link).await;
                            error
                        }
                        Err(error @ ProtocolError::Unavailable(_)) => error,
                        answered => return answered,
                    }
                }
                Err(error @ ProtocolError::Unavailable(_)) => error,
                Err(error) => return Err(error),
            };
            if since.elapsed() >= self.shared.patience {
                return Err(failure);
            }
            backoff.wait().await;
        }
    }
}

impl Shared {
    /// The connection that there is, or a new one.
    async fn link(&self) -> Result<Arc<Link>, ProtocolError> {
        let mut current = self.link.lock().await;
        if let Some(link) = &*current {
            return Ok(link.clone());
        }
        let link = Arc::new(self.connect().await?);
        *current = Some(link.clone());
        Ok(link)
    }

    async fn connect(&self) -> Result<Link, ProtocolError> {
        let away = |error: &dyn std::fmt::Display| ProtocolError::Unavailable(format!("{}: {error}", self.url));
        let mut request = self.client.get(self.url.clone());
        request = request.header(CONNECTION, "upgrade").header(UPGRADE, PROTOCOL);
        request = request.header(INCARNATION, self.by.id.to_string());
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let response = timeout(CONNECT, request.send()).await;
        let response = response.map_err(|_| away(&"no answer"))?.map_err(|error| away(&error.without_url()))?;
        match response.status() {
            StatusCode::SWITCHING_PROTOCOLS => {
                let stream = response.upgrade().await.map_err(|error| away(&error.without_url()))?;
                tracing::debug!(url = %self.url, "linked");
                Ok(Link::connect(stream))
            }
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => Err(away(&status)),
            status => {
                let body = timeout(CONNECT, response.bytes()).await.ok().and_then(Result::ok).unwrap_or_default();
                let problem: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
                let detail = problem.get("detail").and_then(serde_json::Value::as_str).unwrap_or("it says no more");
                Err(ProtocolError::Invalid(format!("the server refuses this agent ({status}): {detail}")))
            }
        }
    }

    /// Lets a connection go that is of no use any more, unless another has taken its place. Whoever waits on it is
    /// told.
    async fn give_up(&self, link: &Arc<Link>) {
        link.close();
        let mut current = self.link.lock().await;
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, link)) {
            *current = None;
        }
    }
}

#[async_trait]
impl Lender for RemoteLink {
    async fn lent(&self, run: RunId, by: Incarnation) -> Result<Lent, ProtocolError> {
        self.ask(Some(ANSWER), |link| async move { link.lent(run, by).await }).await
    }

    async fn lease(&self, run: RunId, by: Incarnation, wanted: Wanted) -> Result<Upstream, ProtocolError> {
        self.ask(Some(ANSWER), |link| {
            let wanted = wanted.clone();
            async move { link.lease(run, by, wanted).await }
        })
        .await
    }

    async fn give_back(&self, run: RunId, by: Incarnation, has_failed: bool) -> Result<(), ProtocolError> {
        self.ask(Some(ANSWER), |link| async move { link.give_back(run, by, has_failed).await }).await
    }
}

#[async_trait]
impl RunStore for RemoteLink {
    async fn component(&self, digest: Digest) -> Result<Bytes, ProtocolError> {
        let _transfer = Transfer::begin(&self.shared.transfers);
        self.ask(Some(TRANSFER), |link| async move { link.component(digest).await }).await
    }

    async fn compiled(&self, digest: Digest, engine: &str) -> Result<Bytes, ProtocolError> {
        let _transfer = Transfer::begin(&self.shared.transfers);
        self.ask(Some(TRANSFER), |link| async move { link.compiled(digest, engine).await }).await
    }

    async fn agent(&self, run: RunId, index: u32) -> Result<AgentRecord, ProtocolError> {
        self.ask(Some(ANSWER), |link| async move { RunStore::agent(&*link, run, index).await }).await
    }
}

#[async_trait]
impl JobQueue for RemoteLink {
    async fn consume(&self, run: RunId, agent: u32) -> Result<Box<dyn JobConsumer>, ProtocolError> {
        Ok(Box::new(Consumer { remote: self.clone(), run, agent, current: None }))
    }
}

#[async_trait]
impl JobStore for RemoteLink {
    async fn agent(&self, run: RunId, by: Incarnation, state: AgentState) -> Result<(), ProtocolError> {
        let tell = |link: Arc<Link>| {
            let state = state.clone();
            async move { JobStore::agent(&*link, run, by, state).await }
        };
        self.ask(Some(ANSWER), tell).await
    }

    async fn alive(&self, run: RunId, by: Incarnation) -> Result<(), ProtocolError> {
        let link = self.shared.link().await?;
        match timeout(HEARTBEAT, link.alive(run, by)).await {
            // Something large is in its way, and has a limit of its own.
            Err(_) if self.shared.transfers.load(Ordering::Relaxed) > 0 => Ok(()),
            Ok(Err(ProtocolError::Closed | ProtocolError::Io(_))) | Err(_) => {
                self.shared.give_up(&link).await;
                Err(ProtocolError::Closed)
            }
            Ok(told) => told,
        }
    }

    async fn start(&self, run: RunId, job: &Job, by: Incarnation) -> Result<Start, ProtocolError> {
        self.ask(Some(ANSWER), |link| async move { link.start(run, job, by).await }).await
    }

    async fn report(&self, attempt: Attempt, first: u64, reports: Vec<Report>) -> Result<(), ProtocolError> {
        let size = |report: &Report| match report {
            Report::Artifact(artifact) => artifact.bytes.len(),
            _ => 0,
        };
        let bytes = reports.iter().map(size).sum();
        let _transfer = (bytes > 0).then(|| Transfer::begin(&self.shared.transfers));
        let tell = |link: Arc<Link>| {
            let reports = reports.clone();
            async move { link.report(attempt, first, reports).await }
        };
        self.ask(Some(ANSWER + time_to_take(bytes)), tell).await
    }

    async fn finish(&self, attempt: Attempt, outcome: Outcome) -> Result<Next, ProtocolError> {
        let tell = |link: Arc<Link>| {
            let outcome = outcome.clone();
            async move { link.finish(attempt, outcome).await }
        };
        self.ask(Some(ANSWER), tell).await
    }

    async fn stopped(&self, run: RunId) -> Result<Stop, ProtocolError> {
        self.ask(None, |link| async move { link.stopped(run).await }).await
    }
}

/// A consumer that goes on over the next connection.
struct Consumer {
    remote: RemoteLink,
    run: RunId,
    agent: u32,
    current: Option<(Arc<Link>, Box<dyn JobConsumer>)>,
}

#[async_trait]
impl JobConsumer for Consumer {
    async fn next(&mut self) -> Result<Option<Delivery>, ProtocolError> {
        let (mut backoff, mut since) = (Backoff::new(), Instant::now());
        loop {
            let failure = match &mut self.current {
                Some((link, consumer)) => match consumer.next().await {
                    Err(error @ (ProtocolError::Closed | ProtocolError::Io(_))) => {
                        let link = link.clone();
                        self.current = None;
                        self.remote.shared.give_up(&link).await;
                        since = Instant::now();
                        error
                    }
                    Err(error @ ProtocolError::Unavailable(_)) => error,
                    given => return given,
                },
                None => match self.remote.shared.link().await {
                    Ok(link) => {
                        let consumer = link.consume(self.run, self.agent).await?;
                        self.current = Some((link, consumer));
                        continue;
                    }
                    Err(error @ ProtocolError::Unavailable(_)) => error,
                    Err(error) => return Err(error),
                },
            };
            if since.elapsed() >= self.remote.shared.patience {
                return Err(failure);
            }
            backoff.wait().await;
        }
    }

    async fn acknowledge(&mut self, tag: u64) -> Result<(), ProtocolError> {
        self.settle(tag, true).await
    }

    async fn requeue(&mut self, tag: u64) -> Result<(), ProtocolError> {
        self.settle(tag, false).await
    }
}

impl Consumer {
    /// Settles a delivery, unless the connection is gone that it came over: then it is delivered again, and the ledger
    /// knows.
    async fn settle(&mut self, tag: u64, is_done: bool) -> Result<(), ProtocolError> {
        let Some((link, consumer)) = &mut self.current else { return Ok(()) };
        let settled = async { if is_done { consumer.acknowledge(tag).await } else { consumer.requeue(tag).await } };
        match timeout(ANSWER, settled).await {
            Ok(Err(ProtocolError::Closed | ProtocolError::Io(_) | ProtocolError::Invalid(_))) | Err(_) => {
                let link = link.clone();
                self.current = None;
                self.remote.shared.give_up(&link).await;
                Ok(())
            }
            Ok(settled) => settled,
        }
    }
}
