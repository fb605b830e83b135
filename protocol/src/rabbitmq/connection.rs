//! A connection to the broker, made in bounded time.
//!
//! A thread of the library's speaks for a connection, also while it is being made. Whoever gives up an attempt has no
//! hold on that thread, and a server that takes the connection and then is silent would keep it for ever: so what is
//! given up has its socket shut down under it, which ends the thread.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd as _;
use std::sync::{Arc, Mutex, PoisonError};

use lapin::tcp::{AsyncTcpStream, OwnedTLSConfig};
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Connection, ConnectionProperties};
use tokio::time::timeout;

use super::TIMEOUT;

/// An attempt to connect. When it is dropped, its socket is shut down.
#[derive(Default)]
struct Attempt {
    socket: Mutex<Option<TcpStream>>,
}

impl Attempt {
    fn hold(&self, socket: Option<TcpStream>) {
        *self.socket.lock().unwrap_or_else(PoisonError::into_inner) = socket;
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let socket = self.socket.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        // It may be closed already.
        let _ = socket.map(|socket| socket.shutdown(Shutdown::Both));
    }
}

/// Connects to a broker. `name` is what the connection is called in the broker's own lists.
pub(super) async fn connect(uri: AMQPUri, name: &str) -> lapin::Result<Connection> {
    let attempt = Arc::new(Attempt::default());
    let held = Arc::downgrade(&attempt);
    let connection = Connection::connector(
        uri,
        lapin::runtime::default_runtime()?,
        async move |uri, runtime| {
            let connecting = async {
                let (host, port) = (uri.authority.host.clone(), uri.authority.port);
                let address = runtime.to_socket_addrs((host.clone(), port));
                let stream = AsyncTcpStream::connect(&runtime, address).await?;
                if let AsyncTcpStream::Plain(plain) = &stream {
                    let attempt = held.upgrade().ok_or(io::ErrorKind::ConnectionAborted)?;
                    attempt.hold(Some(plain.get_ref().as_fd().try_clone_to_owned()?.into()));
                }
                match uri.scheme {
                    AMQPScheme::AMQP => Ok(stream),
                    AMQPScheme::AMQPS => stream.into_tls(&host, OwnedTLSConfig::default().as_ref()).await,
                }
            };
            Ok(timeout(TIMEOUT, connecting).await.map_err(io::Error::from)??)
        },
        ConnectionProperties::default().with_connection_name(name.into()),
    )
    .await?;
    attempt.hold(None);
    Ok(connection)
}
