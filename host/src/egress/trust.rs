//! TLS with the servers that are connected to: whom to believe that they are who they say.
//!
//! Certificates are checked against the authorities that the system trusts (`SSL_CERT_FILE` and `SSL_CERT_DIR` name
//! others), for the name or address that was asked for. A server that fails the check is told apart from one that
//! fails: whoever asked may want to go on.
//!
//! The authorities are the same for everybody and are read once. What servers give to be known again by (TLS sessions)
//! is each owner's: a server must not see that two agents are of one machine.

use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_platform_verifier::Verifier;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How connections to servers are secured. A clone shares its sessions.
#[derive(Clone)]
pub(crate) struct Trust {
    /// Nothing without a verifier to check with; the reason why there is none.
    checking: Result<TlsConnector, rustls::Error>,
    believing: TlsConnector,
}

/// Why there is no secure connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrustError {
    /// The server is not known to be who it should be.
    #[error("its certificate is not valid: {0}")]
    Untrusted(rustls::Error),
    /// There is nothing to check certificates with.
    #[error(
        "no certificate can be checked here: {0}; install the system's certificates (on Debian: apt-get install ca-certificates)"
    )]
    NoAuthorities(rustls::Error),
    /// The two could not agree.
    #[error("no secure connection could be made: {0}")]
    Failed(std::io::Error),
}

impl Trust {
    /// What the system trusts.
    pub(crate) fn of_the_system() -> Result<Self, rustls::Error> {
        let provider = Arc::new(ring::default_provider());
        let verifier = system_verifier(&provider);
        Self::new(provider, verifier)
    }

    /// What this verifier trusts.
    pub(crate) fn new(
        provider: Arc<CryptoProvider>,
        verifier: Result<Arc<dyn ServerCertVerifier>, rustls::Error>,
    ) -> Result<Self, rustls::Error> {
        let connector = |verifier| {
            let configuration = ClientConfig::builder_with_provider(provider.clone())
                .with_safe_default_protocol_versions()?
                .dangerous()
                .with_custom_certificate_verifier(verifier)
                .with_no_client_auth();
            Ok::<_, rustls::Error>(TlsConnector::from(Arc::new(configuration)))
        };
        let believing = connector(Arc::new(Believing(provider.clone())))?;
        Ok(Self { checking: verifier.and_then(connector), believing })
    }

    /// Secures a connection to this host, which offers these protocols to the server (RFC 7301).
    pub(crate) async fn secure<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        host: &str,
        protocols: Vec<Vec<u8>>,
    ) -> Result<TlsStream<S>, TrustError> {
        let connector = self.checking.as_ref().map_err(|error| TrustError::NoAuthorities(error.clone()))?;
        connect(connector, stream, host, protocols).await
    }

    /// The same with whoever answers, for those who have said that they do not mind.
    pub(crate) async fn secure_unchecked<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        host: &str,
        protocols: Vec<Vec<u8>>,
    ) -> Result<TlsStream<S>, TrustError> {
        connect(&self.believing, stream, host, protocols).await
    }
}

/// Secures a connection of the host's own to this host, to speak HTTP/1.1 in it.
pub(crate) async fn secure_http1<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    host: &str,
) -> Result<TlsStream<S>, TrustError> {
    let trust = Trust::of_the_system().map_err(TrustError::NoAuthorities)?;
    trust.secure(stream, host, vec![b"http/1.1".to_vec()]).await
}

/// Checks with the system's authorities, which are a file of hundreds.
fn system_verifier(provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, rustls::Error> {
    static VERIFIER: OnceLock<Arc<Verifier>> = OnceLock::new();
    if let Some(known) = VERIFIER.get() {
        return Ok(known.clone());
    }
    let read = Arc::new(Verifier::new(provider.clone())?);
    Ok(VERIFIER.get_or_init(|| read).clone())
}

async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
    connector: &TlsConnector,
    stream: S,
    host: &str,
    protocols: Vec<Vec<u8>>,
) -> Result<TlsStream<S>, TrustError> {
    let name =
        ServerName::try_from(host.to_owned()).map_err(|error| TrustError::Failed(std::io::Error::other(error)))?;
    connector.with_alpn(protocols).connect(name, stream).await.map_err(|error| {
        match error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>()) {
            Some(invalid @ rustls::Error::InvalidCertificate(_)) => TrustError::Untrusted(invalid.clone()),
            _ => TrustError::Failed(error),
        }
    })
}

/// Believes every certificate; that the server has its key is checked all the same.
#[derive(Debug)]
struct Believing(Arc<CryptoProvider>);

impl ServerCertVerifier for Believing {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
