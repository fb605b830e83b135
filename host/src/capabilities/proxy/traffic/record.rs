//! What is remembered of an exchange that goes by, for who watches or records it.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, HeaderValue};
use http::{HeaderMap, HeaderName, Method, StatusCode, Version, request, response};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Frame, SizeHint};
use jiff::Timestamp;

use super::Watch;
use crate::capabilities::proxy::body::{Body, BodyError, decoded};
use crate::coding::Coding;
use crate::keep::{Keep, Kept};

/// What a record counts beside its texts and bodies, and a header beside its name and value, in bytes.
const RECORD_BYTES: usize = 1_000;
const HEADER_BYTES: usize = 80;

/// An exchange, as far as it has come.
pub(super) struct Record {
    pub(super) started: Timestamp,
    begun: Instant,
    /// How many bytes of each body are kept; nothing if bodies are not.
    most_bytes: Option<u64>,
    /// Who watches it.
    watches: Vec<Weak<Watch>>,
    /// Where the bytes of bodies count.
    keep: Arc<Keep>,
    facts: Mutex<Facts>,
    bodies: Mutex<Bodies>,
}

#[derive(Default)]
struct Bodies {
    request: Captured,
    response: Captured,
}

/// What is known of it.
#[derive(Clone, Default)]
pub(super) struct Facts {
    pub(super) method: Method,
    pub(super) url: String,
    pub(super) request_version: Version,
    pub(super) request_headers: Headers,
    /// How many bytes of the request's body went by, kept or not.
    pub(super) request_bytes: u64,
    pub(super) status: Option<StatusCode>,
    pub(super) response_version: Version,
    pub(super) response_headers: Headers,
    /// The same of the response's.
    pub(super) response_bytes: u64,
    /// Until the response began.
    pub(super) waited: Option<Duration>,
    /// Until all was over.
    pub(super) took: Option<Duration>,
    /// Why there was no response, or not all of it.
    pub(super) failure: Option<String>,
}

/// Headers that are kept: copies, as those of a message hold all of what it came in.
#[derive(Clone, Default)]
pub(super) struct Headers(Box<[Header]>);

#[derive(Clone)]
struct Header {
    name: Box<str>,
    value: Box<[u8]>,
}

impl From<&HeaderMap> for Headers {
    fn from(headers: &HeaderMap) -> Self {
        let header = |(name, value): (&HeaderName, &HeaderValue)| Header {
            name: name.as_str().into(),
            value: value.as_bytes().into(),
        };
        Self(headers.iter().map(header).collect())
    }
}

impl Headers {
    /// Their names and values.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|Header { name, value }| (&**name, &**value))
    }

    /// The value of the first of a name, if it is text.
    pub(super) fn text(&self, name: &HeaderName) -> &str {
        let value = self.iter().find(|(other, _)| other == name).map(|(_, value)| value);
        value.and_then(|value| std::str::from_utf8(value).ok()).unwrap_or_default()
    }

    fn bytes(&self) -> usize {
        self.iter().map(|(name, value)| HEADER_BYTES + name.len() + value.len()).sum()
    }
}

/// A body that went by.
#[derive(Default)]
struct Captured {
    /// What is kept of it: all, or nothing.
    kept: Kept<Vec<u8>>,
    /// How many bytes went by, kept or not.
    count: u64,
    /// Whether it went by to its end.
    is_whole: bool,
}

impl Captured {
    /// A piece goes by; bodies are kept up to a number of bytes, if they are, and as long as there is room for them.
    fn add(&mut self, piece: &[u8], most: Option<u64>, keep: &Arc<Keep>) {
        let is_first = self.count == 0;
        self.count = self.count.saturating_add(piece.len() as u64);
        if most.is_some_and(|most| self.count <= most) {
            if is_first {
                self.kept = keep.keep(Vec::new()).unwrap_or_default();
            }
            let is_all = self.count == (self.kept.len() + piece.len()) as u64;
            if is_all && self.kept.grow_to(self.count).is_ok() {
                self.kept.extend_from_slice(piece);
                return;
            }
        }
        self.kept = Kept::default();
    }

    /// All of it, if all was kept.
    fn whole(&self) -> Option<Bytes> {
        (self.is_whole && self.count == self.kept.len() as u64).then(|| Bytes::copy_from_slice(&self.kept))
    }
}

impl Record {
    /// An exchange begins.
    pub(super) fn begin(most_bytes: Option<u64>, keep: Arc<Keep>, watches: Vec<Weak<Watch>>) -> Self {
        Self {
            started: Timestamp::now(),
            begun: Instant::now(),
            most_bytes,
            watches,
            keep,
            facts: Mutex::default(),
            bodies: Mutex::default(),
        }
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known by now.
    pub(super) fn known(&self) -> Facts {
        let mut facts = self.facts().clone();
        let bodies = self.bodies();
        (facts.request_bytes, facts.response_bytes) = (bodies.request.count, bodies.response.count);
        facts.took.get_or_insert_with(|| self.begun.elapsed());
        facts
    }

    fn bodies(&self) -> MutexGuard<'_, Bodies> {
        self.bodies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The body of the request, decompressed, if all was kept and is not longer than that.
    pub(super) async fn request_body(&self, facts: &Facts, most: u64) -> Option<Bytes> {
        let kept = self.bodies().request.whole();
        content(kept?, &facts.request_headers, most).await
    }

    /// The same of the response.
    pub(super) async fn response_body(&self, facts: &Facts, most: u64) -> Option<Bytes> {
        let kept = self.bodies().response.whole();
        content(kept?, &facts.response_headers, most).await
    }

    /// The request, as it is sent.
    pub(super) fn request(&self, url: &str, parts: &request::Parts) {
        let mut facts = self.facts();
        facts.method = parts.method.clone();
        url.clone_into(&mut facts.url);
        facts.request_version = parts.version;
        facts.request_headers = (&parts.headers).into();
    }

    /// The response, as the browser gets it.
    pub(super) fn response(&self, parts: &response::Parts) {
        let mut facts = self.facts();
        facts.status = Some(parts.status);
        facts.response_version = parts.version;
        facts.response_headers = (&parts.headers).into();
        facts.waited = Some(self.begun.elapsed());
    }

    /// Why it has no response.
    pub(super) fn fail(&self, reason: String) {
        self.facts().failure.get_or_insert(reason);
    }

    fn end(&self) {
        let is_whole = self.bodies().response.is_whole;
        let mut facts = self.facts();
        facts.took = Some(self.begun.elapsed());
        if facts.failure.is_none() && !(facts.status.is_some() && is_whole) {
            let what = if facts.status.is_some() { "the response" } else { "the request" };
            facts.failure = Some(format!("{what} broke off"));
        }
    }

    /// How many bytes it takes beside its bodies, roughly.
    pub(super) fn bytes(&self) -> usize {
        let facts = self.facts();
        let headers = facts.request_headers.bytes() + facts.response_headers.bytes();
        RECORD_BYTES + facts.url.len() + headers + facts.failure.as_ref().map_or(0, String::len)
    }
}

async fn content(body: Bytes, headers: &Headers, most: u64) -> Option<Bytes> {
    decoded(body, Coding::named(headers.text(&CONTENT_ENCODING)), most).await.ok()
}

/// The end of an exchange, whenever and however that is.
pub(super) struct Over {
    pub(super) record: Arc<Record>,
    /// Where its bytes count, if it is recorded.
    pub(super) recorded_bytes: Option<Arc<AtomicU64>>,
}

impl Drop for Over {
    fn drop(&mut self) {
        let record = &self.record;
        record.end();
        if let Some(bytes) = &self.recorded_bytes {
            bytes.fetch_add(record.bytes() as u64, Ordering::Relaxed);
        }
        record.watches.iter().filter_map(Weak::upgrade).for_each(|watch| watch.see(record));
    }
}

/// Which body.
enum Side {
    Request(Arc<Record>),
    Response(Over),
}

/// A body that is remembered while it goes by.
struct Remembered {
    body: Body,
    side: Side,
}

/// The body of a request, remembered.
pub(super) fn remember_request(body: Body, record: Arc<Record>) -> Body {
    Remembered { body, side: Side::Request(record) }.boxed_unsync()
}

/// The body of a response, remembered; with it, the exchange is over.
pub(super) fn remember_response(body: Body, over: Over) -> Body {
    Remembered { body, side: Side::Response(over) }.boxed_unsync()
}

impl Remembered {
    fn note(&self, note: impl FnOnce(&mut Captured, &Record)) {
        let (record, of_request) = match &self.side {
            Side::Request(record) => (record, true),
            Side::Response(over) => (&over.record, false),
        };
        let mut bodies = record.bodies();
        note(if of_request { &mut bodies.request } else { &mut bodies.response }, record);
    }
}

impl hyper::body::Body for Remembered {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(piece) = frame.data_ref()
        {
            self.note(|body, record| body.add(piece, record.most_bytes, &record.keep));
        }
        if let Poll::Ready(None) = &polled {
            self.note(|body, _| body.is_whole = true);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Remembered {
    fn drop(&mut self) {
        // Whoever knows a body's length does not ask what comes after its end.
        if self.body.is_end_stream() {
            self.note(|body, _| body.is_whole = true);
        }
    }
}
