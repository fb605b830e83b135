//! The proxy between clients and servers of these tests.

mod connections;
mod exchanges;

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
/// What a server makes of the key of the example in RFC 6455, 1.3.
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// Much more than is on its way in buffers.
const LARGE: usize = 256 * 1024 * 1024;

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
        let proxy = Proxy::open(Arc::new(Egress::new(grant)), world.trust(), traffic, Some(4.0), notice).await.unwrap();
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
