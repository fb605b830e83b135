//! A network between a client and a server that a test can cut: while it is, connections stay open and nothing comes through
//! them, as when a cable is pulled. What was sent comes through when it is mended.

use std::net::Ipv4Addr;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// What is between a client and a server.
pub struct Cut {
    port: u16,
    is_cut: watch::Sender<bool>,
    runtime: Option<Runtime>,
}

impl Cut {
    /// A port of 127.0.0.1 that leads to this one.
    pub fn before(server: u16) -> Self {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        listener.set_nonblocking(true).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (is_cut, watched) = watch::channel(false);
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((client, _)) = listener.accept().await {
                let (there, back) = (watched.clone(), watched.clone());
                tokio::spawn(async move {
                    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).await else { return };
                    let ((from_client, to_client), (from_server, to_server)) =
                        (client.into_split(), server.into_split());
                    tokio::join!(forward(from_client, to_server, there), forward(from_server, to_client, back));
                });
            }
        });
        Self { port, is_cut, runtime: Some(runtime) }
    }

    /// The port that a client is to connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Lets nothing through any more.
    pub fn cut(&self) {
        self.is_cut.send_replace(true);
    }

    /// Lets everything through again.
    pub fn mend(&self) {
        self.is_cut.send_replace(false);
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        // Tests that are asynchronous themselves may not wait here.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn forward(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, mut is_cut: watch::Receiver<bool>) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = from.read(&mut buffer).await;
        if is_cut.wait_for(|is_cut| !is_cut).await.is_err() {
            return;
        }
        match read {
            Ok(count @ 1..) if to.write_all(&buffer[..count]).await.is_ok() => {}
            // That the end of one side reaches the other is part of what comes through.
            _ => return drop(to.shutdown().await),
        }
    }
}
