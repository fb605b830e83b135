//! A network between a client and a server that a test can cut: while it is, connections stay open and nothing comes
//! through them, as when a cable is pulled. What was sent comes through when it is mended. It can also lose the answer
//! to one thing.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// What is between a client and a server.
pub struct Cut {
    port: u16,
    is_cut: watch::Sender<bool>,
    loses: Arc<Loses>,
    runtime: Option<Runtime>,
}

/// What the answer to is lost, once, with its connection.
#[derive(Default)]
struct Loses(Mutex<Option<&'static [u8]>>);

impl Loses {
    /// Whether the answer to this is to be lost.
    fn take(&self, said: &[u8]) -> bool {
        let mut what = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = what.is_some_and(|what| said.windows(what.len()).any(|bytes| bytes == what));
        if is_it {
            *what = None;
        }
        is_it
    }
}

impl Cut {
    /// A port of 127.0.0.1 that leads to this one.
    pub fn before(server: u16) -> Self {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        listener.set_nonblocking(true).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (is_cut, watched) = watch::channel(false);
        let loses = Arc::new(Loses::default());
        let lost = loses.clone();
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((client, _)) = listener.accept().await {
                let (there, back, loses) = (watched.clone(), watched.clone(), lost.clone());
                tokio::spawn(async move {
                    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).await else { return };
                    let ((from_client, to_client), (from_server, to_server)) =
                        (client.into_split(), server.into_split());
                    // Nothing comes back once something was said whose answer is lost.
                    let (is_lost, mut told) = watch::channel(false);
                    let answers = async {
                        tokio::select! {
                            biased;
                            _ = told.wait_for(|is_lost| *is_lost) => {}
                            () = forward(from_server, to_client, back, |_| {}) => {}
                        }
                    };
                    let say = |said: &[u8]| {
                        if loses.take(said) {
                            is_lost.send_replace(true);
                        }
                    };
                    tokio::join!(forward(from_client, to_server, there, say), answers);
                });
            }
        });
        Self { port, is_cut, loses, runtime: Some(runtime) }
    }

    /// The port that a client is to connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Lets nothing through any more.
    pub fn cut(&self) {
        self.is_cut.send_replace(true);
    }

    /// Lets the next thing through that a client says with these bytes in it, and ends its connection instead of the
    /// answer.
    pub fn lose_the_answer_to(&self, what: &'static [u8]) {
        *self.loses.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(what);
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

async fn forward(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut is_cut: watch::Receiver<bool>,
    before: impl Fn(&[u8]),
) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = from.read(&mut buffer).await;
        if is_cut.wait_for(|is_cut| !is_cut).await.is_err() {
            return;
        }
        if let Ok(count) = read {
            before(&buffer[..count]);
        }
        match read {
            Ok(count @ 1..) if to.write_all(&buffer[..count]).await.is_ok() => {}
            // That the end of one side reaches the other is part of what comes through.
            _ => return drop(to.shutdown().await),
        }
    }
}
