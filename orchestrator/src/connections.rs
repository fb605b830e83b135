//! The connections of clients: taken, bounded and ended.
//!
//! Whoever reaches the server's address can connect, with a token or without. So the head of a request has a bounded
//! time to arrive, and connections may be so many only that the server still has files to open for what it does. A
//! connection beyond that waits to be taken. One that has become something else, such as a link, keeps its place until
//! it is closed.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long the head of a request may take to arrive, and how long a connection may be without a request.
const HEAD: Duration = Duration::from_secs(30);
/// How many connections there may be at most.
const CONNECTIONS: u64 = 20_000;
/// How many files this process wants to be able to open. What it starts inherits that, and there are programs that go
/// through all numbers that a file may have: so it is not simply as many as possible.
const FILES: u64 = 65_536;
/// How long to wait when a connection cannot be taken: files may be closed until then.
const TAKE_AGAIN: Duration = Duration::from_secs(1);

/// What connections may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// How many there may be at the same time.
    pub(crate) most: usize,
    /// How long the head of a request may take to arrive.
    pub(crate) head: Duration,
}

impl Bounds {
    /// As much as this process can afford; a quarter of the files that it may open is for other things. It may open
    /// more files from now on, if it was not allowed to open enough.
    pub(crate) fn of_this_process() -> Self {
        let most = CONNECTIONS.min(open_files() / 4 * 3);
        Self { most: usize::try_from(most).unwrap_or(Semaphore::MAX_PERMITS), head: HEAD }
    }
}

/// How many files this process may open, after it has asked for enough.
fn open_files() -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    let (now, most) = (limit.current.unwrap_or(u64::MAX), limit.maximum.unwrap_or(u64::MAX));
    let wanted = most.min(FILES);
    if now >= wanted {
        return now;
    }
    limit.current = Some(wanted);
    match setrlimit(Resource::Nofile, limit) {
        Ok(()) => wanted,
        Err(error) => {
            tracing::warn!(%error, "no more than {now} files can be open at the same time");
            now
        }
    }
}

/// The connections of a server.
pub(crate) struct Connections {
    head: Duration,
    places: Arc<Semaphore>,
    tasks: TaskTracker,
    cut: CancellationToken,
}

impl Connections {
    pub(crate) fn new(bounds: Bounds) -> Self {
        let places = Arc::new(Semaphore::new(bounds.most.min(Semaphore::MAX_PERMITS)));
        Self { head: bounds.head, places, tasks: TaskTracker::new(), cut: CancellationToken::new() }
    }

    /// Takes connections and has the router answer what is asked over them, until it is told to end; then waits until
    /// what was asked is answered.
    pub(crate) async fn serve(&self, listener: TcpListener, router: Router, shutdown: CancellationToken) {
        while let Some(stream) = shutdown.run_until_cancelled(self.take(&listener)).await {
            let answering = answer(stream, router.clone(), self.head, shutdown.clone());
            let cut = self.cut.clone();
            self.tasks.spawn(async move {
                if let Some(Err(error)) = cut.run_until_cancelled(answering).await {
                    tracing::debug!(%error, "a connection ended in the middle of something");
                }
            });
        }
        drop(listener);
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// The next connection, once there is a place for it.
    async fn take(&self, listener: &TcpListener) -> Placed {
        let place = match self.places.clone().try_acquire_owned() {
            Ok(place) => place,
            Err(_) => {
                tracing::debug!("there are as many connections as there may be: others wait");
                let Ok(place) = self.places.clone().acquire_owned().await else {
                    // The places are never closed.
                    return std::future::pending().await;
                };
                place
            }
        };
        loop {
            match listener.accept().await {
                Ok((stream, _)) => return Placed { stream, _place: place },
                Err(error) if is_clients(&error) => {}
                Err(error) => {
                    tracing::error!(%error, "no connection can be taken: trying again in {TAKE_AGAIN:?}");
                    tokio::time::sleep(TAKE_AGAIN).await;
                }
            }
        }
    }

    /// Ends the connections that there still are.
    pub(crate) async fn close(&self) {
        self.cut.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Answers what is asked over a connection. When it is told to end, it answers what was asked before, and nothing
/// after.
async fn answer(stream: Placed, router: Router, head: Duration, shutdown: CancellationToken) -> hyper::Result<()> {
    let mut serving = http1::Builder::new();
    serving.timer(TokioTimer::new()).header_read_timeout(head);
    let serving = serving.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).with_upgrades();
    let mut serving = pin!(serving);
    tokio::select! {
        ended = serving.as_mut() => return ended,
        () = shutdown.cancelled() => serving.as_mut().graceful_shutdown(),
    }
    serving.await
}

/// Whether a connection is gone before it was taken, which is its client's affair.
fn is_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// A stream and its place among the connections.
struct Placed {
    stream: TcpStream,
    _place: OwnedSemaphorePermit,
}

impl AsyncRead for Placed {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context, into: &mut ReadBuf) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Placed {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context,
        parts: &[io::IoSlice],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::task::JoinHandle;

    use super::*;

    const QUESTION: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    const LONG: Duration = Duration::from_secs(60);

    /// A server that answers with a word.
    struct Server {
        connections: Arc<Connections>,
        address: std::net::SocketAddr,
        shutdown: CancellationToken,
        serving: JoinHandle<()>,
    }

    impl Server {
        async fn start(most: usize, head: Duration) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let (address, shutdown) = (listener.local_addr().unwrap(), CancellationToken::new());
            let connections = Arc::new(Connections::new(Bounds { most, head }));
            let router = Router::new().route("/", get(async || "word"));
            let serving = tokio::spawn({
                let (connections, shutdown) = (connections.clone(), shutdown.clone());
                async move { connections.serve(listener, router, shutdown).await }
            });
            Self { connections, address, shutdown, serving }
        }

        async fn connect(&self) -> TcpStream {
            TcpStream::connect(self.address).await.unwrap()
        }

        async fn stop(self) {
            self.shutdown.cancel();
            self.connections.close().await;
            self.serving.await.unwrap();
        }
    }

    /// Asks, and reads the answer up to its last letter.
    async fn ask(stream: &mut TcpStream) -> String {
        stream.write_all(QUESTION).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"word") {
            answer.push(stream.read_u8().await.unwrap());
        }
        String::from_utf8(answer).unwrap()
    }

    #[tokio::test]
    async fn half_a_head_is_not_waited_for_while_whole_requests_are_answered() {
        let server = Server::start(10, Duration::from_millis(200)).await;
        let (mut half, mut silent) = (server.connect().await, server.connect().await);
        half.write_all(&QUESTION[..10]).await.unwrap();
        assert!(ask(&mut server.connect().await).await.starts_with("HTTP/1.1 200"));
        for stream in [&mut half, &mut silent] {
            let mut said = Vec::new();
            // It may end with a word or without one, but it ends.
            let _ = stream.read_to_end(&mut said).await;
            assert!(!said.ends_with(b"word"));
        }
        assert!(ask(&mut server.connect().await).await.starts_with("HTTP/1.1 200"));
        server.stop().await;
    }

    #[tokio::test]
    async fn more_connections_than_there_may_be_wait_and_do_not_hinder_the_others() {
        let server = Server::start(2, LONG).await;
        let (mut first, mut second) = (server.connect().await, server.connect().await);
        ask(&mut first).await;
        ask(&mut second).await;
        let mut third = server.connect().await;
        let waiting = tokio::spawn(async move { ask(&mut third).await });
        for _ in 0..10 {
            ask(&mut first).await;
            ask(&mut second).await;
        }
        assert!(!waiting.is_finished());
        drop(second);
        assert!(waiting.await.unwrap().starts_with("HTTP/1.1 200"));
        server.stop().await;
    }

    #[tokio::test]
    async fn a_server_that_ends_lets_idle_connections_go_and_cuts_what_stays() {
        let server = Server::start(2, LONG).await;
        let (mut idle, mut half) = (server.connect().await, server.connect().await);
        ask(&mut idle).await;
        half.write_all(&QUESTION[..10]).await.unwrap();
        server.shutdown.cancel();
        assert_eq!(idle.read(&mut [0]).await.unwrap(), 0);
        let address = server.address;
        server.stop().await;
        assert!(matches!(half.read(&mut [0]).await, Ok(0) | Err(_)));
        assert!(TcpStream::connect(address).await.is_err());
    }

    #[test]
    fn files_are_left_for_what_is_no_connection() {
        let bounds = Bounds::of_this_process();
        let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        assert!(bounds.most > 0 && bounds.most as u64 <= files / 4 * 3);
    }
}
