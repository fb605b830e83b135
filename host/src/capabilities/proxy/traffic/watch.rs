//! Watches: scripts that look at what goes through.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use armada_project::UrlPattern;
use tokio::sync::Notify;

use super::message::shown;
use super::record::{Headers, Record};
use crate::call::Weigh;
use crate::capabilities::secrets::Veil;
use crate::contract::{Error, proxy as wit};
use crate::keep::{Keep, Kept};

/// A watch.
pub(in crate::capabilities::proxy) struct Watch {
    pattern: UrlPattern,
    pub(super) bodies: bool,
    /// How many bytes of a body the script gets.
    most_bytes: u64,
    veil: Arc<Veil>,
    keep: Arc<Keep>,
    seen: Mutex<Seen>,
    arrived: Notify,
}

/// What it has seen and the script has not.
#[derive(Default)]
struct Seen {
    waiting: VecDeque<Kept<Exchange>>,
    lost: u64,
}

struct Exchange(Arc<Record>);

impl Weigh for Exchange {
    fn weight(&self) -> usize {
        self.0.bytes()
    }
}

impl Watch {
    pub(super) fn new(pattern: UrlPattern, bodies: bool, most_bytes: u64, veil: Arc<Veil>, keep: Arc<Keep>) -> Self {
        Self { pattern, bodies, most_bytes, veil, keep, seen: Mutex::default(), arrived: Notify::new() }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_for(&self, url: &str) -> bool {
        self.pattern.matches(url)
    }

    /// An exchange is over that this is for.
    pub(super) fn see(&self, record: &Arc<Record>) {
        let kept = self.keep.keep(Exchange(record.clone()));
        let mut seen = self.seen();
        match kept {
            Ok(kept) => seen.waiting.push_back(kept),
            Err(_) => seen.lost += 1,
        }
        drop(seen);
        self.arrived.notify_one();
    }

    /// The next exchange.
    pub(in crate::capabilities::proxy) async fn next(&self, within: Option<Duration>) -> Result<wit::Exchange, Error> {
        let next = async {
            loop {
                if let Some(next) = self.take()? {
                    return Ok::<_, Error>(next);
                }
                self.arrived.notified().await;
            }
        };
        let next = match within {
            None => next.await?,
            Some(within) => tokio::time::timeout(within, next).await.map_err(|_| {
                let (pattern, seconds) = (&self.pattern, within.as_secs_f64());
                Error::Timeout(format!("nothing that matches `{pattern}` went through within {seconds} s"))
            })??,
        };
        Ok(self.told(&next.0).await)
    }

    fn take(&self) -> Result<Option<Kept<Exchange>>, Error> {
        let mut seen = self.seen();
        if let Some(next) = seen.waiting.pop_front() {
            return Ok(Some(next));
        }
        match std::mem::take(&mut seen.lost) {
            0 => Ok(None),
            lost => Err(Error::Limit(format!(
                "{lost} exchanges that match `{}` were not kept: read them sooner, watch fewer or without bodies, or raise \
                 run_message.sandbox.limits.bytes_kept",
                self.pattern
            ))),
        }
    }

    /// An exchange, as the script sees it.
    async fn told(&self, record: &Record) -> wit::Exchange {
        let facts = record.known();
        let headers = |headers: &Headers| {
            let headers = headers.iter().map(|(name, value)| shown(name, value, &self.veil));
            headers.map(|header| wit::Header { name: header.name, value: header.value }).collect::<Vec<_>>()
        };
        let (mut request_body, mut response_body) = (None, None);
        if self.bodies {
            request_body = record.request_body(&facts, self.most_bytes).await;
            response_body = record.response_body(&facts, self.most_bytes).await;
        }
        wit::Exchange {
            method: facts.method.to_string(),
            url: self.veil.text(&facts.url).into_owned(),
            request_headers: headers(&facts.request_headers),
            request_body: request_body.filter(|body| !body.is_empty()).map(|body| self.veil.body(body.into())),
            status: facts.status.map(|status| status.as_u16()),
            response_headers: headers(&facts.response_headers),
            response_body: response_body.map(|body| self.veil.body(body.into())),
            failure: facts.failure.map(|failure| self.veil.text(&failure).into_owned()),
            duration_ms: facts.took.unwrap_or_default().as_secs_f64() * 1000.0,
        }
    }
}

impl Weigh for wit::Exchange {
    fn weight(&self) -> usize {
        let headers = self.request_headers.iter().chain(&self.response_headers);
        let headers: usize = headers.map(|header| header.name.len() + header.value.len()).sum();
        self.url.len() + headers + self.request_body.weight() + self.response_body.weight()
    }
}
