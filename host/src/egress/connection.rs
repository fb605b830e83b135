//! A connection that was made: directly, or through an upstream proxy, in which case it ends with the proxy's lease.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Bytes both ways.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection.
pub(crate) struct Connection {
    stream: Box<dyn Stream>,
    lease: Option<Lease>,
}

/// The lease of the proxy that a connection goes through.
struct Lease {
    over: CancellationToken,
    /// Wakes who reads.
    ended: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Connection {
    /// A connection that goes to its end.
    pub(crate) fn new(stream: impl Stream + 'static) -> Self {
        Self { stream: Box::new(stream), lease: None }
    }

    /// The same, until this is over.
    pub(crate) fn until(mut self, over: &CancellationToken) -> Self {
        self.lease = Some(Lease { over: over.clone(), ended: Box::pin(over.clone().cancelled_owned()) });
        self
    }

    fn check(&self) -> io::Result<()> {
        match &self.lease {
            Some(lease) if lease.over.is_cancelled() => Err(cut()),
            _ => Ok(()),
        }
    }
}

fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the agent has another upstream proxy now")
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(lease) = &mut self.lease
            && lease.ended.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Err(cut()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn a_connection_ends_with_the_lease_of_its_proxy() {
        let (near, mut far) = tokio::io::duplex(64);
        let over = CancellationToken::new();
        let mut connection = Connection::new(near).until(&over);
        far.write_all(b"before").await.unwrap();
        let mut bytes = [0; 6];
        connection.read_exact(&mut bytes).await.unwrap();
        let (read, ()) = tokio::join!(connection.read(&mut bytes), async {
            tokio::task::yield_now().await;
            over.cancel();
        });
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
        assert!(connection.write(b"after").await.is_err());
    }
}
