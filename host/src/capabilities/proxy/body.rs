//! Bodies of messages that go by: passed on piece by piece, or held where somebody is to see them whole.

use std::io::Cursor;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use tokio::io::AsyncReadExt as _;
use tokio::time::{Duration, Instant, Sleep};

use crate::coding::Coding;

/// How long either side may be silent within a body.
const SILENCE: Duration = Duration::from_secs(10 * 60);

/// The body of a message that goes by.
pub(super) type Body = UnsyncBoxBody<Bytes, BodyError>;

/// What goes wrong with a body on its way.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    #[error(transparent)]
    Broken(#[from] hyper::Error),
    #[error("nothing came for too long")]
    Silent,
}

/// Why a body cannot be held.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unheld {
    #[error("its body has more than {0} bytes (run_message.sandbox.limits.traffic_body_bytes)")]
    TooLong(u64),
    #[error("its body cannot be decompressed: {0}")]
    Undecodable(std::io::Error),
    #[error("its body broke off: {0}")]
    Broken(#[from] BodyError),
}

/// A body that comes from one side and goes to the other.
pub(super) fn passing(body: Incoming) -> Body {
    Passing { body, silence: Box::pin(tokio::time::sleep(SILENCE)), waiting: false }.boxed_unsync()
}

/// A body that is there as a whole.
pub(super) fn whole(bytes: Bytes) -> Body {
    if bytes.is_empty() {
        return Empty::new().map_err(|never| match never {}).boxed_unsync();
    }
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// Waits for all of a body, unless it is longer than that.
pub(super) async fn hold(mut body: Body, most: u64) -> Result<Bytes, Unheld> {
    if body.size_hint().lower() > most {
        return Err(Unheld::TooLong(most));
    }
    let mut held = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(piece) = frame?.into_data() {
            if (held.len() + piece.len()) as u64 > most {
                return Err(Unheld::TooLong(most));
            }
            held.extend_from_slice(&piece);
        }
    }
    Ok(held.into())
}

/// What is inside a compressed body, unless it is longer than that.
pub(super) async fn decoded(bytes: Bytes, coding: Option<Coding>, most: u64) -> Result<Bytes, Unheld> {
    let Some(coding) = coding.filter(|_| !bytes.is_empty()) else { return Ok(bytes) };
    let mut inside = Vec::new();
    let mut decoder = coding.undo(Cursor::new(bytes)).take(most.saturating_add(1));
    decoder.read_to_end(&mut inside).await.map_err(Unheld::Undecodable)?;
    if inside.len() as u64 > most { Err(Unheld::TooLong(most)) } else { Ok(inside.into()) }
}

/// A body that goes by, piece by piece: a piece is taken from one side when the other side has room for it.
struct Passing {
    body: Incoming,
    silence: Pin<Box<Sleep>>,
    /// Whether somebody waits for the next piece; how long nobody does is the receiver's matter.
    waiting: bool,
}

impl hyper::body::Body for Passing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) {
            this.waiting = false;
            return Poll::Ready(frame.map(|frame| frame.map_err(BodyError::from)));
        }
        if !this.waiting {
            this.waiting = true;
            this.silence.as_mut().reset(Instant::now() + SILENCE);
        }
        this.silence.as_mut().poll(context).map(|()| Some(Err(BodyError::Silent)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
