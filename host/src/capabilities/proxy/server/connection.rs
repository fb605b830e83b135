//! The two sides of a connection: the browser's, which is served, and the server's.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use http::{Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::rt::Executor as _;
use hyper::service::service_fn;
use hyper::{client, server};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::exchange::{Origin, Unanswered, answered, hint_memory, outgoing, retarget, status, unacceptable};
use super::tunnel::Tunnel;
use super::websocket::{Handshake, WebSocket};
use super::{ANSWER, Shared, Tasks, UNUSED};
use crate::capabilities::proxy::body::Body;
use crate::capabilities::proxy::traffic::{Onward, Stopped};
use crate::egress::{Connection, DialError};

/// How many headers a message may have.
const HEADERS: usize = 512;
/// How many bytes of headers a message of HTTP/2 may have.
const HEADER_BYTES: u32 = 256 * 1024;

/// A version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

impl Protocol {
    /// Its name inside TLS (RFC 7301, 6).
    pub(super) fn name(self) -> &'static [u8] {
        match self {
            Self::Http1 => b"http/1.1",
            Self::Http2 => b"h2",
        }
    }
}

/// What a connection has become.
enum Turned {
    Tunnel(Tunnel),
    WebSocket(WebSocket),
}

/// Serves a connection of the browser, to its end.
pub(super) async fn serve(shared: &Arc<Shared>, stream: TcpStream) {
    match http1(Exchanges::anywhere(shared.clone()), stream).await {
        Some(Turned::Tunnel(tunnel)) => tunnel.carry(shared).await,
        Some(Turned::WebSocket(socket)) => socket.carry().await,
        None => {}
    }
}

/// Serves a connection whose requests go to one server, to its end.
pub(super) async fn serve_tunnel<S>(shared: &Arc<Shared>, stream: S, origin: Origin, server: Server)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    match server.protocol {
        Protocol::Http1 => {
            if let Some(Turned::WebSocket(socket)) =
                http1(Exchanges::with(shared.clone(), origin, server), stream).await
            {
                socket.carry().await;
            }
        }
        Protocol::Http2 => http2(Arc::new(Exchanges::with(shared.clone(), origin, server)), stream).await,
    }
}

/// Serves HTTP/1.1: request by request, until the connection ends or becomes something else.
async fn http1<S>(exchanges: Exchanges, stream: S) -> Option<Turned>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (gone, exchanges) = (exchanges.gone.clone(), Arc::new(exchanges));
    let answering = exchanges.clone();
    let service = service_fn(move |request| {
        let exchanges = answering.clone();
        async move { exchanges.answer(request).await }
    });
    let mut builder = server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(UNUSED).max_headers(HEADERS);
    // Servers see the headers as the browser writes them, and the browser those of the server.
    builder.preserve_header_case(true).auto_date_header(false);
    let connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = gone.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection of the browser ended");
    }
    exchanges.turned.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Serves HTTP/2.
async fn http2<S>(exchanges: Arc<Exchanges>, stream: S)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (gone, tasks) = (exchanges.gone.clone(), exchanges.shared.tasks.clone());
    let service = service_fn(move |request| {
        let exchanges = exchanges.clone();
        async move { exchanges.answer(request).await }
    });
    let mut builder = server::conn::http2::Builder::new(tasks);
    builder.timer(TokioTimer::new()).max_header_list_size(HEADER_BYTES).auto_date_header(false);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = gone.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection of the browser ended");
    }
}

/// What the requests of one connection have in common.
pub(super) struct Exchanges {
    shared: Arc<Shared>,
    /// Where all of them go; if nowhere in particular, each says so itself.
    origin: Option<Origin>,
    /// The connection to the server, and which it is.
    server: tokio::sync::Mutex<Option<(Origin, Server)>>,
    /// Cancelled when there is no more server for any of them.
    gone: CancellationToken,
    turned: Mutex<Option<Turned>>,
}

impl Exchanges {
    /// Of a connection whose requests say themselves where they go.
    pub(super) fn anywhere(shared: Arc<Shared>) -> Self {
        let gone = CancellationToken::new();
        Self { shared, origin: None, server: Default::default(), gone, turned: Mutex::default() }
    }

    fn with(shared: Arc<Shared>, origin: Origin, server: Server) -> Self {
        let gone = server.gone.clone();
        let server = Some((origin.clone(), server)).into();
        Self { shared, origin: Some(origin), server, gone, turned: Mutex::default() }
    }

    /// Answers a request: the whole way there and back. Whatever looks at requests and answers does it here.
    async fn answer(&self, mut request: Request<Incoming>) -> Result<Response<Body>, Unanswered> {
        if request.method() == Method::CONNECT {
            return self.connect(&mut request).await;
        }
        let Some(origin) = self.origin.clone().or_else(|| Origin::of(request.uri())) else {
            return Ok(status(StatusCode::BAD_REQUEST));
        };
        let Some(url) = origin.url_of(&request) else {
            return Ok(status(StatusCode::MISDIRECTED_REQUEST));
        };
        self.check(&origin, &url)?;
        let (method, version) = (request.method().clone(), request.version());
        let (mut request, handshake) = outgoing(request);
        if let Some(memory) = &self.shared.device_memory {
            hint_memory(request.headers_mut(), memory);
        }
        let Some(mut passage) = self.shared.traffic.passage(&url) else {
            return self.exchange(&origin, request, handshake).await;
        };
        let (request, to) = match passage.request(request).await {
            Ok(Onward::Send(request, to)) => (request, to),
            Ok(Onward::Answer(response)) => return Ok(response),
            Err(stopped) => return self.stopped(&method, &url, version, stopped),
        };
        let exchanged = match to {
            None => self.exchange(&origin, request, handshake).await,
            Some(to) => match self.shared.egress.refusal(to.as_str()) {
                None => self.exchange_at(&to, &origin, request, handshake).await,
                Some(refusal) => {
                    let stopped = passage.stopped(Stopped::Failed(refusal));
                    return self.stopped(&method, &url, version, stopped);
                }
            },
        };
        let response = exchanged.inspect_err(|error| passage.failed(error.to_string()))?;
        match passage.response(response).await {
            Ok(response) => Ok(response),
            Err(stopped) => self.stopped(&method, &url, version, stopped),
        }
    }

    /// Sends a request where it goes, and gives the answer once it has begun.
    async fn exchange(
        &self,
        origin: &Origin,
        request: Request<Body>,
        handshake: Option<Handshake>,
    ) -> Result<Response<Body>, Unanswered> {
        let response = tokio::time::timeout(ANSWER, self.send(origin, request)).await;
        self.turn(response.map_err(|_| Unanswered::Late)??, handshake)
    }

    /// Sends a request to a URL that is not the one that the browser has asked for, and that it may ask for.
    pub(super) async fn exchange_at(
        &self,
        url: &Url,
        asked: &Origin,
        mut request: Request<Body>,
        handshake: Option<Handshake>,
    ) -> Result<Response<Body>, Unanswered> {
        let Some(origin) = Origin::of_url(url) else { return Err(Unanswered::Refused) };
        let is_own = *asked == origin;
        retarget(&mut request, url, is_own)?;
        if is_own {
            return self.exchange(&origin, request, handshake).await;
        }
        let exchange = async {
            let room = self.shared.elsewhere.clone().acquire_owned().await.map_err(|_| Unanswered::Gone)?;
            let far = self.dial(&origin).await?;
            let tasks = &self.shared.tasks;
            let server = if origin.secure {
                let protocols = vec![Protocol::Http1.name().to_vec()];
                let far = self.shared.trust.secure(far, &origin.host, protocols).await;
                let far = far.map_err(|error| Unanswered::Unconnected(io::Error::other(error)))?;
                Server::greet_holding(far, Protocol::Http1, tasks, room).await?
            } else {
                Server::greet_holding(far, Protocol::Http1, tasks, room).await?
            };
            let Sender::Http1(mut sender) = server.sender else { return Err(Unanswered::Gone) };
            Ok(sender.send_request(request).await?)
        };
        let response = tokio::time::timeout(ANSWER, exchange).await;
        self.turn(response.map_err(|_| Unanswered::Late)??, handshake)
    }

    /// Whether a request for a URL may leave.
    fn check(&self, origin: &Origin, url: &str) -> Result<(), Unanswered> {
        match self.shared.egress.refusal(url) {
            None => Ok(()),
            Some(refusal) => {
                self.shared.refused(&origin.host, refusal);
                Err(Unanswered::Refused)
            }
        }
    }

    /// A new connection to a server.
    async fn dial(&self, origin: &Origin) -> Result<Connection, Unanswered> {
        match self.shared.egress.dial(&origin.host, origin.port).await {
            Ok(connection) => Ok(connection),
            Err(DialError::Refused(refusal)) => {
                self.shared.refused(&origin.host, refusal);
                Err(Unanswered::Refused)
            }
            Err(DialError::Failed(error)) => Err(Unanswered::Unconnected(error)),
        }
    }

    /// An answer for the browser; with some, the connection is another thing from there on.
    fn turn(
        &self,
        mut response: Response<Incoming>,
        handshake: Option<Handshake>,
    ) -> Result<Response<Body>, Unanswered> {
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let socket = handshake.and_then(|handshake| handshake.completed(&mut response));
            let Some(socket) = socket else { return Err(Unanswered::NoWebSocket) };
            *self.turned.lock().unwrap_or_else(PoisonError::into_inner) = Some(Turned::WebSocket(socket));
        }
        Ok(answered(response))
    }

    /// A request goes no further, because of what is done to the traffic. It may have been sent: the browser is not to
    /// try again.
    fn stopped(
        &self,
        method: &Method,
        url: &str,
        version: Version,
        stopped: Stopped,
    ) -> Result<Response<Body>, Unanswered> {
        let place = url.split('?').next().unwrap_or_default();
        match stopped {
            // Whoever asked for that knows.
            Stopped::Asked(reason) => tracing::debug!("blocked {method} {place}: {reason}"),
            Stopped::Failed(reason) => (self.shared.notice)(format!("blocked {method} {place}: {reason}")),
        }
        if version == Version::HTTP_2 { Err(Unanswered::Refused) } else { Ok(unacceptable()) }
    }

    /// Connects to a server on behalf of the browser, which then speaks with it through us.
    async fn connect(&self, request: &mut Request<Incoming>) -> Result<Response<Body>, Unanswered> {
        let to = request.uri().authority().filter(|_| self.origin.is_none());
        let Some((host, port)) = to.and_then(|to| Some((to.host().trim_matches(['[', ']']), to.port_u16()?))) else {
            return Ok(status(StatusCode::BAD_REQUEST));
        };
        let (host, near) = (host.to_owned(), request);
        let far = match self.shared.egress.dial(&host, port).await {
            Ok(far) => far,
            Err(DialError::Refused(refusal)) => {
                self.shared.refused(&host, refusal);
                return Ok(status(StatusCode::FORBIDDEN));
            }
            Err(DialError::Failed(error)) => {
                tracing::debug!(%error, host, port, "no connection");
                return Ok(status(StatusCode::BAD_GATEWAY));
            }
        };
        let tunnel = Tunnel { near: hyper::upgrade::on(near), host, port, far };
        *self.turned.lock().unwrap_or_else(PoisonError::into_inner) = Some(Turned::Tunnel(tunnel));
        Ok(status(StatusCode::OK))
    }

    /// Sends a request to its server, and gives the answer once it has begun.
    async fn send(&self, origin: &Origin, request: Request<Body>) -> Result<Response<Incoming>, Unanswered> {
        let mut place = self.server.lock().await;
        let known = place.as_mut().filter(|(of, server)| of == origin && !server.gone.is_cancelled());
        let server = match known {
            Some((_, server)) => server,
            // The browser sees that its connection is gone, and makes another.
            None if self.origin.is_some() => return Err(Unanswered::Gone),
            None => {
                let stream = self.dial(origin).await?;
                let server = Server::greet(stream, Protocol::Http1, &self.shared.tasks).await?;
                &mut place.insert((origin.clone(), server)).1
            }
        };
        match &mut server.sender {
            // One request after the other; only the answer's body may still come when the next one is let in.
            Sender::Http1(sender) => {
                sender.ready().await?;
                Ok(sender.send_request(request).await?)
            }
            Sender::Http2(sender) => {
                let mut sender = sender.clone();
                drop(place);
                sender.ready().await?;
                Ok(sender.send_request(request).await?)
            }
        }
    }
}

/// A connection to a server that speaks HTTP.
pub(super) struct Server {
    protocol: Protocol,
    sender: Sender,
    /// Cancelled when it has ended.
    gone: CancellationToken,
}

enum Sender {
    Http1(client::conn::http1::SendRequest<Body>),
    Http2(client::conn::http2::SendRequest<Body>),
}

impl Server {
    /// Begins to speak HTTP on a connection.
    pub(super) async fn greet<S>(stream: S, protocol: Protocol, tasks: &Tasks) -> Result<Self, hyper::Error>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        Self::greet_holding(stream, protocol, tasks, ()).await
    }

    /// The same, holding something as long as the connection lives.
    async fn greet_holding<S>(
        stream: S,
        protocol: Protocol,
        tasks: &Tasks,
        held: impl Send + 'static,
    ) -> Result<Self, hyper::Error>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (stream, gone) = (TokioIo::new(stream), CancellationToken::new());
        let ends = (gone.clone().drop_guard(), held);
        let sender = match protocol {
            Protocol::Http1 => {
                let mut builder = client::conn::http1::Builder::new();
                builder.preserve_header_case(true).max_headers(HEADERS);
                // As browsers are with what servers send.
                builder.allow_obsolete_multiline_headers_in_responses(true).ignore_invalid_headers_in_responses(true);
                let (sender, connection) = builder.handshake(stream).await?;
                tasks.execute(drive(connection.with_upgrades(), ends));
                Sender::Http1(sender)
            }
            Protocol::Http2 => {
                let mut builder = client::conn::http2::Builder::new(tasks.clone());
                builder.timer(TokioTimer::new()).max_header_list_size(HEADER_BYTES);
                let (sender, connection) = builder.handshake(stream).await?;
                tasks.execute(drive(connection, ends));
                Sender::Http2(sender)
            }
        };
        Ok(Self { protocol, sender, gone })
    }
}

/// Lets a connection to a server live.
async fn drive(connection: impl Future<Output = Result<(), hyper::Error>>, ends: impl Send) {
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection to a server ended");
    }
    drop(ends);
}
