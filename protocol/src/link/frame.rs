//! What crosses a link: frames of a JSON text and a payload of bytes.
//!
//! A frame is two lengths (unsigned 32-bit, big endian), the JSON and the payload. Requests carry a number that their
//! reply repeats, because the wait for [`JobStore::stopped`](crate::JobStore::stopped) stays open while others come and
//! go. Enums are tagged from outside: a tag inside would have to be looked for before the raw JSON of jobs and results
//! could be read.

use std::time::Duration;

use armada_project::Digest;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::inventory::Upstream;
use crate::{
    AgentRecord, AgentState, Attempt, Delivery, Job, Lent, Next, Outcome, ProtocolError, Report, Start, Stop, Wanted,
};

/// How large the JSON or the payload of a frame may be: more than the largest result or artifact that a grant allows.
pub(super) const MAX_PART_BYTES: usize = (1 << 30) + (1 << 20);
/// How much of a frame arrives, or is taken by the other side, within [`CHUNK_TIME`] at least. Otherwise the stream is
/// given up: what has arrived takes memory for as long as the rest is waited for.
const CHUNK_BYTES: u64 = 16 << 20;
/// See [`CHUNK_BYTES`].
pub(super) const CHUNK_TIME: Duration = Duration::from_secs(60);

/// What an agent asks.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) id: u64,
    pub(super) ask: Ask,
}

/// The calls of the traits. The run and the agent's incarnation are those of the connection.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ask {
    Component {
        digest: Digest,
    },
    Compiled {
        digest: Digest,
        engine: String,
    },
    AgentRecord,
    AgentState {
        state: AgentState,
    },
    NextJob,
    Acknowledge {
        tag: u64,
    },
    Requeue {
        tag: u64,
    },
    Start {
        job: Job,
    },
    Alive,
    /// Artifacts lie in the payload, one after the other, with these sizes.
    Report {
        attempt: Attempt,
        first: u64,
        reports: Vec<Report>,
        sizes: Vec<usize>,
    },
    Finish {
        attempt: Attempt,
        outcome: Outcome,
    },
    Stopped,
    Lent,
    Lease {
        wanted: Wanted,
    },
    GiveBack {
        has_failed: bool,
    },
}

impl Ask {
    /// Whether it waits for something to happen, or reads something large, rather than does something.
    pub(super) fn is_wait(&self) -> bool {
        match self {
            Self::NextJob
            | Self::Stopped
            | Self::Component { .. }
            | Self::Compiled { .. }
            | Self::AgentRecord
            | Self::Lent => true,
            Self::AgentState { .. }
            | Self::Acknowledge { .. }
            | Self::Requeue { .. }
            | Self::Start { .. }
            | Self::Alive
            | Self::Report { .. }
            | Self::Finish { .. }
            | Self::Lease { .. }
            | Self::GiveBack { .. } => false,
        }
    }
}

/// What the orchestrator answers.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Reply {
    pub(super) id: u64,
    pub(super) answer: Answer,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    Done,
    /// The component is the payload.
    Component,
    /// The code is the payload.
    Compiled,
    AgentRecord {
        record: Box<AgentRecord>,
    },
    Job {
        delivery: Option<Delivery>,
    },
    Start {
        start: Start,
    },
    Next {
        next: Next,
    },
    Stop {
        stop: Stop,
    },
    Lent {
        lent: Box<Lent>,
    },
    Upstream {
        upstream: Box<Upstream>,
    },
    NotFound {
        what: String,
    },
    Unavailable {
        message: String,
    },
    Failed {
        message: String,
    },
}

/// Writes a frame.
pub(super) async fn write<W: AsyncWrite + Unpin>(
    to: &mut W,
    json: &impl Serialize,
    payload: &[u8],
) -> Result<(), ProtocolError> {
    let json = serde_json::to_vec(json)?;
    let mut head = Vec::with_capacity(8 + json.len());
    head.extend_from_slice(&length(json.len())?.to_be_bytes());
    head.extend_from_slice(&length(payload.len())?.to_be_bytes());
    head.extend_from_slice(&json);
    to.write_all(&head).await?;
    to.write_all(payload).await?;
    to.flush().await?;
    Ok(())
}

/// How long the other side has to take a frame with a payload of so many bytes.
pub(super) fn time_to_take(bytes: usize) -> Duration {
    let chunks = u32::try_from(bytes as u64 / CHUNK_BYTES).unwrap_or(u32::MAX);
    CHUNK_TIME.saturating_mul(chunks.saturating_add(1))
}

/// Reads a frame; nothing at the end of the stream.
pub(super) async fn read<R: AsyncRead + Unpin, T: for<'de> Deserialize<'de>>(
    from: &mut R,
) -> Result<Option<(T, Vec<u8>)>, ProtocolError> {
    match Head::read(from, CHUNK_TIME).await? {
        Some(head) => head.read_rest(from, CHUNK_TIME).await.map(Some),
        None => Ok(None),
    }
}

/// What a frame announces: the lengths of its parts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    json: u32,
    payload: u32,
}

impl Head {
    /// Waits for the next frame to begin; nothing at the end of the stream.
    pub(super) async fn read<R: AsyncRead + Unpin>(
        from: &mut R,
        chunk_time: Duration,
    ) -> Result<Option<Self>, ProtocolError> {
        let mut first = [0];
        if from.read(&mut first).await? == 0 {
            return Ok(None);
        }
        let mut rest = [0; 7];
        timeout(chunk_time, from.read_exact(&mut rest)).await.map_err(|_| too_slow())??;
        let ([a], [b, c, d, e, f, g, h]) = (first, rest);
        Ok(Some(Self { json: u32::from_be_bytes([a, b, c, d]), payload: u32::from_be_bytes([e, f, g, h]) }))
    }

    /// How many bytes are to come.
    pub(super) fn bytes(self) -> u64 {
        u64::from(self.json) + u64::from(self.payload)
    }

    /// Reads the rest of the frame.
    pub(super) async fn read_rest<R: AsyncRead + Unpin, T: for<'de> Deserialize<'de>>(
        self,
        from: &mut R,
        chunk_time: Duration,
    ) -> Result<(T, Vec<u8>), ProtocolError> {
        let json = read_part(from, self.json, chunk_time).await?;
        let payload = read_part(from, self.payload, chunk_time).await?;
        Ok((serde_json::from_slice(&json)?, payload))
    }
}

/// Reads as many bytes as announced, growing with what arrives rather than with what was announced.
async fn read_part<R: AsyncRead + Unpin>(
    from: &mut R,
    length: u32,
    chunk_time: Duration,
) -> Result<Vec<u8>, ProtocolError> {
    if usize::try_from(length).is_ok_and(|length| length > MAX_PART_BYTES) {
        return Err(ProtocolError::Invalid(format!("a frame of {length} bytes is too large")));
    }
    let mut part = Vec::new();
    let mut left = u64::from(length);
    while left > 0 {
        let chunk = left.min(CHUNK_BYTES);
        let mut arriving = (&mut *from).take(chunk);
        let read = timeout(chunk_time, arriving.read_to_end(&mut part)).await.map_err(|_| too_slow())??;
        if u64::try_from(read) != Ok(chunk) {
            return Err(ProtocolError::Closed);
        }
        left -= chunk;
    }
    Ok(part)
}

fn too_slow() -> ProtocolError {
    ProtocolError::Invalid("a frame does not arrive in time".to_owned())
}

fn length(bytes: usize) -> Result<u32, ProtocolError> {
    u32::try_from(bytes)
        .ok()
        .filter(|_| bytes <= MAX_PART_BYTES)
        .ok_or_else(|| ProtocolError::Invalid(format!("a frame of {bytes} bytes is too large")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[tokio::test]
    async fn a_frame_that_has_begun_is_not_waited_for_without_end() {
        let short = Duration::from_millis(20);
        let mut whole = Vec::new();
        write(&mut whole, &Request { id: 1, ask: Ask::NextJob }, b"payload").await.unwrap();
        for cut in [3, 12, whole.len() - 1] {
            let (mut theirs, mut ours) = tokio::io::duplex(1024);
            theirs.write_all(&whole[..cut]).await.unwrap();
            let read = async {
                let head = Head::read(&mut ours, short).await?.unwrap();
                head.read_rest::<_, Request>(&mut ours, short).await
            };
            assert!(matches!(read.await, Err(ProtocolError::Invalid(_))), "{cut}");
        }
    }

    #[tokio::test]
    async fn a_frame_of_several_chunks_is_read_whole() {
        let payload = vec![7; CHUNK_BYTES as usize + 1];
        let mut whole = Vec::new();
        write(&mut whole, &Request { id: 1, ask: Ask::NextJob }, &payload).await.unwrap();
        let (request, read) = super::read::<_, Request>(&mut whole.as_slice()).await.unwrap().unwrap();
        assert_eq!(request.id, 1);
        assert!(read == payload);
    }

    proptest! {
        #[test]
        fn any_bytes_read_as_a_frame_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let _ = runtime.block_on(read::<_, Request>(&mut bytes.as_slice()));
        }

        #[test]
        fn a_frame_cut_short_is_an_error(cut in 1_usize..30) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let mut bytes = Vec::new();
            runtime.block_on(write(&mut bytes, &Request { id: 1, ask: Ask::NextJob }, b"payload")).unwrap();
            bytes.truncate(bytes.len() - cut);
            prop_assert!(runtime.block_on(read::<_, Request>(&mut bytes.as_slice())).is_err());
        }
    }
}
