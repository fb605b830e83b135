//! The server that is asked through proxies: HTTP/1.1 in TLS, and the same short answer to everything.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ServerConfig, pki_types::PrivatePkcs8KeyDer};

/// What it answers: as much as a small page or an answer of an API.
const ANSWER: [u8; 1_024] = [b'x'; 1_024];

/// The server, in threads of its own. It ends with this.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    /// The file of its certificate, which is its own authority: as DER, and as text.
    pub(super) certificate: PathBuf,
    pub(super) certificate_as_text: PathBuf,
    _runtime: Runtime,
}

impl Server {
    /// Starts it. Its certificate is written into this folder.
    pub(super) fn start(folder: &Path) -> anyhow::Result<Self> {
        let own = rcgen::generate_simple_self_signed([Ipv4Addr::LOCALHOST.to_string()])?;
        let (certificate, certificate_as_text) = (folder.join("server.der"), folder.join("server.pem"));
        std::fs::write(&certificate, own.cert.der())?;
        let lines = BASE64_STANDARD.encode(own.cert.der());
        std::fs::write(
            &certificate_as_text,
            format!("-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n"),
        )?;
        let key = PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
        let configuration = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key.into())?;
        let tls = TlsAcceptor::from(Arc::new(configuration));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
        let address = listener.local_addr()?;
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, tls.clone()));
            }
        });
        Ok(Self { address, certificate, certificate_as_text, _runtime: runtime })
    }
}

/// Answers the requests of a connection. Whoever hangs up is told nothing.
async fn serve(stream: TcpStream, tls: TlsAcceptor) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let stream = tls.accept(stream).await?;
    let service = service_fn(async |_| Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(&ANSWER)))));
    Ok(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await?)
}
