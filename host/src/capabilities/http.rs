//! A script's own HTTP requests: `wit/deps/http.wit`.
//!
//! What a request may be is decided in [`request`], how it is carried in [`client`], and how its response is received
//! in [`body`]. Connections belong to whoever asked for them: those of a job end with it, so that nothing of one job
//! (an open response, a connection by a proxy of its own) is another's.

mod body;
mod client;
mod request;
#[cfg(test)]
mod tests;
mod wasi;

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use armada_project::{Capability, Grant};
use armada_protocol::Attempt;
use async_trait::async_trait;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::component::{Accessor, Resource};

use self::body::Body;
use self::client::Client;
use self::request::Outgoing;
pub(crate) use self::wasi::Requests;
use crate::call::{Call, Host, Weigh, call};
use crate::capabilities::secrets::Secrets;
use crate::capabilities::{Life, Means, Notice};
use crate::coding::Coding;
use crate::contract::{Error, http as wit};
use crate::egress::{Egress, Trust};
use crate::instance::{InstanceState, hand_out};

/// A script's handle on the body of a response. Dropping it ends the response.
#[allow(unreachable_pub, reason = "the generated contract re-exports it")]
pub struct BodyHandle(Arc<Body>);

/// The requests of an agent.
pub(crate) struct Http {
    grant: Arc<Grant>,
    egress: Arc<Egress>,
    secrets: Arc<Secrets>,
    /// Is told what is refused of requests that cannot be told themselves.
    notice: Notice,
    /// How long a request takes at most that no call waits for.
    time: Duration,
    /// Room for so many requests at once.
    room: Arc<Semaphore>,
    requests_at_once: u64,
    limits: body::Limits,
    scope: Mutex<Scope>,
}

/// Whose requests are made.
#[derive(Default)]
struct Scope {
    in_job: bool,
    of_job: Option<Arc<Client>>,
    of_agent: Option<Arc<Client>>,
}

impl Http {
    /// The requests of an agent, of which there are none yet.
    pub(crate) fn new(means: &Means<'_>, egress: Arc<Egress>, secrets: Arc<Secrets>, notice: Notice) -> Self {
        let limits = means.grant.limits();
        let requests_at_once = limits.http_requests_at_once;
        let room = usize::try_from(requests_at_once).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self {
            grant: means.grant.clone(),
            egress,
            secrets,
            notice,
            time: Duration::try_from_secs_f64(limits.seconds_per_call).unwrap_or(Duration::MAX),
            room: Arc::new(Semaphore::new(room)),
            requests_at_once,
            limits: body::Limits { bytes: limits.http_response_bytes, bytes_per_call: limits.bytes_per_call },
            scope: Mutex::default(),
        }
    }

    fn scope(&self) -> MutexGuard<'_, Scope> {
        self.scope.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connections of the current job, or the agent's own while no job runs.
    fn client(&self) -> Result<Arc<Client>, Error> {
        let mut scope = self.scope();
        let known = if scope.in_job { &mut scope.of_job } else { &mut scope.of_agent };
        if let Some(client) = known {
            return Ok(client.clone());
        }
        let trust = Trust::of_the_system().map_err(|error| Error::Unavailable(error.to_string()))?;
        let client = Arc::new(Client::new(self.egress.clone(), trust));
        Ok(known.insert(client).clone())
    }

    /// Counts a request as one in flight for as long as this is kept.
    fn permit(&self) -> Result<OwnedSemaphorePermit, Error> {
        self.room.clone().try_acquire_owned().map_err(|_| Error::Limit(self.no_room()))
    }

    fn no_room(&self) -> String {
        format!(
            "{} HTTP requests are in progress: read or drop the bodies of some, or raise \
             run_message.sandbox.limits.http_requests_at_once",
            self.requests_at_once
        )
    }

    /// Makes a request, as soon as it is awaited.
    fn send(
        &self,
        request: wit::Request,
    ) -> Result<impl Future<Output = Result<(wit::Response, Body), Error>> + Send + use<>, Error> {
        let outgoing = Outgoing::new(request, &self.egress)?;
        let permit = self.permit()?;
        let (client, egress, secrets, limits) =
            (self.client()?, self.egress.clone(), self.secrets.clone(), self.limits);
        Ok(async move {
            let (deadline, decodes) = (outgoing.deadline(), outgoing.decodes());
            let answered = deadline.bound(request::follow(&client, &egress, &secrets, outgoing)).await?;
            let (mut head, incoming) = answered.response.into_parts();
            let coding = if decodes && !answered.has_no_body { Coding::take(&mut head.headers) } else { None };
            let body = Body::new(incoming, coding, limits, permit, deadline, client.over());
            let headers = head.headers.iter().map(|(name, value)| wit::Header {
                name: name.as_str().to_owned(),
                value: String::from_utf8_lossy(value.as_bytes()).into_owned(),
            });
            let (status, url, headers) = (head.status.as_u16(), answered.url.into(), headers.collect());
            Ok((wit::Response { status, url, headers }, body))
        })
    }
}

#[async_trait]
impl Life for Http {
    fn begin_job(&self, _attempt: Attempt) {
        self.scope().in_job = true;
    }

    /// The job's connections end, and after a fault those of the agent context as well.
    async fn end_job(&self, after_fault: bool) -> bool {
        let ending = {
            let mut scope = self.scope();
            scope.in_job = false;
            let of_agent = if after_fault { scope.of_agent.take() } else { None };
            [scope.of_job.take(), of_agent]
        };
        for client in ending.into_iter().flatten() {
            client.close().await;
        }
        true
    }

    async fn close(&self) {
        self.end_job(true).await;
    }
}

impl Weigh for (wit::Response, Body) {
    fn weight(&self) -> usize {
        let headers = self.0.headers.iter();
        self.0.url.len() + headers.map(|header| header.name.len() + header.value.len() + 64).sum::<usize>()
    }
}

/// When a request has to be over, if it has to.
#[derive(Clone, Copy)]
struct Deadline(Option<(tokio::time::Instant, u32)>);

impl Deadline {
    fn after(timeout_ms: Option<u32>) -> Self {
        // A time that no clock reaches is none.
        let at = |ms: u32| tokio::time::Instant::now().checked_add(Duration::from_millis(ms.into()));
        Self(timeout_ms.and_then(|ms| Some((at(ms)?, ms))))
    }

    async fn bound<T>(self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let Some((at, ms)) = self.0 else { return work.await };
        match tokio::time::timeout_at(at, work).await {
            Ok(done) => done,
            Err(_) => Err(Error::Timeout(format!("the request was not over within its {ms} ms"))),
        }
    }
}

type Guest = Accessor<InstanceState, Host>;

const fn named(name: &'static str) -> Call {
    Call::of(Capability::Http, name)
}

impl wit::Host for InstanceState {}

impl wit::HostWithStore<InstanceState> for Host {
    async fn send(guest: &Guest, request: wit::Request) -> Result<(wit::Response, Resource<BodyHandle>), Error> {
        let (response, body) = call(guest, named("send"), |state| state.capabilities.http.send(request)).await?;
        Ok((response, hand_out(guest, BodyHandle(Arc::new(body)))?))
    }
}

impl wit::HostBody for InstanceState {
    fn drop(&mut self, handle: Resource<BodyHandle>) -> wasmtime::Result<()> {
        self.take_back(handle)
    }
}

impl wit::HostBodyWithStore<InstanceState> for Host {
    async fn read(guest: &Guest, handle: Resource<BodyHandle>, max_bytes: u32) -> Result<Vec<u8>, Error> {
        call(guest, named("body.read"), |state| {
            let body = state.handle(&handle)?.0.clone();
            Ok(async move { body.read(max_bytes).await })
        })
        .await
    }

    async fn read_all(guest: &Guest, handle: Resource<BodyHandle>) -> Result<Vec<u8>, Error> {
        call(guest, named("body.read-all"), |state| {
            let body = state.handle(&handle)?.0.clone();
            Ok(async move { body.read_all().await })
        })
        .await
    }
}
