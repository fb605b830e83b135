//! The test's web server: the pages of `tests/pages`, and answers that no file can give.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::Listener;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::server::TlsStream;

use crate::answers::answers;
use crate::processes::wait_for;
use crate::repository;

/// A web server on a free port of this machine, in a thread of its own. It ends with this.
pub struct Site {
    scheme: &'static str,
    address: SocketAddr,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Site {
    /// Serves the pages of `tests/pages`, and [`answers`].
    pub fn start() -> Self {
        Self::serve(answers())
    }

    /// Serves these routes, and the pages of `tests/pages` for every other path.
    pub fn serve(routes: Router) -> Self {
        Self::listen("http", routes, |listener| listener)
    }

    /// The same by https, with a certificate that nobody vouches for.
    pub fn start_with_unknown_certificate() -> Self {
        Self::serve_with_unknown_certificate(answers())
    }

    /// The same with these routes.
    pub fn serve_with_unknown_certificate(routes: Router) -> Self {
        Self::listen("https", routes, Tls::with_unknown_certificate)
    }

    /// The same by https, with a certificate of an authority of its own; gives that one's certificate, in PEM.
    pub fn start_with_private_authority() -> (Self, String) {
        let (chain, key, authority) = certified();
        (Self::listen("https", answers(), |listener| Tls::new(listener, chain, &key)), authority)
    }

    fn listen<L: Listener<Addr = SocketAddr>>(
        scheme: &'static str,
        routes: Router,
        wrap: impl FnOnce(TcpListener) -> L,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (listener, routes) = (wrap(listener), routes.route("/{*path}", get(page)));
        runtime.spawn(async move { axum::serve(listener, routes).await });
        Self { scheme, address, runtime: Some(runtime) }
    }

    /// Where it is, such as `http://127.0.0.1:4711`.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Its host and port, as `allowed_hosts` has them.
    pub fn host(&self) -> String {
        self.address.to_string()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A certificate for the hosts of this machine with its key, and the certificate of the authority that vouches for it.
fn certified() -> (Vec<CertificateDer<'static>>, KeyPair, String) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.distinguished_name.push(DnType::CommonName, "an authority of the tests");
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let own = CertificateParams::new(["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
    let key = KeyPair::generate().unwrap();
    let own = own.signed_by(&key, &authority).unwrap();
    let lines = BASE64_STANDARD.encode(authority.der());
    let pem = format!("-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n");
    (vec![own.into()], key, pem)
}

/// Connections that speak TLS.
struct Tls {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Tls {
    fn with_unknown_certificate(listener: TcpListener) -> Self {
        let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        Self::new(listener, vec![own.cert.into()], &own.signing_key)
    }

    fn new(listener: TcpListener, chain: Vec<CertificateDer<'static>>, key: &KeyPair) -> Self {
        crate::choose_cryptography();
        let key = key.serialize_der().try_into().unwrap();
        let configuration = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
        Self { listener, acceptor: TlsAcceptor::from(Arc::new(configuration)) }
    }
}

impl Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = Listener::accept(&mut self.listener).await;
            // Who does not like the certificate hangs up.
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// A server that nobody should reach: it counts who connects to it, by TCP, and what is sent to it by UDP. It ends with
/// this process.
pub struct Forbidden {
    address: SocketAddr,
    arrivals: Arc<AtomicUsize>,
}

impl Forbidden {
    /// Listens on a free port of this machine.
    pub fn start() -> Self {
        // A port that is free of both.
        let (listener, socket) = std::iter::repeat_with(|| {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let socket = std::net::UdpSocket::bind(listener.local_addr().unwrap()).ok();
            socket.map(|socket| (listener, socket))
        })
        .take(10)
        .flatten()
        .next()
        .expect("a port that is free");
        let address = listener.local_addr().unwrap();
        let arrivals = Arc::new(AtomicUsize::new(0));
        let (connections, datagrams) = (arrivals.clone(), arrivals.clone());
        std::thread::spawn(move || {
            for _ in listener.incoming() {
                connections.fetch_add(1, Ordering::SeqCst);
            }
        });
        std::thread::spawn(move || {
            while socket.recv(&mut [0; 16]).is_ok() {
                datagrams.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { address, arrivals }
    }

    /// Where it is, such as `http://127.0.0.1:4711/`.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Its port, such as in `http://localhost:4711/`.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// How much has arrived, apart from what this sends to see that it counts.
    ///
    /// # Panics
    ///
    /// When it does not count.
    pub fn arrivals(&self) -> usize {
        let before = self.arrivals.load(Ordering::SeqCst);
        std::net::TcpStream::connect(self.address).unwrap();
        std::net::UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"counted", self.address).unwrap();
        wait_for("what was sent to be counted", Duration::from_secs(5), || {
            (self.arrivals.load(Ordering::SeqCst) > before + 1).then_some(())
        });
        before
    }
}

/// A file of `tests/pages`.
async fn page(Path(path): Path<String>) -> Response {
    let file = pages().join(&path);
    if path.split('/').any(|part| part == "..") {
        return StatusCode::NOT_FOUND.into_response();
    }
    let media_type = match file.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript",
        Some("css") => "text/css",
        Some("png") => "image/png",
        _ => "application/octet-stream",
    };
    match tokio::fs::read(&file).await {
        Ok(content) => ([(header::CONTENT_TYPE, media_type)], content).into_response(),
        Err(_) => StatusCode::NOT_FOUND.into_response(),
    }
}

fn pages() -> PathBuf {
    repository().join("tests/pages")
}
