//! Connecting through an upstream proxy: HTTP (`CONNECT`), the same in TLS, or SOCKS5.
//!
//! The proxy is the operator's choice, so that where it is needs no grant; it may well be on a private network. What
//! went wrong is told apart: a proxy that fails is given back for another one, and a target that it does not reach is
//! not its fault, unless it reaches none. Nothing that is told has its address or credentials, or words of its own.

mod http;
mod socks5;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use armada_protocol::inventory::Upstream;
use async_trait::async_trait;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::connection::{Connection, Stream};
use super::secure_http1;

/// How long it may take to be let in by the proxy.
const ENTERING: Duration = Duration::from_secs(10);
/// How long the proxy may take to reach a target.
const REACHING: Duration = Duration::from_secs(20);

/// How often in a row a proxy may reach nothing that is asked for before that is its own fault: once it has reached
/// something, and before.
const UNREACHED: u32 = 10;
const UNREACHED_AT_FIRST: u32 = 2;

/// Which way connections leave.
#[async_trait]
pub(crate) trait Exit: Send + Sync {
    /// The proxy that new connections go through, or none where they go directly; waits while it is being changed. Says
    /// why, where there has to be one and is none.
    async fn current(&self) -> Result<Option<Arc<Leased>>, String>;

    /// Another proxy than this one, which has failed like this.
    async fn another(self: Arc<Self>, failed: Arc<Leased>, why: String) -> Result<Arc<Leased>, String>;
}

/// Nothing lies between.
#[cfg(test)]
pub(crate) struct Direct;

#[cfg(test)]
#[async_trait]
impl Exit for Direct {
    async fn current(&self) -> Result<Option<Arc<Leased>>, String> {
        Ok(None)
    }

    async fn another(self: Arc<Self>, _failed: Arc<Leased>, _why: String) -> Result<Arc<Leased>, String> {
        Err("there is no other upstream proxy".to_owned())
    }
}

/// An upstream proxy as long as it is leased. Connections through it end with this.
pub(crate) struct Leased {
    pub(crate) upstream: Upstream,
    over: CancellationToken,
    has_reached: AtomicBool,
    /// How often it has reached nothing since it last reached something.
    unreached: AtomicU32,
}

/// What is to be reached.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// An address that was looked at.
    Address(SocketAddr),
    /// A name that the proxy resolves, and a port.
    Name(String, u16),
}

/// Why there is no connection.
#[derive(Debug, PartialEq)]
pub(crate) enum ThroughError {
    /// The proxy itself fails.
    Proxy(String),
    /// It does not reach the target.
    Target(String),
}

impl Leased {
    /// A proxy that was leased just now.
    pub(crate) fn new(upstream: Upstream) -> Self {
        Self {
            upstream,
            over: CancellationToken::new(),
            has_reached: AtomicBool::new(false),
            unreached: AtomicU32::new(0),
        }
    }

    /// The lease is over.
    pub(crate) fn end(&self) {
        self.over.cancel();
    }

    /// Connects to a target through it.
    pub(crate) async fn connect(&self, target: &Target) -> Result<Connection, ThroughError> {
        let url = &self.upstream.url;
        let tcp = entering(reach(url.host(), url.port())).await?;
        let through = match url.scheme() {
            "https" => {
                let tls = entering(async {
                    let tls = secure_http1(tcp, url.host()).await;
                    tls.map_err(|error| ThroughError::Proxy(format!("TLS to it fails: {error}")))
                });
                through_http(tls.await?, url.credentials(), target).await
            }
            "socks5" => {
                let entered = entering(socks5::enter(tcp, url.credentials())).await?;
                reaching(socks5::connect(entered, target)).await
            }
            _ => through_http(tcp, url.credentials(), target).await,
        };
        if through.is_ok() {
            self.has_reached.store(true, Ordering::Relaxed);
            self.unreached.store(0, Ordering::Relaxed);
        }
        through.map(|connection| connection.until(&self.over))
    }

    /// It has not reached what was asked for, at none of its addresses. Says whether it seems to reach nothing at all.
    pub(crate) fn reaches_nothing(&self) -> bool {
        let most = if self.has_reached.load(Ordering::Relaxed) { UNREACHED } else { UNREACHED_AT_FIRST };
        self.unreached.fetch_add(1, Ordering::Relaxed) + 1 >= most
    }
}

impl Drop for Leased {
    fn drop(&mut self) {
        self.end();
    }
}

async fn through_http<S: Stream + 'static>(
    proxy: S,
    credentials: Option<(&str, &str)>,
    target: &Target,
) -> Result<Connection, ThroughError> {
    reaching(http::connect(proxy, credentials, target)).await
}

/// Connects to the proxy.
async fn reach(host: &str, port: u16) -> Result<TcpStream, ThroughError> {
    let unreachable = |error: io::Error| ThroughError::Proxy(format!("it cannot be reached: {error}"));
    super::reach(host, port).await.map_err(unreachable)
}

/// Bounds what is the proxy's own to do.
async fn entering<T>(step: impl Future<Output = Result<T, ThroughError>>) -> Result<T, ThroughError> {
    let late = |_| ThroughError::Proxy("it does not answer in time".to_owned());
    tokio::time::timeout(ENTERING, step).await.map_err(late)?
}

/// Bounds what the target may be the cause of.
async fn reaching<T>(step: impl Future<Output = Result<T, ThroughError>>) -> Result<T, ThroughError> {
    let late = |_| ThroughError::Target("no answer in time".to_owned());
    tokio::time::timeout(REACHING, step).await.map_err(late)?
}

/// A proxy that hangs up, or speaks nonsense.
fn broken(error: &io::Error) -> ThroughError {
    ThroughError::Proxy(format!("it breaks the connection off: {}", error.kind()))
}

impl Target {
    /// `host:port`, as URLs have it.
    fn authority(&self) -> String {
        match self {
            Target::Address(address) => address.to_string(),
            Target::Name(host, port) => super::place(host, *port),
        }
    }
}

#[cfg(test)]
mod tests;
