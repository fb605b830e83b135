//! The body of a response, as a script reads it: decompressed, bounded, and no faster than it is read.

use std::io;

use futures::TryStreamExt as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::{Mutex, OwnedSemaphorePermit};
use tokio_util::io::StreamReader;
use tokio_util::sync::CancellationToken;

use super::Deadline;
use crate::coding::Coding;
use crate::contract::Error;

/// How much is read at once at most.
const PIECE: usize = 256 * 1024;

/// How much of a body there may be.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// In all, decompressed.
    pub(super) bytes: u64,
    /// At once.
    pub(super) bytes_per_call: u64,
}

/// The body of a response.
pub(super) struct Body {
    state: Mutex<State>,
    limits: Limits,
    deadline: Deadline,
    /// The job is over that it belongs to.
    over: CancellationToken,
}

/// How far the reading has come.
struct State {
    /// What is still to be read, and what counts the request as one in flight; nothing at the end.
    rest: Option<(Box<dyn AsyncRead + Send + Unpin>, OwnedSemaphorePermit)>,
    /// How many bytes more there may be.
    left: u64,
    /// Why it cannot be read on.
    failed: Option<Error>,
}

impl Body {
    /// The body of a response whose head has been read.
    pub(super) fn new(
        incoming: Incoming,
        coding: Option<Coding>,
        limits: Limits,
        permit: OwnedSemaphorePermit,
        deadline: Deadline,
        over: CancellationToken,
    ) -> Self {
        let arriving = StreamReader::new(incoming.into_data_stream().map_err(io::Error::other));
        let rest: Box<dyn AsyncRead + Send + Unpin> = match coding {
            None => Box::new(arriving),
            Some(coding) => coding.undo(arriving),
        };
        let state = State { rest: Some((rest, permit)), left: limits.bytes, failed: None };
        Self { state: Mutex::new(state), limits, deadline, over }
    }

    /// The next bytes; none at the end.
    pub(super) async fn read(&self, most: u32) -> Result<Vec<u8>, Error> {
        let most = usize::try_from(u64::from(most).min(self.limits.bytes_per_call)).unwrap_or(PIECE);
        if most == 0 {
            return Err(Error::Invalid("read at least 1 byte at once".to_owned()));
        }
        self.bound(async {
            let mut piece = Vec::new();
            let mut state = self.state.lock().await;
            state.check()?;
            state.piece(&mut piece, most, self.limits).await?;
            Ok(piece)
        })
        .await
    }

    /// Everything that is left.
    pub(super) async fn read_all(&self) -> Result<Vec<u8>, Error> {
        let most = self.limits.bytes_per_call;
        self.bound(async {
            let mut state = self.state.lock().await;
            state.check()?;
            // A reading that is cancelled takes with it what it has read.
            state.failed = Some(Error::Closed("the body was being read when that was cancelled".to_owned()));
            let mut all = Vec::new();
            while state.rest.is_some() {
                state.piece(&mut all, PIECE, self.limits).await?;
                if all.len() as u64 > most {
                    return Err(state.fail(Error::Limit(format!(
                        "the response has more than {most} bytes: read it in pieces, or raise \
                         run_message.sandbox.limits.bytes_per_call"
                    ))));
                }
            }
            state.failed = None;
            Ok(all)
        })
        .await
    }

    /// Waits for a piece as long as it may be waited for.
    async fn bound<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        tokio::select! {
            biased;
            () = self.over.cancelled() => {
                Err(Error::Closed("the job is over in which the response was requested".to_owned()))
            }
            done = self.deadline.bound(work) => done,
        }
    }
}

impl State {
    /// Whether it can be read on.
    fn check(&mut self) -> Result<(), Error> {
        match self.failed.clone() {
            None => Ok(()),
            Some(error) => Err(self.fail(error)),
        }
    }

    /// Appends the next bytes; none at the end.
    async fn piece(&mut self, to: &mut Vec<u8>, most: usize, limits: Limits) -> Result<(), Error> {
        let Some((rest, _)) = &mut self.rest else { return Ok(()) };
        let most = most.min(PIECE);
        to.reserve(most);
        let count = match rest.take(most as u64).read_buf(to).await {
            Ok(count) => count,
            Err(error) => {
                let cause = error.get_ref().and_then(std::error::Error::source).map(ToString::to_string);
                let cause = cause.unwrap_or_else(|| error.to_string());
                return Err(self.fail(Error::Unavailable(format!("the response broke off: {cause}"))));
            }
        };
        if count == 0 {
            self.rest = None;
        }
        match self.left.checked_sub(count as u64) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(self.fail(Error::Limit(format!(
                "the response has more than {} bytes: raise run_message.sandbox.limits.http_response_bytes",
                limits.bytes
            )))),
        }
    }

    /// Ends the reading with an error, now and whenever it is tried again.
    fn fail(&mut self, error: Error) -> Error {
        self.rest = None;
        self.failed = Some(error.clone());
        error
    }
}
