//! The connection to Chromium: the DevTools protocol over a pair of pipes.
//!
//! The protocol's commands and types are chromiumoxide's; the connection is our own, because what runs in the browser
//! is not trusted: messages are bounded in size (an answer that is too large fails its own call and nothing else),
//! every call ends when the browser does, and events are handled one by one as they arrive, in order with the answers,
//! so no queue of them can grow. A pipe, unlike a port, can be reached by nobody else, and closes with this process:
//! Chromium then ends by itself, however we died.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chromiumoxide_types::Command;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::capabilities::secrets::Veil;
use crate::contract::Error;

/// How many commands may wait to be written. More than any script can have in flight; if it is ever full, the browser
/// has stopped reading, and the connection is given up.
const OUTGOING_COMMANDS: usize = 16_384;

/// How many bytes of large commands may wait to be written, as a multiple of what one message may have.
const OUTGOING_MESSAGES: usize = 2;
/// From how many bytes on a command is large.
const LARGE: usize = 64 * 1024;

/// What is said of a browser that has ended.
pub(super) const BROWSER_GONE: &str = "the browser is gone";

/// Why a command did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CdpError {
    /// The browser is gone.
    #[error("{BROWSER_GONE}")]
    Closed,
    /// The browser has not read yet what it was told before.
    #[error("the browser has too much to read already: wait for other calls to end")]
    Busy,
    /// The answer is larger than is allowed.
    #[error("the browser's answer is larger than run_message.sandbox.limits.bytes_per_call allows")]
    TooLarge,
    /// The browser refused the command.
    #[error("{0}")]
    Refused(String),
    /// The answer makes no sense.
    #[error("unreadable answer of the browser: {0}")]
    Unreadable(#[from] serde_json::Error),
}

impl CdpError {
    /// Whether the document, frame or page that the command was about is gone.
    pub(crate) fn is_gone(&self) -> bool {
        const GONE: [&str; 8] = [
            "Execution context was destroyed",
            "Cannot find context with specified id",
            "uniqueContextId not found",
            "Inspected target navigated or closed",
            "Session with given id not found",
            "Target closed",
            "Frame with the given",
            "Cannot find execution context",
        ];
        matches!(self, Self::Refused(message) if GONE.iter().any(|gone| message.contains(gone)))
    }
}

/// As a script is told it.
impl From<CdpError> for Error {
    fn from(error: CdpError) -> Self {
        match error {
            CdpError::Closed => Self::Closed(error.to_string()),
            CdpError::Busy | CdpError::TooLarge => Self::Limit(error.to_string()),
            CdpError::Refused(_) | CdpError::Unreadable(_) => Self::Other(error.to_string()),
        }
    }
}

/// Who is told of events.
pub(crate) trait Events: Send + Sync + 'static {
    /// Something happened in a session, or in the browser itself. Called in order; must not block.
    fn on_event(&self, session: Option<&str>, method: &str, params: &RawValue);

    /// The connection has ended.
    fn on_closed(&self);
}

/// Who waits for the answer of a command.
type Waiting = oneshot::Sender<Result<Box<RawValue>, CdpError>>;

/// A connection to a browser. Clones share it.
#[derive(Clone)]
pub(crate) struct Connection {
    shared: Arc<Shared>,
}

struct Shared {
    outgoing: mpsc::Sender<Vec<u8>>,
    /// How many bytes of large commands wait to be written.
    outgoing_bytes: AtomicUsize,
    pending: Mutex<HashMap<u64, Waiting>>,
    next_id: AtomicU64,
    max_message: usize,
    veil: Arc<Veil>,
    closed: CancellationToken,
}

impl Shared {
    fn pending(&self) -> MutexGuard<'_, HashMap<u64, Waiting>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the connection: every call in progress fails.
    fn close(&self) {
        self.closed.cancel();
        self.pending().clear();
    }

    fn answer(&self, id: u64, answer: Result<Box<RawValue>, CdpError>) {
        let waiter = self.pending().remove(&id);
        if let Some(waiter) = waiter {
            // Whoever waited may have given up.
            let _ = waiter.send(answer);
        }
    }
}

#[derive(Serialize)]
struct Outgoing<'a, C> {
    id: u64,
    method: Cow<'static, str>,
    #[serde(rename = "sessionId", skip_serializing_if = "Option::is_none")]
    session: Option<&'a str>,
    params: &'a C,
}

#[derive(Deserialize)]
struct Incoming<'a> {
    id: Option<u64>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "sessionId")]
    session: Option<Cow<'a, str>>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    message: String,
    data: Option<String>,
}

impl Connection {
    /// Speaks to a browser: gives the connection, and the work of driving it, to be run until it ends.
    pub(crate) fn open(
        read: impl AsyncRead + Unpin + Send + 'static,
        write: impl AsyncWrite + Unpin + Send + 'static,
        max_message: usize,
        veil: Arc<Veil>,
    ) -> (Self, impl FnOnce(Arc<dyn Events>) -> futures::future::BoxFuture<'static, ()>) {
        let (outgoing, commands) = mpsc::channel(OUTGOING_COMMANDS);
        let shared = Arc::new(Shared {
            outgoing,
            outgoing_bytes: AtomicUsize::new(0),
            pending: Mutex::default(),
            next_id: AtomicU64::new(1),
            max_message,
            veil,
            closed: CancellationToken::new(),
        });
        let connection = Self { shared: shared.clone() };
        let drive = move |events: Arc<dyn Events>| -> futures::future::BoxFuture<'static, ()> {
            Box::pin(async move {
                tokio::select! {
                    () = read_messages(&shared, read, &*events) => {}
                    () = write_commands(&shared, write, commands) => {}
                    () = shared.closed.cancelled() => {}
                }
                shared.close();
                events.on_closed();
            })
        };
        (connection, drive)
    }

    /// The session of the browser itself.
    pub(crate) fn browser(&self) -> Session {
        Session { connection: self.clone(), id: None, ended: CancellationToken::new() }
    }

    /// The session of a target.
    pub(crate) fn session(&self, id: &str) -> Session {
        Session { connection: self.clone(), id: Some(id.into()), ended: CancellationToken::new() }
    }

    /// Ends the connection.
    pub(crate) fn close(&self) {
        self.shared.close();
    }

    /// Whether the connection has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.shared.closed.is_cancelled()
    }
}

/// One target of the browser, or the browser itself.
#[derive(Clone)]
pub(crate) struct Session {
    connection: Connection,
    id: Option<Arc<str>>,
    ended: CancellationToken,
}

impl Session {
    /// Sends a command and waits for its answer, for as long as it takes: callers set the time limit.
    pub(crate) async fn call<C: Command>(&self, command: C) -> Result<C::Response, CdpError> {
        self.call_as(&command).await
    }

    /// The same, with an answer read as another type: for answers of which only a little is wanted, or whose types
    /// follow the browser's version.
    pub(crate) async fn call_as<C: Command, R: DeserializeOwned>(&self, command: &C) -> Result<R, CdpError> {
        decode(&self.begin(command)?.wait().await?)
    }

    /// Sends a command whose answer does not matter.
    pub(crate) fn tell<C: Command>(&self, command: &C) {
        // The answer's receiver is dropped; a connection that is gone has nobody to tell.
        let _ = self.begin(command);
    }

    /// Whether the browser has much to read already: not the time for a large command that nobody waits for.
    pub(crate) fn is_busy(&self) -> bool {
        let shared = &self.connection.shared;
        shared.outgoing_bytes.load(Ordering::Relaxed) > shared.max_message
    }

    /// Puts a command on its way at once, in order with others.
    pub(crate) fn begin<C: Command>(&self, command: &C) -> Result<Pending, CdpError> {
        let shared = &self.connection.shared;
        let id = shared.next_id.fetch_add(1, Ordering::Relaxed);
        let message = Outgoing { id, method: command.identifier(), session: self.id.as_deref(), params: command };
        let mut bytes = serde_json::to_vec(&message)?;
        bytes.push(0);
        let (sender, receiver) = oneshot::channel();
        if shared.closed.is_cancelled() {
            return Err(CdpError::Closed);
        }
        if bytes.len() > LARGE {
            let most = shared.max_message.saturating_mul(OUTGOING_MESSAGES);
            let room = shared.outgoing_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |waiting| {
                // One that is larger than all that may wait goes alone.
                (waiting == 0 || waiting + bytes.len() <= most).then_some(waiting + bytes.len())
            });
            if room.is_err() {
                return Err(CdpError::Busy);
            }
        }
        shared.pending().insert(id, sender);
        if shared.outgoing.try_send(bytes).is_err() {
            shared.close();
            return Err(CdpError::Closed);
        }
        Ok(Pending { shared: shared.clone(), id, receiver, ended: self.ended.clone() })
    }

    /// The target is gone: every call in progress fails, which the browser would leave without an answer.
    pub(crate) fn end(&self) {
        self.ended.cancel();
    }
}

/// A command that has been sent. Dropping it gives up on the answer.
pub(crate) struct Pending {
    shared: Arc<Shared>,
    id: u64,
    receiver: oneshot::Receiver<Result<Box<RawValue>, CdpError>>,
    ended: CancellationToken,
}

impl Pending {
    /// Waits for the answer.
    pub(crate) async fn wait(mut self) -> Result<Box<RawValue>, CdpError> {
        tokio::select! {
            biased;
            answer = &mut self.receiver => answer.unwrap_or(Err(CdpError::Closed)),
            () = self.ended.cancelled() => Err(CdpError::Refused("Target closed".to_owned())),
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.shared.pending().remove(&self.id);
    }
}

async fn write_commands(shared: &Shared, mut to: impl AsyncWrite + Unpin, mut commands: mpsc::Receiver<Vec<u8>>) {
    while let Some(command) = commands.recv().await {
        if to.write_all(&command).await.is_err() || to.flush().await.is_err() {
            return;
        }
        if command.len() > LARGE {
            shared.outgoing_bytes.fetch_sub(command.len(), Ordering::Relaxed);
        }
    }
}

/// Reads messages, which end with a zero byte, and hands them out.
async fn read_messages(shared: &Shared, mut from: impl AsyncRead + Unpin, events: &dyn Events) {
    let mut buffer = Vec::with_capacity(64 * 1024);
    // Whether the message at the start of the buffer is too large, so that the rest of it is thrown away.
    let mut skipping = false;
    loop {
        let mut searched = buffer.len();
        if !matches!(from.read_buf(&mut buffer).await, Ok(1..)) {
            return;
        }
        let mut start = 0;
        while let Some(length) = buffer.get(searched..).and_then(|fresh| fresh.iter().position(|byte| *byte == 0)) {
            let end = searched + length;
            if let Some(message) = buffer.get(start..end)
                && !skipping
            {
                dispatch(shared, message, events);
            }
            skipping = false;
            start = end + 1;
            searched = start;
        }
        buffer.drain(..start);
        if buffer.len() > shared.max_message {
            if !skipping {
                give_up(shared, &buffer);
            }
            skipping = true;
        }
        if skipping {
            buffer.clear();
        }
        if buffer.is_empty() && buffer.capacity() > 1 << 20 {
            buffer = Vec::with_capacity(64 * 1024);
        }
    }
}

/// Fails the call whose answer begins like this and is too large. An event that is too large is only dropped.
fn give_up(shared: &Shared, beginning: &[u8]) {
    let digits = beginning.strip_prefix(br#"{"id":"#).unwrap_or_default();
    let id = digits
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .fold(0_u64, |id, digit| id.wrapping_mul(10).wrapping_add(u64::from(digit - b'0')));
    tracing::debug!(id, "dropped a message of the browser that is too large");
    shared.answer(id, Err(CdpError::TooLarge));
}

fn dispatch(shared: &Shared, message: &[u8], events: &dyn Events) {
    let incoming: Incoming<'_> = match serde_json::from_slice(message) {
        Ok(incoming) => incoming,
        Err(error) => {
            tracing::debug!(%error, "dropped an unreadable message of the browser");
            return;
        }
    };
    match (incoming.id, incoming.method) {
        (Some(id), _) => {
            let answer = match incoming.error {
                Some(Refusal { message, data: None }) => Err(CdpError::Refused(message)),
                Some(Refusal { message, data: Some(data) }) => Err(CdpError::Refused(format!("{message} ({data})"))),
                None => Ok(veiled(shared, incoming.result).into_owned()),
            };
            shared.answer(id, answer);
        }
        (None, Some(method)) => {
            events.on_event(incoming.session.as_deref(), &method, &veiled(shared, incoming.params));
        }
        (None, None) => {}
    }
}

/// What the browser says, without secrets that were given to pages.
fn veiled<'a>(shared: &Shared, said: Option<&'a RawValue>) -> Cow<'a, RawValue> {
    let said = said.unwrap_or(RawValue::NULL);
    shared.veil.json(said, replace_lone_surrogates).map_or(Cow::Borrowed(said), Cow::Owned)
}

/// Reads JSON of the browser as a `T`. Pages can hold text that is no valid Unicode, which the browser writes as
/// escapes of lone surrogates; they become U+FFFD.
pub(crate) fn decode<T: DeserializeOwned>(json: &RawValue) -> Result<T, CdpError> {
    match serde_json::from_str(json.get()) {
        Ok(value) => Ok(value),
        Err(error) => match replace_lone_surrogates(json.get()) {
            Some(repaired) => Ok(serde_json::from_str(&repaired)?),
            None => Err(error.into()),
        },
    }
}

/// Replaces escapes of lone surrogates in a JSON text by U+FFFD; nothing when there are none.
pub(crate) fn replace_lone_surrogates(json: &str) -> Option<String> {
    /// The code unit of an escape such as `\u00e9` at the start of a text.
    fn unit(text: &str) -> Option<u16> {
        u16::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok()
    }
    let mut repaired = String::new();
    let mut rest = json;
    let mut found = false;
    while let Some((before, from)) = rest.find('\\').and_then(|at| rest.split_at_checked(at)) {
        repaired.push_str(before);
        let (taken, replacement) = match unit(from) {
            Some(0xd800..=0xdbff) => match from.get(6..).and_then(unit) {
                Some(0xdc00..=0xdfff) => (12, None),
                _ => (6, Some("\\ufffd")),
            },
            Some(0xdc00..=0xdfff) => (6, Some("\\ufffd")),
            Some(_) => (6, None),
            None => (from.char_indices().nth(2).map_or(from.len(), |(at, _)| at), None),
        };
        let (escape, after) = from.split_at_checked(taken)?;
        found |= replacement.is_some();
        repaired.push_str(replacement.unwrap_or(escape));
        rest = after;
    }
    repaired.push_str(rest);
    found.then_some(repaired)
}

#[cfg(test)]
mod tests {
    use chromiumoxide_cdp::cdp::browser_protocol::browser::GetVersionParams;
    use chromiumoxide_cdp::cdp::js_protocol::runtime::EvaluateParams;
    use proptest::prelude::*;
    use tokio::io::duplex;

    use super::*;

    struct Ignore;

    impl Events for Ignore {
        fn on_event(&self, _session: Option<&str>, _method: &str, _params: &RawValue) {}
        fn on_closed(&self) {}
    }

    /// A connection to a browser that answers every command with the next of these texts.
    fn browser_that_answers(answers: Vec<String>) -> Session {
        let (ours, theirs) = duplex(1 << 16);
        let (read, write) = tokio::io::split(ours);
        let (connection, drive) = Connection::open(read, write, 1_000, Arc::default());
        tokio::spawn(drive(Arc::new(Ignore)));
        tokio::spawn(async move {
            let (mut read, mut write) = tokio::io::split(theirs);
            for answer in answers {
                while read.read_u8().await.unwrap() != 0 {}
                write.write_all(answer.as_bytes()).await.unwrap();
                write.write_u8(0).await.unwrap();
            }
        });
        connection.browser()
    }

    fn version(id: u64) -> String {
        format!(
            r#"{{"id":{id},"result":{{"protocolVersion":"1","product":"P","revision":"r","userAgent":"u","jsVersion":"j"}}}}"#
        )
    }

    #[tokio::test]
    async fn an_answer_that_is_too_large_fails_its_own_call_only() {
        let huge = format!(r#"{{"id":1,"result":{{"x":"{}"}}}}"#, "x".repeat(200_000));
        let browser = browser_that_answers(vec![huge, version(2)]);
        let first = browser.call(GetVersionParams::default()).await;
        assert!(matches!(first, Err(CdpError::TooLarge)), "{first:?}");
        assert_eq!(browser.call(GetVersionParams::default()).await.unwrap().product, "P");
    }

    #[tokio::test]
    async fn every_call_ends_when_the_browser_does() {
        let browser = browser_that_answers(Vec::new());
        let call = tokio::time::timeout(std::time::Duration::from_secs(5), browser.call(GetVersionParams::default()));
        assert!(matches!(call.await.unwrap(), Err(CdpError::Closed)));
        assert!(matches!(browser.call(GetVersionParams::default()).await, Err(CdpError::Closed)));
    }

    #[tokio::test]
    async fn a_browser_that_does_not_read_is_told_only_so_much() {
        // Nobody drives the connection, so nothing is written.
        let (connection, _drive) = Connection::open(tokio::io::empty(), tokio::io::sink(), LARGE, Arc::default());
        let browser = connection.browser();
        let large = EvaluateParams::new("x".repeat(LARGE));
        let _first = browser.begin(&large).unwrap();
        assert!(browser.is_busy());
        assert!(matches!(browser.begin(&large), Err(CdpError::Busy)));
        browser.begin(&GetVersionParams::default()).unwrap();
    }

    #[tokio::test]
    async fn garbage_is_dropped() {
        let garbage = format!("{{not json\0[]\0{{}}\0{}", version(1));
        let browser = browser_that_answers(vec![garbage]);
        assert_eq!(browser.call(GetVersionParams::default()).await.unwrap().product, "P");
    }

    #[test]
    fn lone_surrogates_become_replacement_characters() {
        let text = |json: &str| decode::<String>(&RawValue::from_string(json.to_owned()).unwrap()).unwrap();
        assert_eq!(text(r#""a\ud83db""#), "a\u{fffd}b");
        assert_eq!(text(r#""\udc00\ud83d\ude00\\ud800""#), "\u{fffd}😀\\ud800");
        assert_eq!(replace_lone_surrogates(r#""plain \n text""#), None);
    }

    proptest! {
        #[test]
        fn repairing_any_text_never_panics_and_leaves_valid_json_alone(text in any::<String>(), raw in r#"[\\ud8c0-9"]{0,40}"#) {
            prop_assert_eq!(replace_lone_surrogates(&serde_json::to_string(&text).unwrap()), None);
            let _ = replace_lone_surrogates(&raw);
        }
    }
}
