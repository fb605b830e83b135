//! Standard output and standard error of a guest: lines of the job's log.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use armada_protocol::report::LogLevel;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use super::monitoring::{LINE_BYTES, Monitoring};

/// How many bytes a guest may write at once.
const WRITE_BYTES: usize = 64 * 1024;

/// One of the two streams. What is written is split into lines; a line without an end waits for it, or for the end of
/// the job.
#[derive(Clone)]
pub(crate) struct Stream {
    monitoring: Weak<Monitoring>,
    level: LogLevel,
    line: Arc<Mutex<Line>>,
}

#[derive(Default)]
struct Line {
    bytes: Vec<u8>,
    /// Whether the line is too long already, so that what comes is thrown away until its end.
    cut: bool,
}

/// Standard output and standard error of a new instance.
pub(crate) fn streams(monitoring: &Arc<Monitoring>) -> (Stream, Stream) {
    let stream = |level| Stream { monitoring: Arc::downgrade(monitoring), level, line: Arc::default() };
    let (output, error) = (stream(LogLevel::Info), stream(LogLevel::Warning));
    monitoring.attach(&[output.clone(), error.clone()]);
    (output, error)
}

impl Stream {
    fn take(&self, bytes: &[u8]) {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ended) = part.strip_suffix(b"\n").map_or((part, false), |text| (text, true));
            let room = LINE_BYTES.saturating_sub(line.bytes.len());
            if !line.cut {
                line.bytes.extend_from_slice(text.get(..room).unwrap_or(text));
                line.cut = text.len() > room;
            }
            if ended {
                self.emit(&mut line);
            }
        }
    }

    /// Whether an instance may still write to it, or has left something that is not logged.
    pub(crate) fn is_in_use(&self) -> bool {
        Arc::strong_count(&self.line) > 1 || !self.line.lock().unwrap_or_else(PoisonError::into_inner).bytes.is_empty()
    }

    /// Logs what waits for its end.
    pub(crate) fn flush(&self) {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        if !line.bytes.is_empty() {
            self.emit(&mut line);
        }
    }

    fn emit(&self, line: &mut Line) {
        let mut text = String::from_utf8_lossy(&line.bytes).into_owned();
        if line.cut {
            text.push('…');
        }
        if let Some(monitoring) = self.monitoring.upgrade() {
            monitoring.log(self.level, text.trim_end_matches('\r').to_owned());
        }
        *line = Line::default();
    }
}

impl IsTerminal for Stream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Stream {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

#[async_trait::async_trait]
impl Pollable for Stream {
    async fn ready(&mut self) {}
}

impl OutputStream for Stream {
    fn write(&mut self, bytes: bytes::Bytes) -> StreamResult<()> {
        self.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES)
    }
}

impl tokio::io::AsyncWrite for Stream {
    fn poll_write(
        self: std::pin::Pin<&mut Self>,
        _context: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        self.take(bytes);
        std::task::Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(
        self: std::pin::Pin<&mut Self>,
        _context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn poll_shutdown(
        self: std::pin::Pin<&mut Self>,
        _context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
}
