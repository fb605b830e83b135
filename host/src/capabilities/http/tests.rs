//! Requests to servers with TLS of their own, and what becomes of responses.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use armada_project::{Ceiling, Grant, Sandbox};
use bytes::Bytes;
use http_body_util::StreamBody;
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::client::WebPkiServerVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

/// A server whose certificate is its own authority, for `localhost`; it counts connections. Its bodies are `begun` and
/// then nothing, for ever.
struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    client: Client,
}

fn grant() -> Arc<Grant> {
    let everywhere = || vec!["*:*".parse().unwrap()];
    let sandbox = Sandbox { allowed_hosts: everywhere(), ..Sandbox::default() };
    let ceiling = Ceiling { private_hosts: everywhere(), ..Ceiling::none() };
    Arc::new(Grant::new(&sandbox, &ceiling))
}

fn egress() -> Arc<Egress> {
    Arc::new(Egress::new(grant()))
}

async fn answer(
    _: http::Request<Incoming>,
) -> Result<
    http::Response<impl hyper::body::Body<Data = Bytes, Error = std::convert::Infallible>>,
    std::convert::Infallible,
> {
    let begun = futures::stream::iter([Ok(Frame::data(Bytes::from_static(b"begun")))]);
    let body = StreamBody::new(futures::StreamExt::chain(begun, futures::stream::pending()));
    Ok(http::Response::new(body))
}

/// Serves with these versions of HTTP offered.
async fn serve(versions: &[&str]) -> Server {
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(own.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = own.signing_key.serialize_der().try_into().unwrap();
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
    let mut serving = builder.with_no_client_auth().with_single_cert(vec![own.cert.into()], key).unwrap();
    serving.alpn_protocols = versions.iter().map(|version| version.as_bytes().to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(serving));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(connection) = acceptor.accept(connection).await else { return };
                let server = auto::Builder::new(TokioExecutor::new());
                let _ = server.serve_connection(TokioIo::new(connection), service_fn(answer)).await;
            });
        }
    });
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
    let trust = Trust::new(provider, Ok(verifier)).unwrap();
    Server { address, connections, client: Client::new(egress(), trust) }
}

impl Server {
    async fn get(&self, host: &str) -> Result<request::Answered, Error> {
        let request = wit::Request {
            method: "GET".to_owned(),
            url: format!("https://{host}:{}/", self.address.port()),
            headers: Vec::new(),
            secret_headers: Vec::new(),
            body: None,
            timeout_ms: None,
            redirects: None,
        };
        let (egress, secrets) = (egress(), Secrets::lent(grant(), Default::default()));
        request::follow(&self.client, &egress, &secrets, Outgoing::new(request, &egress)?).await
    }

    fn body_of(&self, answered: request::Answered, room: &Arc<Semaphore>) -> Body {
        let permit = room.clone().try_acquire_owned().unwrap();
        let limits = body::Limits { bytes: 1_000, bytes_per_call: 1_000 };
        Body::new(answered.response.into_body(), None, limits, permit, Deadline::after(None), self.client.over())
    }
}

#[tokio::test]
async fn what_the_server_prefers_is_spoken() {
    let modern = serve(&["h2", "http/1.1"]).await;
    for _ in 0..3 {
        assert_eq!(modern.get("localhost").await.unwrap().response.version(), http::Version::HTTP_2);
    }
    assert_eq!(modern.connections.load(Ordering::SeqCst), 1, "requests share a connection");
    let older = serve(&["http/1.1"]).await;
    assert_eq!(older.get("localhost").await.unwrap().response.version(), http::Version::HTTP_11);
    assert_eq!(serve(&[]).await.get("localhost").await.unwrap().response.version(), http::Version::HTTP_11);
}

#[tokio::test]
async fn certificates_are_for_the_name_that_was_asked_for() {
    let server = serve(&["h2"]).await;
    let told = server.get("127.0.0.1").await.err().unwrap();
    assert!(matches!(&told, Error::Unavailable(told) if told.contains(" is not valid: ")), "{told:?}");
}

#[tokio::test]
async fn a_response_ends_with_the_job_it_belongs_to() {
    let server = serve(&["h2"]).await;
    let room = Arc::new(Semaphore::new(1));
    let body = server.body_of(server.get("localhost").await.unwrap(), &room);
    assert_eq!(body.read(100).await.unwrap(), b"begun");
    server.client.close().await;
    assert!(matches!(body.read(100).await, Err(Error::Closed(_))));
    assert!(matches!(body.read_all().await, Err(Error::Closed(_))));
    drop(body);
    assert_eq!(room.available_permits(), 1);
}

#[tokio::test]
async fn what_was_read_when_the_reading_was_cancelled_is_not_left_out_silently() {
    let server = serve(&["h2"]).await;
    let room = Arc::new(Semaphore::new(1));
    let body = server.body_of(server.get("localhost").await.unwrap(), &room);
    assert!(tokio::time::timeout(Duration::from_millis(300), body.read_all()).await.is_err());
    let told = body.read(100).await;
    assert!(matches!(&told, Err(Error::Closed(told)) if told.contains("cancelled")), "{told:?}");
    assert_eq!(room.available_permits(), 1);
}
