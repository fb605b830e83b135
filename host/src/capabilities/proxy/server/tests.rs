//! The proxy between clients and servers of this test: what arrives, what does not, and what becomes of connections.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use armada_project::{Ceiling, Grant, Sandbox};
use bytes::Bytes;
use http::header::{CONNECTION, HOST, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::connection::Protocol::{self, Http1, Http2};
use super::*;

/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// The key of the example in RFC 6455, 1.3, and what a server makes of it.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// More than what all buffers of this machine may hold on the way.
const LARGE: usize = 256 * 1024 * 1024;
const BUFFERED: usize = 96 * 1024 * 1024;

type AnyBody = BoxBody<Bytes, Infallible>;

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A request that has arrived.
#[derive(Clone, Debug)]
struct Arrived {
    version: Version,
    target: String,
    headers: HeaderMap,
}

/// A server on a free port.
struct Far {
    address: SocketAddr,
    arrived: Arc<Mutex<Vec<Arrived>>>,
    /// How many bytes were given out, or taken in.
    carried: Arc<AtomicUsize>,
}

/// A body of zeros, made when it is asked for, and counted.
struct Zeros {
    left: usize,
    made: Arc<AtomicUsize>,
}

impl hyper::body::Body for Zeros {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        static PIECE: [u8; 64 * 1024] = [0; 64 * 1024];
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= PIECE.len();
        self.made.fetch_add(PIECE.len(), Ordering::SeqCst);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&PIECE)))))
    }
}

fn text(text: &'static str) -> AnyBody {
    Full::new(Bytes::from_static(text.as_bytes())).boxed()
}

impl Far {
    async fn start(tls: Option<ServerConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let far = Self { address: listener.local_addr().unwrap(), arrived: Arc::default(), carried: Arc::default() };
        let (arrived, carried) = (far.arrived.clone(), far.carried.clone());
        let tls = tls.map(|tls| TlsAcceptor::from(Arc::new(tls)));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (arrived, carried, tls) = (arrived.clone(), carried.clone(), tls.clone());
                tokio::spawn(async move {
                    let stream: Box<dyn Stream> = match tls {
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => Box::new(stream),
                            Err(_) => return,
                        },
                        None => Box::new(stream),
                    };
                    let service = service_fn(move |request: Request<Incoming>| {
                        arrived.lock().unwrap().push(Arrived {
                            version: request.version(),
                            target: request.uri().to_string(),
                            headers: request.headers().clone(),
                        });
                        answer(request, carried.clone())
                    });
                    let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    let _ = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
                });
            }
        });
        far
    }

    fn arrived(&self) -> Vec<Arrived> {
        self.arrived.lock().unwrap().clone()
    }

    fn place(&self, host: &str) -> String {
        format!("{host}:{}", self.address.port())
    }
}

async fn answer(mut request: Request<Incoming>, carried: Arc<AtomicUsize>) -> Result<Response<AnyBody>, Infallible> {
    let socket = |accept: &'static str| {
        Response::builder()
            .status(StatusCode::SWITCHING_PROTOCOLS)
            .header(CONNECTION, "upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_ACCEPT, accept)
            .body(text(""))
            .unwrap()
    };
    Ok(match request.uri().path() {
        "/large" => Response::new(Zeros { left: LARGE, made: carried }.boxed()),
        // The body is not asked for until the client has seen the answer's head, and then to the end.
        "/upload" => {
            let mut body = request.into_body();
            let mut taken = 0;
            while let Some(Ok(frame)) = body.frame().await {
                taken += frame.data_ref().map_or(0, Bytes::len);
            }
            carried.store(taken, Ordering::SeqCst);
            Response::new(text("taken"))
        }
        "/never-read" => {
            std::future::pending::<()>().await;
            Response::new(text(""))
        }
        "/echo" => {
            let near = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let (mut read, mut write) = tokio::io::split(TokioIo::new(near.await.unwrap()));
                let _ = tokio::io::copy(&mut read, &mut write).await;
                let _ = write.shutdown().await;
            });
            socket(ACCEPT)
        }
        "/no-websocket" => socket("bm8gaGFuZHNoYWtl"),
        "/headers" => Response::builder()
            .header("x-own", "1")
            .header(CONNECTION, "x-hop")
            .header("x-hop", "1")
            .header("keep-alive", "timeout=5")
            .body(text("headers"))
            .unwrap(),
        "/last" => Response::builder().header(CONNECTION, "close").body(text("last")).unwrap(),
        _ => Response::new(text("hello")),
    })
}

/// A proxy, and what it has told of.
struct Rig {
    proxy: Proxy,
    notices: Arc<Mutex<Vec<String>>>,
    /// Whom the servers' certificates come from.
    world: World,
}

struct World(rcgen::CertifiedIssuer<'static, rcgen::KeyPair>);

impl World {
    fn new() -> Self {
        let mut certificate = rcgen::CertificateParams::new(Vec::new()).unwrap();
        certificate.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        Self(rcgen::CertifiedIssuer::self_signed(certificate, rcgen::KeyPair::generate().unwrap()).unwrap())
    }

    fn server(&self, protocols: &[Protocol]) -> ServerConfig {
        let key = rcgen::KeyPair::generate().unwrap();
        let hosts = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let certificate = rcgen::CertificateParams::new(hosts).unwrap().signed_by(&key, &self.0).unwrap();
        let mut server = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.into()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
            .unwrap();
        server.alpn_protocols = protocols.iter().map(|protocol| protocol.name().to_vec()).collect();
        server
    }

    fn trust(&self) -> Trust {
        let verifier = WebPkiServerVerifier::builder_with_provider(roots(self.0.der().clone()), provider());
        Trust::new(provider(), Ok(verifier.build().unwrap())).unwrap()
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn roots(certificate: CertificateDer<'static>) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    Arc::new(roots)
}

impl Rig {
    /// One that may go wherever this machine is.
    async fn start() -> Self {
        Self::allowing(&["*"], &["127.0.0.1:*", "localhost:*"]).await
    }

    async fn allowing(hosts: &[&str], private: &[&str]) -> Self {
        let allowed_hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
        let sandbox = Sandbox { allowed_hosts, ..Sandbox::default() };
        let private_hosts = private.iter().map(|host| host.parse().unwrap()).collect();
        let grant = Grant::new(&sandbox, &Ceiling { private_hosts, ..Ceiling::none() });
        let (notices, world) = (Arc::<Mutex<Vec<String>>>::default(), World::new());
        let told = notices.clone();
        let notice: Notice = Arc::new(move |notice| told.lock().unwrap().push(notice));
        let grant = Arc::new(grant);
        let traffic = Traffic::idle(grant.clone());
        let proxy = Proxy::open(Arc::new(Egress::new(grant)), world.trust(), traffic, notice).await.unwrap();
        proxy.serve(Peers::Anyone);
        Self { proxy, notices, world }
    }

    fn notices(&self) -> Vec<String> {
        self.notices.lock().unwrap().clone()
    }

    /// Asks to be connected; gives the status, and the connection.
    async fn connect(&self, place: &str) -> (u16, TcpStream) {
        let mut stream = TcpStream::connect(self.proxy.address()).await.unwrap();
        let request = format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(within(stream.read_u8()).await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), stream)
    }

    /// Connects, and speaks TLS as a browser that trusts the proxy.
    async fn tls(&self, host: &str, far: &Far, offered: &[Protocol]) -> io::Result<(Protocol, Box<dyn Stream>)> {
        let client = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots(self.proxy.shared.trusted.certificate()))
            .with_no_client_auth();
        self.tls_as(client, host, far, offered).await
    }

    async fn tls_as(
        &self,
        mut client: ClientConfig,
        host: &str,
        far: &Far,
        offered: &[Protocol],
    ) -> io::Result<(Protocol, Box<dyn Stream>)> {
        client.alpn_protocols = offered.iter().map(|protocol| protocol.name().to_vec()).collect();
        let (status, stream) = self.connect(&far.place(host)).await;
        assert_eq!(status, 200);
        let name = ServerName::try_from(host.to_owned()).unwrap();
        let stream = within(TlsConnector::from(Arc::new(client)).connect(name, stream)).await?;
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(Http2.name());
        Ok((if is_http2 { Http2 } else { Http1 }, Box::new(stream)))
    }
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("this takes too long")
}

/// Sends a request on a connection.
async fn send(
    protocol: Protocol,
    stream: impl Stream + 'static,
    request: Request<AnyBody>,
) -> Result<Response<Incoming>, hyper::Error> {
    let stream = TokioIo::new(stream);
    match protocol {
        Http1 => {
            let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
            tokio::spawn(connection.with_upgrades());
            within(sender.send_request(request)).await
        }
        Http2 => {
            let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await?;
            tokio::spawn(connection);
            let answer = within(sender.send_request(request)).await;
            // The connection goes with its last sender, and the answer's body needs it.
            tokio::spawn(async move {
                tokio::time::sleep(PATIENCE).await;
                drop(sender);
            });
            answer
        }
    }
}

/// Sends a request as it is sent to a proxy, in the clear.
async fn send_plain(rig: &Rig, request: Request<AnyBody>) -> Result<Response<Incoming>, hyper::Error> {
    send(Http1, TcpStream::connect(rig.proxy.address()).await.unwrap(), request).await
}

fn get(target: &str, host: &str) -> Request<AnyBody> {
    Request::get(target).header(HOST, host).body(text("")).unwrap()
}

async fn body(response: Response<Incoming>) -> String {
    String::from_utf8(within(response.into_body().collect()).await.unwrap().to_bytes().to_vec()).unwrap()
}

/// Waits until a count stays what it is, and gives it.
async fn settled(count: &AtomicUsize) -> usize {
    let mut last = None;
    within(async {
        loop {
            let now = count.load(Ordering::SeqCst);
            if now > 0 && last == Some(now) {
                return now;
            }
            last = Some(now);
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    })
    .await
}

#[tokio::test]
async fn requests_in_the_clear_arrive_without_what_was_for_the_proxy() {
    let (rig, far) = (Rig::start().await, Far::start(None).await);
    let place = far.place("127.0.0.1");
    let mut request = get(&format!("http://{place}/headers?a=1"), &place);
    for (name, value) in
        [("proxy-authorization", "Basic eA=="), ("connection", "x-hop"), ("x-hop", "1"), ("X-End", "1")]
    {
        request.headers_mut().insert(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
    }
    let response = send_plain(&rig, request).await.unwrap();
    let headers = response.headers();
    assert!(headers.contains_key("x-own") && !headers.contains_key("x-hop") && !headers.contains_key("keep-alive"));
    assert!(!headers.contains_key("via"));
    assert_eq!(body(response).await, "headers");
    let arrived = far.arrived();
    assert_eq!((arrived.len(), arrived[0].target.as_str()), (1, "/headers?a=1"));
    assert_eq!(arrived[0].headers[HOST], place.as_str());
    assert!(arrived[0].headers.contains_key("x-end"));
    for gone in ["proxy-authorization", "connection", "x-hop", "via", "x-forwarded-for"] {
        assert!(!arrived[0].headers.contains_key(gone), "{gone} has arrived");
    }
    assert_eq!(rig.notices(), [""; 0]);
}

#[tokio::test]
async fn both_sides_of_a_tunnel_speak_the_protocol_that_the_server_has_chosen() {
    let rig = Rig::start().await;
    for (offered, spoken, chosen) in [
        (&[Http2, Http1][..], &[Http2, Http1][..], Http2),
        (&[Http2, Http1], &[Http1], Http1),
        (&[Http1], &[Http2, Http1], Http1),
        (&[], &[Http2, Http1], Http1),
        (&[Http2, Http1], &[], Http1),
    ] {
        let far = Far::start(Some(rig.world.server(spoken))).await;
        // By address, too: the certificate names it as one.
        for host in ["127.0.0.1", "localhost"] {
            let (protocol, stream) = rig.tls(host, &far, offered).await.unwrap();
            assert_eq!(protocol, chosen);
            let place = far.place(host);
            let request = match protocol {
                Http1 => get("/x", &place),
                Http2 => Request::get(format!("https://{place}/x")).body(text("")).unwrap(),
            };
            assert_eq!(body(send(protocol, stream, request).await.unwrap()).await, "hello");
            let version = far.arrived().last().unwrap().version;
            assert_eq!(version, if chosen == Http2 { Version::HTTP_2 } else { Version::HTTP_11 });
        }
    }
    assert_eq!(rig.notices(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_bodies_go_by_at_the_pace_of_whoever_reads_them() {
    let rig = Rig::start().await;
    for protocol in [Http1, Http2] {
        let far = Far::start(Some(rig.world.server(&[protocol]))).await;
        let place = far.place("127.0.0.1");
        let target = |path: &str| match protocol {
            Http1 => path.to_owned(),
            Http2 => format!("https://{place}{path}"),
        };
        let request = |method: Method, path: &str, body| {
            let mut request = Request::new(body);
            (*request.method_mut(), *request.uri_mut()) = (method, target(path).parse().unwrap());
            if protocol == Http1 {
                request.headers_mut().insert(HOST, place.parse().unwrap());
            }
            request
        };
        let (_, stream) = rig.tls("127.0.0.1", &far, &[protocol]).await.unwrap();
        let response = send(protocol, stream, request(Method::GET, "/large", text(""))).await.unwrap();
        // Nobody reads yet: what has left the server fits in buffers.
        let made = settled(&far.carried).await;
        assert!(made < BUFFERED, "{protocol:?}: {made} bytes wait somewhere");
        let (mut read, mut coming) = (0, response.into_body());
        while let Some(frame) = within(coming.frame()).await {
            read += frame.unwrap().data_ref().map_or(0, Bytes::len);
        }
        assert_eq!(read, LARGE);

        let sent = Arc::new(AtomicUsize::new(0));
        let zeros = || Zeros { left: LARGE, made: sent.clone() }.boxed();
        let (_, stream) = rig.tls("127.0.0.1", &far, &[protocol]).await.unwrap();
        let unread = tokio::spawn(send(protocol, stream, request(Method::POST, "/never-read", zeros())));
        let made = settled(&sent).await;
        assert!(made < BUFFERED, "{protocol:?}: {made} bytes wait somewhere");
        unread.abort();

        let (_, stream) = rig.tls("127.0.0.1", &far, &[protocol]).await.unwrap();
        let response = send(protocol, stream, request(Method::POST, "/upload", zeros())).await.unwrap();
        assert_eq!(body(response).await, "taken");
        assert_eq!(far.carried.load(Ordering::SeqCst), LARGE);
    }
}

/// Asks for a WebSocket.
fn handshake(path: &str, place: &str) -> Request<AnyBody> {
    let mut request = get(path, place);
    for (name, value) in [("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "13")] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    request.headers_mut().insert(SEC_WEBSOCKET_KEY, KEY.parse().unwrap());
    request
}

#[tokio::test]
async fn websockets_are_carried_once_both_sides_agree() {
    let rig = Rig::start().await;
    for tls in [false, true] {
        let far = Far::start(tls.then(|| rig.world.server(&[Http2, Http1]))).await;
        let place = far.place("localhost");
        let connected = async || -> Box<dyn Stream> {
            if tls {
                rig.tls("localhost", &far, &[Http1]).await.unwrap().1
            } else {
                // As Chromium does for ws: too.
                Box::new(rig.connect(&place).await.1)
            }
        };
        let mut response = send(Http1, connected().await, handshake("/echo", &place)).await.unwrap();
        assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
        assert_eq!(response.headers()[SEC_WEBSOCKET_ACCEPT], ACCEPT);
        let mut socket = TokioIo::new(within(hyper::upgrade::on(&mut response)).await.unwrap());
        socket.write_all(b"whatever").await.unwrap();
        let mut heard = [0; 8];
        within(socket.read_exact(&mut heard)).await.unwrap();
        assert_eq!(&heard, b"whatever");
        socket.shutdown().await.unwrap();
        assert_eq!(within(socket.read(&mut heard)).await.unwrap(), 0);

        // One who does not know what was asked speaks no WebSocket.
        assert!(send(Http1, connected().await, handshake("/no-websocket", &place)).await.is_err());
        let answer = send(Http1, connected().await, handshake("/", &place)).await.unwrap();
        assert_eq!((answer.status(), body(answer).await.as_str()), (StatusCode::OK, "hello"));
    }
}

#[tokio::test]
async fn requests_for_another_host_than_the_tunnels_are_refused() {
    let rig = Rig::start().await;
    let far = Far::start(Some(rig.world.server(&[Http2, Http1]))).await;
    let port = far.address.port();
    for other in [
        "example.com".to_owned(),
        "127.0.0.1".to_owned(),
        format!("127.0.0.1:{}", port ^ 1),
        format!("localhost:{port}"),
        format!("u@127.0.0.1:{port}"),
    ] {
        let (_, stream) = rig.tls("127.0.0.1", &far, &[Http1]).await.unwrap();
        let answer = send(Http1, stream, get("/", &other)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::MISDIRECTED_REQUEST, "{other}");
    }
    for uri in ["https://example.com/".to_owned(), format!("http://127.0.0.1:{port}/")] {
        let (protocol, stream) = rig.tls("127.0.0.1", &far, &[Http2]).await.unwrap();
        let answer = send(protocol, stream, Request::get(&uri).body(text("")).unwrap()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::MISDIRECTED_REQUEST, "{uri}");
    }
    // The URL of a request to the proxy itself, and the host that it names, are the same, too.
    let plain = Far::start(None).await;
    let answer = send_plain(&rig, get(&format!("http://{}/", plain.place("127.0.0.1")), "example.com")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::MISDIRECTED_REQUEST);
    assert!(far.arrived().is_empty() && plain.arrived().is_empty());
}

#[tokio::test]
async fn what_is_neither_http_nor_tls_goes_nowhere() {
    let rig = Rig::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = listener.local_addr().unwrap().to_string();
    for bytes in [
        &b"\x00\x01\x00\x00\x21\x12\xa4\x42"[..],
        b"SSH-2.0-x\r\n",
        b"\x16no TLS",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"quit\r\n",
    ] {
        let (status, mut stream) = rig.connect(&place).await;
        assert_eq!(status, 200);
        let (mut far, _) = within(listener.accept()).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut arrived = Vec::new();
        within(far.read_to_end(&mut arrived)).await.unwrap();
        assert_eq!(arrived, b"", "{bytes:?} has arrived");
    }
    assert!(rig.notices().iter().any(|notice| notice.contains("neither HTTP nor TLS") && notice.contains(&place)));
}

#[tokio::test]
async fn only_who_minds_no_certificate_reaches_a_server_whose_certificate_is_not_valid() {
    let rig = Rig::start().await;
    let far = Far::start(Some(World::new().server(&[Http2, Http1]))).await;
    let place = far.place("127.0.0.1");
    let refused = rig.tls("127.0.0.1", &far, &[Http2, Http1]).await.err().unwrap();
    assert!(refused.to_string().contains("UnknownIssuer"), "{refused}");
    let known = rig.proxy.shared.egress.failure(&format!("https://{place}/")).unwrap();
    assert!(matches!(&known, Error::Unavailable(reason) if reason.contains("certificate is not valid")), "{known:?}");
    assert!(far.arrived().is_empty());

    // The browser's way of not minding.
    let client = Trust::new(provider(), Err(rustls::Error::General("not asked".to_owned()))).unwrap();
    let (_, stream) = rig.connect(&place).await;
    let stream = within(client.secure_unchecked(stream, "127.0.0.1", vec![Http1.name().to_vec()])).await.unwrap();
    let answer = send(Http1, stream, get("/", &place)).await.unwrap();
    assert_eq!(body(answer).await, "hello");
}

#[tokio::test]
async fn what_is_not_allowed_is_not_connected_to() {
    let rig = Rig::allowing(&["localhost:*", "10.0.0.1"], &["localhost:*"]).await;
    let far = Far::start(None).await;
    let place = far.place("127.0.0.1");
    let (status, _) = rig.connect(&place).await;
    assert_eq!(status, 403);
    assert!(send_plain(&rig, get(&format!("http://{place}/x?secret"), &place)).await.is_err());
    assert_eq!(rig.connect("10.0.0.1:443").await.0, 403);
    assert!(send_plain(&rig, get("http://10.0.0.1/", "10.0.0.1")).await.is_err());
    for bad in ["ftp://localhost/", "https://localhost/"] {
        assert_eq!(send_plain(&rig, get(bad, "localhost")).await.unwrap().status(), StatusCode::BAD_REQUEST);
    }
    assert_eq!(rig.connect("localhost").await.0, 400);
    let notices = rig.notices();
    assert_eq!(notices.len(), 4, "{notices:?}");
    assert!(
        notices[0].starts_with(&format!("blocked a connection to {place}: ")) && notices[0].contains("allowed_hosts")
    );
    assert!(notices[1].starts_with(&format!("blocked a request to http://{place}/x: ")), "{notices:?}");
    assert!(notices[2].contains("a private address") && notices[3].contains("--private-host"), "{notices:?}");
    assert!(far.arrived().is_empty());
    // Nobody listens there.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    assert_eq!(rig.connect(&format!("localhost:{nobody}")).await.0, 502);
    // What Chromium asks nobody for is not told.
    assert!(send_plain(&rig, get("http://nowhere.invalid/", "nowhere.invalid")).await.is_err());
    assert_eq!(rig.notices().len(), 4);
}

#[tokio::test]
async fn a_connection_ends_with_its_server_and_with_the_proxy() {
    let rig = Rig::start().await;
    let far = Far::start(Some(rig.world.server(&[Http1]))).await;
    let (_, mut stream) = rig.tls("127.0.0.1", &far, &[Http1]).await.unwrap();
    let request = format!("GET /last HTTP/1.1\r\nHost: {}\r\n\r\n", far.place("127.0.0.1"));
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // The client has not asked for the end: the server has.
    let _ = within(stream.read_to_end(&mut answer)).await;
    assert!(answer.ends_with(b"last"), "{}", String::from_utf8_lossy(&answer));

    let (_, mut stream) = rig.tls("127.0.0.1", &far, &[Http1]).await.unwrap();
    within(rig.proxy.close()).await;
    assert!(matches!(within(stream.read(&mut [0])).await, Ok(0) | Err(_)));
    assert!(TcpStream::connect(rig.proxy.address()).await.is_err());
}
