//! The client that asks through proxies. It takes every certificate, as proxies have authorities of their own making,
//! and checks only that who shows it has its key.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::ensure;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper::header::HOST;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

/// How long the head of a proxy's answer may be, in bytes.
const HEAD: usize = 4_096;

pub(super) struct Client {
    server: SocketAddr,
    tls: TlsConnector,
}

impl Client {
    /// What asks this server.
    pub(super) fn new(server: SocketAddr) -> anyhow::Result<Self> {
        let provider = Arc::new(ring::default_provider());
        let mut configuration = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
            .with_no_client_auth();
        configuration.alpn_protocols = vec![b"http/1.1".to_vec()];
        // A connection that is resumed costs less than one that is new.
        configuration.resumption = tokio_rustls::rustls::client::Resumption::disabled();
        Ok(Self { server, tls: TlsConnector::from(Arc::new(configuration)) })
    }

    /// Makes a connection, and so many requests on it, one after the other.
    pub(super) async fn request(&self, through: Option<SocketAddr>, requests: usize) -> anyhow::Result<()> {
        let mut stream = TcpStream::connect(through.unwrap_or(self.server)).await?;
        stream.set_nodelay(true)?;
        if through.is_some() {
            self.ask_for_a_tunnel(&mut stream).await?;
        }
        let stream = self.tls.connect(ServerName::from(self.server.ip()), stream).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let carrying = tokio::spawn(connection);
        for _ in 0..requests {
            let request = Request::get("/").header(HOST, self.server.to_string()).body(Empty::<Bytes>::new())?;
            sender.ready().await?;
            let answer = sender.send_request(request).await?;
            ensure!(answer.status().is_success(), "the answer is {}", answer.status());
            let body = answer.into_body().collect().await?.to_bytes();
            ensure!(body.len() == 1_024, "the answer has {} bytes", body.len());
        }
        drop(sender);
        Ok(carrying.await??)
    }

    async fn ask_for_a_tunnel(&self, stream: &mut TcpStream) -> anyhow::Result<()> {
        let server = self.server;
        stream.write_all(format!("CONNECT {server} HTTP/1.1\r\nHost: {server}\r\n\r\n").as_bytes()).await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            ensure!(head.len() < HEAD, "the proxy's answer is too long");
            head.push(stream.read_u8().await?);
        }
        let status = head.split(|byte| *byte == b' ').nth(1);
        ensure!(status == Some(b"200".as_slice()), "the proxy answers {}", String::from_utf8_lossy(&head));
        Ok(())
    }
}

#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _others: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _status: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
