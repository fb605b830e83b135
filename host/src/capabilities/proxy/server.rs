//! The intercepting proxy: the only way out of an agent's browser.
//!
//! It listens on loopback for one Chromium and speaks HTTP/1.1, HTTP/2 and WebSocket, in the clear and inside TLS,
//! which it ends with certificates of its own making. So every request is seen, whoever in the browser makes it:
//! frames, popups, workers, redirects, beacons. Each is checked against the grant, and every connection is made by
//! [`Egress::dial`]; what is neither HTTP nor TLS goes nowhere.
//!
//! A connection of the browser has a connection to a server of its own, of the same protocol and life: the browser
//! knows best what to keep open, what to use again and what to try once more.

mod authority;
mod connection;
mod exchange;
mod peers;
mod tunnel;
mod websocket;

#[cfg(test)]
mod tests;

use std::fmt::Display;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use hyper::rt::Executor;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::authority::Authority;
use self::exchange::Origin;
use self::peers::Peer;
pub(crate) use self::peers::Peers;
use crate::capabilities::Notice;
use crate::capabilities::proxy::Traffic;
use crate::contract::Error;
use crate::egress::{Egress, Trust};

/// How many connections there may be at once; more wait to be accepted.
const CONNECTIONS: usize = 1_024;
/// How many of them there may be to servers other than the one that the browser has asked.
const ELSEWHERE: usize = 64;
/// How long to wait when no connection can be accepted, as when this process has too many files open.
const PAUSE: Duration = Duration::from_millis(100);
/// How long the two ends of a connection may take to agree on how to speak.
const HANDSHAKE: Duration = Duration::from_secs(30);
/// How long a connection may be without a request.
const UNUSED: Duration = Duration::from_secs(5 * 60);
/// How long a server may take to begin its answer.
const ANSWER: Duration = Duration::from_secs(10 * 60);

/// Where Chromium's own services are sent, so that they reach nobody.
const NOWHERE: &str = "nowhere.invalid";

/// Where Chromium fetches dictionaries and parts of itself from, whatever is switched off: nobody's page asks for that.
const CHROMIUMS_OWN: [&str; 3] = ["redirector.gvt1.com", "edgedl.me.gvt1.com", "update.googleapis.com"];

/// Why there is no proxy.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProxyError {
    /// It cannot listen.
    #[error(transparent)]
    Listen(#[from] io::Error),
    /// It cannot vouch for anything.
    #[error(transparent)]
    Authority(#[from] authority::AuthorityError),
    /// It cannot speak TLS.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

/// A proxy, as long as it is open.
pub(crate) struct Proxy {
    address: SocketAddr,
    listener: std::sync::Mutex<Option<TcpListener>>,
    shared: Arc<Shared>,
}

/// What all connections of a proxy share.
struct Shared {
    egress: Arc<Egress>,
    trust: Trust,
    traffic: Arc<Traffic>,
    device_memory: Option<HeaderValue>,
    notice: Notice,
    /// Vouches for servers whose certificates are valid: the browser trusts it.
    trusted: Authority,
    /// Vouches for the others: the browser refuses what it says, unless it was told to mind no certificate.
    untrusted: Authority,
    /// Room for connections to where modifiers send requests.
    elsewhere: Arc<Semaphore>,
    tasks: Tasks,
}

impl Proxy {
    /// Opens it on a free port. Connections wait until it serves. Whoever asks the browser for the device's memory is
    /// told this one, in GiB.
    pub(crate) async fn open(
        egress: Arc<Egress>,
        trust: Trust,
        traffic: Arc<Traffic>,
        device_memory: Option<f64>,
        notice: Notice,
    ) -> Result<Self, ProxyError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (trusted, untrusted) = (Authority::new("Armada")?, Authority::new("Nobody")?);
        let (elsewhere, tasks) = (Arc::new(Semaphore::new(ELSEWHERE)), Tasks::default());
        let device_memory =
            device_memory.map(|memory| memory.to_string().parse()).transpose().map_err(io::Error::other)?;
        let shared = Shared { egress, trust, traffic, device_memory, notice, trusted, untrusted, elsewhere, tasks };
        Ok(Self { address, listener: Some(listener).into(), shared: Arc::new(shared) })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a browser is told to trust: the SHA-256 of its authority's public key, in base64.
    pub(crate) fn pin(&self) -> &str {
        self.shared.trusted.pin()
    }

    /// Serves these, once.
    pub(crate) fn serve(&self, peers: Peers) {
        let listener = self.listener.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(listener) = listener {
            self.shared.tasks.execute(accept(listener, Arc::new(peers), self.shared.clone()));
        }
    }

    /// Closes it, with every connection.
    pub(crate) async fn close(&self) {
        self.shared.tasks.stop.cancel();
        self.shared.tasks.running.close();
        self.shared.tasks.running.wait().await;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.tasks.stop.cancel();
    }
}

impl Shared {
    /// Tells that a request or connection to a host was refused.
    fn refused(&self, host: &str, refusal: String) {
        if host == NOWHERE || CHROMIUMS_OWN.contains(&host) {
            tracing::debug!("{refusal}");
        } else {
            (self.notice)(refusal);
        }
    }

    /// Remembers, for whoever asks by URL, why a server cannot be spoken with.
    fn failed(&self, origin: &Origin, reason: impl Display) {
        let reason = format!("{}:{}: {reason}", origin.host, origin.port);
        self.egress.remember(&origin.host, origin.port, Error::Unavailable(reason));
    }
}

async fn accept(listener: TcpListener, peers: Arc<Peers>, shared: Arc<Shared>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let address = listener.local_addr();
    while let (Ok(permit), Ok(address)) = (room.clone().acquire_owned().await, &address) {
        let Ok((stream, peer)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        // Small writes are answered by small reads.
        let _ = stream.set_nodelay(true);
        let (peers, address, of_connection) = (peers.clone(), *address, shared.clone());
        shared.tasks.execute(async move {
            let _permit = permit;
            let admitted = tokio::task::spawn_blocking(move || peers.admit(peer, address)).await;
            match admitted {
                Ok(Peer::Admitted) => connection::serve(&of_connection, stream).await,
                Ok(Peer::Gone) => {}
                _ => tracing::warn!(%peer, "refused a connection to the browser's proxy: it is not the browser's"),
            }
        });
    }
}

/// What goes on for the connections of a proxy, until it is closed.
#[derive(Clone, Default)]
struct Tasks {
    stop: CancellationToken,
    running: TaskTracker,
}

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, work: F) {
        self.running.spawn(self.stop.clone().run_until_cancelled_owned(work));
    }
}
