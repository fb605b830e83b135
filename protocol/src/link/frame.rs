//! What crosses a link: frames of a JSON text and a payload of bytes.
//!
//! A frame is two lengths (unsigned 32-bit, big endian), the JSON and the payload. Requests carry a number that their
//! reply repeats, because the wait for [`JobStore::stopped`](crate::JobStore::stopped) stays open while others come and
//! go. Enums are tagged from outside: a tag inside would have to be looked for before the raw JSON of jobs and results
//! could be read.

use armada_project::Digest;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::{AgentRecord, AgentState, Attempt, Delivery, Job, Next, Outcome, ProtocolError, Report, Start, Stop};

/// How large the JSON or the payload of a frame may be: more than the largest result or artifact that a grant allows.
const MAX_PART_BYTES: usize = (1 << 30) + (1 << 20);

/// What an agent asks.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) id: u64,
    pub(super) ask: Ask,
}

/// The calls of the three traits. The run and the agent's incarnation are those of the connection.
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
}

impl Ask {
    /// Whether it waits for something to happen rather than does something.
    pub(super) fn is_wait(&self) -> bool {
        matches!(self, Self::NextJob | Self::Stopped)
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

/// Reads a frame; nothing at the end of the stream.
pub(super) async fn read<R: AsyncRead + Unpin, T: for<'de> Deserialize<'de>>(
    from: &mut R,
) -> Result<Option<(T, Vec<u8>)>, ProtocolError> {
    let json_length = match from.read_u32().await {
        Ok(length) => length,
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let payload_length = from.read_u32().await?;
    let json = read_part(from, json_length).await?;
    let payload = read_part(from, payload_length).await?;
    Ok(Some((serde_json::from_slice(&json)?, payload)))
}

/// Reads as many bytes as announced, growing with what arrives rather than with what was announced.
async fn read_part<R: AsyncRead + Unpin>(from: &mut R, length: u32) -> Result<Vec<u8>, ProtocolError> {
    if usize::try_from(length).is_ok_and(|length| length > MAX_PART_BYTES) {
        return Err(ProtocolError::Invalid(format!("a frame of {length} bytes is too large")));
    }
    let mut part = Vec::new();
    let read = from.take(length.into()).read_to_end(&mut part).await?;
    if u32::try_from(read) != Ok(length) {
        return Err(ProtocolError::Closed);
    }
    Ok(part)
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

    proptest! {
        #[test]
        fn any_bytes_read_as_a_frame_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let _ = runtime.block_on(read::<_, Request>(&mut bytes.as_slice()));
        }

        #[test]
        fn a_frame_cut_short_is_an_error(cut in 1_usize..30) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let mut bytes = Vec::new();
            runtime.block_on(write(&mut bytes, &Request { id: 1, ask: Ask::NextJob }, b"payload")).unwrap();
            bytes.truncate(bytes.len() - cut);
            prop_assert!(runtime.block_on(read::<_, Request>(&mut bytes.as_slice())).is_err());
        }
    }
}
