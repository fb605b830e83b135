//! What the browser asks to be connected to: TLS is ended here and begun anew, HTTP is served, anything else is
//! refused.
//!
//! The browser trusts the certificates made here because of a key that it was given at its launch. For a server whose
//! own certificate is not valid it gets one that it does not trust, so that it is the browser that decides: mostly it
//! refuses the page, and a context that minds no certificate goes on.

use std::fmt::Display;
use std::sync::Arc;

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use rustls::server::Acceptor;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio_rustls::{LazyConfigAcceptor, StartHandshake};

use super::connection::{Protocol, Server, serve_tunnel};
use super::exchange::Origin;
use super::{HANDSHAKE, Shared};
use crate::egress::{Connection, TrustError};

/// The first byte of TLS: a record of its handshake (RFC 8446, 5.1).
const TLS: u8 = 0x16;

/// A connection that the browser has asked for.
pub(super) struct Tunnel {
    pub(super) near: OnUpgrade,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) far: Connection,
}

/// The browser's side, of which the first bytes have been looked at.
type Near = BufReader<TokioIo<Upgraded>>;

impl Tunnel {
    /// Carries what the browser says there, to its end.
    pub(super) async fn carry(self, shared: &Arc<Shared>) {
        let begin = async {
            let mut near = BufReader::new(TokioIo::new(self.near.await.ok()?));
            let first = near.fill_buf().await.ok()?.first().copied()?;
            Some((near, first))
        };
        let Ok(Some((near, first))) = tokio::time::timeout(HANDSHAKE, begin).await else { return };
        let origin = Origin { secure: first == TLS, host: self.host, port: self.port };
        match first {
            TLS => {
                let greeted = tokio::time::timeout(HANDSHAKE, intercept(shared, near, self.far, &origin)).await;
                if let Ok(Some((near, server))) = greeted {
                    serve_tunnel(shared, near, origin, server).await;
                }
            }
            // Methods of HTTP are in capital letters; what else begins so is no request, and is not passed on.
            b'A'..=b'Z' => {
                if let Ok(server) = Server::greet(self.far, Protocol::Http1, &shared.tasks).await {
                    serve_tunnel(shared, near, origin, server).await;
                }
            }
            _ => {
                let place = format!("{}:{}", origin.host, origin.port);
                shared.refused(&origin.host, format!("blocked a connection to {place}: it is neither HTTP nor TLS"));
            }
        }
    }
}

/// Speaks TLS with both sides, and gives them as they are inside.
async fn intercept(
    shared: &Arc<Shared>,
    near: Near,
    far: Connection,
    origin: &Origin,
) -> Option<(tokio_rustls::server::TlsStream<Near>, Server)> {
    let failed = |reason: &dyn Display| shared.failed(origin, reason);
    let start = LazyConfigAcceptor::new(Acceptor::default(), near).await.ok()?;
    let offered = offered(&start);
    match shared.trust.secure(far, &origin.host, offered).await {
        Ok(far) => {
            // The two sides speak the same, so that nothing need be translated.
            let is_http2 = far.get_ref().1.alpn_protocol() == Some(Protocol::Http2.name());
            let protocol = if is_http2 { Protocol::Http2 } else { Protocol::Http1 };
            let leaf = shared.trusted.server(&origin.host, protocol).inspect_err(|error| failed(error)).ok()?;
            let near = start.into_stream(leaf).await.ok()?;
            Some((near, Server::greet(far, protocol, &shared.tasks).await.ok()?))
        }
        Err(error @ (TrustError::Untrusted(_) | TrustError::NoAuthorities(_))) => {
            failed(&error);
            let leaf = shared.untrusted.server(&origin.host, Protocol::Http1).ok()?;
            let near = start.into_stream(leaf).await.ok()?;
            // The browser has not hung up: it goes on with whoever this is.
            let far = shared.egress.dial(&origin.host, origin.port).await.ok()?;
            let protocols = vec![Protocol::Http1.name().to_vec()];
            let far = shared.trust.secure_unchecked(far, &origin.host, protocols).await.ok()?;
            Some((near, Server::greet(far, Protocol::Http1, &shared.tasks).await.ok()?))
        }
        Err(error @ TrustError::Failed(_)) => {
            failed(&error);
            None
        }
    }
}

/// The versions of HTTP that the browser offers to speak.
fn offered(start: &StartHandshake<Near>) -> Vec<Vec<u8>> {
    let names = start.client_hello().alpn().into_iter().flatten();
    let known = |name: &&[u8]| [Protocol::Http1, Protocol::Http2].iter().any(|protocol| protocol.name() == *name);
    names.filter(known).map(<[u8]>::to_vec).collect()
}
