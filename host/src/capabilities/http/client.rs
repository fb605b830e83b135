//! Connections for a script's requests: dialled by [`Egress`], secured with TLS where the URL says `https`, and kept
//! for further requests to the same place.

use std::error::Error as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::contract::Error;
use crate::egress::{DialError, Egress, Trust};

/// How long the two sides may take to agree on TLS.
const HANDSHAKE: Duration = Duration::from_secs(30);
/// How long a connection is kept that nobody uses, and how many of them to one place.
const IDLE: Duration = Duration::from_secs(30);
const IDLE_CONNECTIONS: usize = 8;
/// How large the head of a response may be, in bytes.
const HEAD_BYTES: u32 = 256 * 1024;

/// What is sent as the body of a request.
pub(super) type OutgoingBody = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// The connections of a job, or of an agent context.
pub(super) struct Client {
    requests: legacy::Client<Connector, OutgoingBody>,
    tasks: Tasks,
}

impl Client {
    /// No connections yet.
    pub(super) fn new(egress: Arc<Egress>, trust: Trust) -> Self {
        let tasks = Tasks { over: CancellationToken::new(), tracker: TaskTracker::new() };
        let requests = legacy::Client::builder(tasks.clone())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .http1_max_buf_size(HEAD_BYTES as usize)
            .http2_max_header_list_size(HEAD_BYTES)
            .build(Connector { egress, trust });
        Self { requests, tasks }
    }

    /// Sends one request; gives its response as soon as its head is there.
    pub(super) async fn request(&self, request: Request<OutgoingBody>) -> Result<Response<Incoming>, Error> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        self.requests.request(request).await.map_err(|error| told(&host, &error))
    }

    /// Ends with the connections.
    pub(super) fn over(&self) -> CancellationToken {
        self.tasks.over.clone()
    }

    /// Ends every connection, and waits until they have ended.
    pub(super) async fn close(&self) {
        self.tasks.over.cancel();
        self.tasks.tracker.close();
        self.tasks.tracker.wait().await;
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.tasks.over.cancel();
    }
}

/// What an error of a request means to a script.
fn told(host: &str, error: &legacy::Error) -> Error {
    let mut source = error.source();
    let mut message = error.to_string();
    while let Some(cause) = source {
        if let Some(ConnectError(told)) = cause.downcast_ref() {
            return told.clone();
        }
        message = cause.to_string();
        source = cause.source();
    }
    Error::Unavailable(format!("no response from {host}: {message}"))
}

/// Runs what keeps connections going, until they are closed.
#[derive(Clone)]
struct Tasks {
    over: CancellationToken,
    tracker: TaskTracker,
}

impl<F> Executor<F> for Tasks
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, work: F) {
        self.tracker.spawn(self.over.clone().run_until_cancelled_owned(work));
    }
}

/// Why there is no connection, as the script is told.
#[derive(Debug)]
struct ConnectError(Error);

impl std::fmt::Display for ConnectError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl std::error::Error for ConnectError {}

/// Makes connections.
#[derive(Clone)]
struct Connector {
    egress: Arc<Egress>,
    trust: Trust,
}

impl Connector {
    async fn connect(self, uri: Uri) -> Result<Wire, Error> {
        let is_tls = uri.scheme_str() == Some("https");
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let dialled = self.egress.dial(&host, port).await.map_err(|error| match error {
            DialError::Refused(refusal) => Error::Denied(refusal),
            DialError::Failed(error) => Error::Unavailable(format!("could not connect to {host}:{port}: {error}")),
        })?;
        if !is_tls {
            return Ok(Wire { stream: Box::pin(dialled), is_http2: false });
        }
        let versions = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let securing = self.trust.secure(dialled, &host, versions);
        let secured = match tokio::time::timeout(HANDSHAKE, securing).await {
            Ok(secured) => secured.map_err(|error| Error::Unavailable(format!("{host}:{port}: {error}")))?,
            Err(_) => return Err(Error::Unavailable(format!("{host}:{port} did not answer by TLS in time"))),
        };
        let is_http2 = secured.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(Wire { stream: Box::pin(secured), is_http2 })
    }
}

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<Wire>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.clone().connect(uri);
        Box::pin(async move { connecting.await.map(TokioIo::new).map_err(ConnectError) })
    }
}

/// What carries bytes both ways.
trait Duplex: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> Duplex for T {}

/// A connection, with or without TLS.
struct Wire {
    stream: Pin<Box<dyn Duplex>>,
    is_http2: bool,
}

impl Connection for Wire {
    fn connected(&self) -> Connected {
        if self.is_http2 { Connected::new().negotiated_h2() } else { Connected::new() }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_read(context, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stream.as_mut().poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_shutdown(context)
    }
}
