//! The browser's only way out: a SOCKS server on loopback that connects to what the grant allows.
//!
//! Interception (see `requests`) decides every request by its URL, but not everything that a browser connects to is a
//! request that it sees: WebSockets and WebRTC are not. The browser is launched to resolve no name and to connect to
//! nothing but this, so that nothing goes round it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use fast_socks5::server::{Socks5ServerProtocol, SocksServerError};
use fast_socks5::{ReplyError, Socks5Command};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::context::Settings;
use crate::egress::DialError;

/// How many connections there may be at once; more wait to be accepted.
const CONNECTIONS: usize = 1_024;
/// How long a connection may take to say where it wants to go.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long to wait when no connection can be accepted, as when this process has too many files open.
const PAUSE: Duration = Duration::from_millis(100);

/// The way out, as long as it is open.
pub(super) struct Gateway {
    address: SocketAddr,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Gateway {
    /// Opens it on a free port.
    pub(super) async fn open(settings: Arc<Settings>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(stop.clone().run_until_cancelled_owned(accept(listener, settings, tasks.clone(), stop.clone())));
        Ok(Self { address, stop, tasks })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes it, with every connection.
    pub(super) async fn close(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn accept(listener: TcpListener, settings: Arc<Settings>, tasks: TaskTracker, stop: CancellationToken) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    while let Ok(permit) = room.clone().acquire_owned().await {
        let Ok((connection, _)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let settings = settings.clone();
        tasks.spawn(stop.clone().run_until_cancelled_owned(async move {
            let _permit = permit;
            if let Err(error) = carry(connection, &settings).await {
                tracing::debug!(%error, "a connection of the browser ended");
            }
        }));
    }
}

/// Carries one connection, from its wish to its end.
async fn carry(connection: TcpStream, settings: &Settings) -> Result<(), SocksServerError> {
    let wish = async { Socks5ServerProtocol::accept_no_auth(connection).await?.read_command().await };
    let Ok(wish) = tokio::time::timeout(HANDSHAKE, wish).await else { return Ok(()) };
    let (reply, command, target) = wish?;
    if command != Socks5Command::TCPConnect {
        return reply.reply_error(&ReplyError::CommandNotSupported).await;
    }
    let (host, port) = target.into_string_and_port();
    match settings.egress.dial(&host, port).await {
        Ok(mut far) => {
            // Chromium does not look at the address.
            let mut near = reply.reply_success(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))).await?;
            // However it ends, both sides are closed.
            let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            Ok(())
        }
        Err(DialError::Refused(refusal)) => {
            // What pages do is told where it is known to be theirs; this may be Chromium's own doing.
            tracing::debug!("{refusal}");
            reply.reply_error(&ReplyError::ConnectionNotAllowed).await
        }
        Err(DialError::Failed(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            reply.reply_error(&ReplyError::ConnectionRefused).await
        }
        Err(DialError::Failed(_)) => reply.reply_error(&ReplyError::HostUnreachable).await,
    }
}
