//! TLS to servers whose certificates the machine's own authorities vouch for.

use std::io;
use std::sync::{Arc, OnceLock};

use rustls::ClientConfig;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::connection::Stream;

/// Speaks TLS, and HTTP/1.1 in it, to the server of this name at the other end.
pub(crate) async fn connect<S: Stream>(stream: S, host: &str) -> io::Result<TlsStream<S>> {
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    TlsConnector::from(configuration()?).connect(name, stream).await
}

/// What is true of every connection. Read once: the authorities are a file of hundreds.
fn configuration() -> io::Result<Arc<ClientConfig>> {
    static CONFIGURATION: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(known) = CONFIGURATION.get() {
        return Ok(known.clone());
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(io::Error::other)?;
    let mut made = builder.with_platform_verifier().map_err(io::Error::other)?.with_no_client_auth();
    made.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(CONFIGURATION.get_or_init(|| Arc::new(made)).clone())
}
