//! What is done to the browser's traffic, and what is seen of it: rules, modifiers, watches and recordings.
//!
//! The proxy asks about each request whether anybody is interested in it. If nobody is, it goes by as it comes. If
//! somebody is, it has a [`Passage`]: the rules come first, then the modifiers; for the response the other way around;
//! and what was sent and what the browser got is remembered for watches and recordings. Bodies are held only for a
//! modifier that gets them, and kept only where they are watched or recorded.

mod har;
mod message;
mod modifiers;
mod record;
mod rules;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use armada_project::{AgentSettings, Capability, Grant, TrafficSettings, UrlPattern};
use armada_protocol::Attempt;
use armada_protocol::report::Artifact;
use async_trait::async_trait;
use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, HeaderValue, LOCATION};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use url::Url;

use self::har::Extent;
use self::modifiers::Modifiers;
use self::record::{Over, Record, remember_request, remember_response};
use self::rules::{Instead, Rules};
pub(super) use self::watch::Watch;
use super::body::{Body, Unheld, decoded, hold, whole};
use crate::capabilities::monitoring::Monitoring;
use crate::capabilities::secrets::{Secrets, Veil};
use crate::capabilities::{Capabilities, Life, Means};
use crate::coding::{ACCEPTED, Coding};
use crate::contract::Error;
use crate::contract::modifiers::{self as wit, RequestVerdict, ResponseVerdict};
use crate::instance::Template;
use crate::keep::Keep;

/// The name of a job's recording among its artifacts, and what it is.
const RECORDING: &str = "traffic.har";
const HAR: &str = "application/json";
/// How many watches there may be.
const WATCHES: usize = 100;
/// How many bodies are held at once for modifiers, how long one may take to come, and how long it may wait for its turn.
const HELD: usize = 16;
const HOLDING: Duration = Duration::from_secs(60);
const WAITING: Duration = Duration::from_secs(60);
/// How many requests are remembered that were stopped, until somebody asks why.
const STOPS: usize = 100;

/// What is done to the traffic of an agent's browser, and what is seen of it.
pub(crate) struct Traffic {
    grant: Arc<Grant>,
    /// The key of the configuration that asks for something, if one does.
    asked_by: Option<&'static str>,
    monitoring: Arc<Monitoring>,
    rules: Rules,
    modifiers: Modifiers,
    recording: Option<Extent>,
    /// How many bytes of a body are held or kept.
    body_bytes: u64,
    /// Room for what is watched, and for the bodies of a recording.
    watched: Arc<Keep>,
    recorded: Arc<Keep>,
    /// Room for bodies that modifiers are asked about.
    held: Arc<Semaphore>,
    /// What scripts must not see, and what must not be stored.
    from_scripts: Arc<Veil>,
    from_records: Arc<Veil>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    job: Option<Recorded>,
    watches: Vec<Weak<Watch>>,
    /// URLs whose requests were stopped, and why, the newest last.
    stops: VecDeque<(String, String)>,
}

/// The exchanges of a job, and how many more there were.
#[derive(Default)]
struct Recorded {
    records: Vec<Arc<Record>>,
    /// How many bytes those of them take that have ended.
    bytes: Arc<AtomicU64>,
    left_out: u64,
}

impl Recorded {
    /// An exchange begins: it is recorded if there is room. Gives where its bytes count.
    fn begin(&mut self, record: &Arc<Record>, extent: Extent) -> Option<Arc<AtomicU64>> {
        if self.bytes.load(Ordering::Relaxed) >= extent.bytes {
            self.left_out += 1;
            return None;
        }
        self.records.push(record.clone());
        Some(self.bytes.clone())
    }
}

/// Why a request does not go on.
#[derive(Debug)]
pub(super) enum Stopped {
    /// Because that was asked for.
    Asked(String),
    /// Because whoever was to look at it could not.
    Failed(String),
}

/// What becomes of a request.
pub(super) enum Onward {
    /// It is sent, to this URL if that is another.
    Send(Request<Body>, Option<Url>),
    /// The browser gets this.
    Answer(Response<Body>),
}

impl Traffic {
    /// What the configuration says of an agent's traffic. Says what makes no sense in it.
    pub(crate) fn new(means: &Means<'_>, monitoring: Arc<Monitoring>, secrets: &Secrets) -> Result<Self, String> {
        let veils = (secrets.veil(), secrets.veil_of_records());
        Self::with(means.settings, means.grant.clone(), monitoring, veils)
    }

    fn with(
        settings: &AgentSettings,
        grant: Arc<Grant>,
        monitoring: Arc<Monitoring>,
        (from_scripts, from_records): (Arc<Veil>, Arc<Veil>),
    ) -> Result<Self, String> {
        let (limits, record_har) = (grant.limits(), settings.proxy.record_har);
        let TrafficSettings { rules, modifiers } = &settings.traffic;
        let (body_bytes, bytes) = (limits.traffic_body_bytes, limits.artifact_bytes_per_job);
        Ok(Self {
            asked_by: settings.uses_of_proxy().next(),
            monitoring,
            rules: Rules::new(rules)?,
            modifiers: Modifiers::new(modifiers, limits.seconds_per_modification, body_bytes),
            recording: (record_har > 0).then_some(Extent { bodies: record_har > 1, body_bytes, bytes }),
            body_bytes,
            watched: Keep::new(limits.bytes_kept),
            recorded: Keep::new(bytes),
            held: Arc::new(Semaphore::new(HELD)),
            from_scripts,
            from_records,
            state: Mutex::default(),
            grant,
        })
    }

    /// Modifiers are made of this. Says why that cannot be, if any are named.
    pub(crate) fn use_template(&self, template: &Template, capabilities: &Arc<Capabilities>) -> Result<(), String> {
        self.modifiers.use_template(template, capabilities)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches what goes through from now on, as long as the watch is there.
    pub(super) fn watch(&self, pattern: &str, bodies: bool) -> Result<Arc<Watch>, Error> {
        let pattern: UrlPattern = pattern.parse()?;
        let watch = Watch::new(pattern, bodies, self.body_bytes, self.from_scripts.clone(), self.watched.clone());
        let watch = Arc::new(watch);
        let mut state = self.state();
        state.watches.retain(|watch| watch.strong_count() > 0);
        if state.watches.len() >= WATCHES {
            return Err(Error::Limit(format!("there are {WATCHES} watches already: drop some")));
        }
        state.watches.push(Arc::downgrade(&watch));
        Ok(watch)
    }

    /// Why the last request for a URL was stopped, if it was; said once.
    pub(crate) fn stop_of(&self, url: &str) -> Option<String> {
        let mut url = Url::parse(url).ok()?;
        url.set_fragment(None);
        let mut state = self.state();
        let place = state.stops.iter().rposition(|(stopped, _)| *stopped == url.as_str())?;
        state.stops.remove(place).map(|(_, why)| why)
    }

    fn remember_stop(&self, url: &str, why: &str) {
        let mut state = self.state();
        state.stops.retain(|(stopped, _)| stopped != url);
        if state.stops.len() >= STOPS {
            state.stops.pop_front();
        }
        state.stops.push_back((url.to_owned(), why.to_owned()));
    }

    /// The passage of a request, if anybody is interested in it. The URL is one that is allowed: what is none is
    /// refused before.
    pub(super) fn passage(self: &Arc<Self>, url: &str) -> Option<Passage> {
        let url: String = Url::parse(url).ok()?.into();
        let is_changed = self.rules.are_there_for(&url) || self.modifiers.are_asked_about(&url);
        let over = self.remember(&url);
        if !is_changed && over.is_none() {
            return None;
        }
        Some(Passage { traffic: self.clone(), url, asked: None, sends: false, method: Method::GET, over })
    }

    /// What ends the record of an exchange, if somebody wants one.
    fn remember(&self, url: &str) -> Option<Over> {
        // Patterns are looked at without the lock: there may be many.
        let watches: Vec<_> = self.state().watches.iter().filter_map(Weak::upgrade).collect();
        let watches: Vec<_> = watches.into_iter().filter(|watch| watch.is_for(url)).collect();
        let watched = watches.iter().map(|watch| watch.bodies).max();
        let mut state = self.state();
        let recorded = state.job.as_mut().zip(self.recording);
        let bodies = watched.max(recorded.as_ref().map(|(_, extent)| extent.bodies))?;
        let watches = watches.iter().map(Arc::downgrade).collect();
        let keep = if recorded.is_some() { &self.recorded } else { &self.watched };
        let record = Arc::new(Record::begin(bodies.then_some(self.body_bytes), keep.clone(), watches));
        let recorded_bytes = recorded.and_then(|(job, extent)| job.begin(&record, extent));
        Some(Over { record, recorded_bytes })
    }

    /// Holds a body for a modifier, with the room that it takes until the modifier has answered.
    async fn hold(&self, body: Body, most: u64) -> Result<(Bytes, OwnedSemaphorePermit), Stopped> {
        let room = tokio::time::timeout(WAITING, self.held.clone().acquire_owned()).await;
        let Ok(Ok(room)) = room else {
            let why =
                format!("{HELD} bodies are held for modifiers, and none was done with within {} s", WAITING.as_secs());
            return Err(Stopped::Failed(why));
        };
        match tokio::time::timeout(HOLDING, hold(body, most)).await {
            Ok(held) => Ok((held.map_err(unheld)?, room)),
            Err(_) => Err(Stopped::Failed(format!("its body did not come within {} s", HOLDING.as_secs()))),
        }
    }
}

#[async_trait]
impl Life for Traffic {
    async fn open(&self) -> Result<(), Error> {
        let Some(key) = self.asked_by else { return Ok(()) };
        self.grant.check_capability(Capability::Proxy.name()).map_err(|denied| {
            Error::Denied(format!("config_proxy.{key} is there, which needs the capability `proxy`: {denied}"))
        })
    }

    fn begin_job(&self, _attempt: Attempt) {
        let mut state = self.state();
        state.job = self.recording.map(|_| Recorded::default());
        state.stops.clear();
    }

    async fn end_job(&self, _after_fault: bool) -> bool {
        let job = self.state().job.take();
        if let (Some(extent), Some(Recorded { records, left_out, .. })) = (self.recording, job) {
            let extent = Extent { bytes: self.monitoring.room_for_artifact(RECORDING), ..extent };
            let document = har::document(&records, left_out, extent, &self.from_records).await;
            let artifact =
                Artifact { name: RECORDING.to_owned(), media_type: HAR.to_owned(), bytes: document.into_bytes() };
            if let Err(error) = self.monitoring.save_artifact(artifact) {
                self.monitoring.notice(format!("the recording of the traffic is not kept: {}", error.into_message()));
            }
        }
        true
    }

    async fn close(&self) {
        self.modifiers.close().await;
    }
}

/// A request on its way there and back.
pub(super) struct Passage {
    traffic: Arc<Traffic>,
    /// Where it goes, as scripts see it: without the port that everybody uses.
    url: String,
    /// What modifiers were shown of it.
    asked: Option<wit::Request>,
    /// Whether the browser sends anything with it.
    sends: bool,
    /// How it is sent.
    method: Method,
    /// What ends its record.
    over: Option<Over>,
}

impl Passage {
    /// The request, before it is sent.
    pub(super) async fn request(&mut self, request: Request<Body>) -> Result<Onward, Stopped> {
        let (mut parts, mut body) = request.into_parts();
        let mut to = None;
        let traffic = self.traffic.clone();
        self.sends = !matches!(parts.method, Method::GET | Method::HEAD);
        let instead = traffic.rules.request(&self.url, &mut parts.headers);
        self.note(|record, url| record.request(url, &parts));
        match instead {
            Some(Instead::Block(reason)) => return Err(self.stopped(Stopped::Asked(reason))),
            Some(Instead::Answer(response)) => return self.answered(response),
            None => {}
        }
        if traffic.modifiers.are_asked_about(&self.url) {
            match self.ask_about_request(&mut parts, &mut body).await {
                Ok(Asked::Answer(response)) => return self.answered(response),
                Ok(Asked::Send(url)) => to = url,
                Err(stopped) => return Err(self.stopped(stopped)),
            }
        }
        self.method = parts.method.clone();
        let sent_to = to.as_ref().map_or_else(|| self.url.clone(), Url::to_string);
        self.note(|record, _| record.request(&sent_to, &parts));
        if let Some(over) = &self.over {
            body = remember_request(body, over.record.clone());
        }
        Ok(Onward::Send(Request::from_parts(parts, body), to))
    }

    /// The browser gets this, and nothing is sent.
    fn answered(&mut self, response: Response<Body>) -> Result<Onward, Stopped> {
        if self.gives_away(response.status(), response.headers()) {
            return Err(self.stopped(given_away()));
        }
        Ok(Onward::Answer(self.remembered(response)))
    }

    /// Whether this has the browser send what it has sent, in which secrets may be, to another server.
    fn gives_away(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        let is_sent_again = matches!(status, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
        let veil = &self.traffic.from_scripts;
        let lets_go = |to: &HeaderValue| veil.lets_go(&self.url, &String::from_utf8_lossy(to.as_bytes()));
        self.sends && is_sent_again && !headers.get_all(LOCATION).iter().all(lets_go)
    }

    async fn ask_about_request(&mut self, parts: &mut http::request::Parts, body: &mut Body) -> Result<Asked, Stopped> {
        let (modifiers, veil) = (&self.traffic.modifiers, &self.traffic.from_scripts);
        let (mut held, mut carries_secret) = (None, false);
        let mut _room = None;
        if let Some(most) = modifiers.most_bytes_of(&self.url) {
            let (bytes, room) = self.traffic.hold(std::mem::replace(body, whole(Bytes::new())), most).await?;
            _room = Some(room);
            held = (!bytes.is_empty()).then(|| veil.body(bytes.to_vec()));
            carries_secret = held.as_ref().is_some_and(|shown| *shown != *bytes);
            *body = whole(bytes);
            if parts.headers.contains_key(ACCEPT_ENCODING) {
                parts.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(ACCEPTED));
            }
        }
        let request = wit::Request {
            method: parts.method.to_string(),
            url: veil.text(&self.url).into_owned(),
            headers: message::changeable(&parts.headers, veil),
            body: held,
        };
        self.asked = Some(request.clone());
        match modifiers.request(&self.url, request.clone()).await? {
            RequestVerdict::Unchanged => Ok(Asked::Send(None)),
            RequestVerdict::Blocked(reason) => Err(Stopped::Asked(reason)),
            RequestVerdict::Answered(response) => {
                Ok(Asked::Answer(message::answer(response).map_err(|why| self.unusable(&why))?))
            }
            RequestVerdict::Changed(given) => {
                // What carries a secret goes where the page has sent it, and nowhere else.
                if carries_secret && given.body != request.body {
                    let why = "its body has a secret in it, which a modifier cannot change";
                    return Err(Stopped::Failed(why.to_owned()));
                }
                let changed = message::change_request(parts, &request, given.clone(), veil);
                let (changed, to) = changed.map_err(|why| self.unusable(&why))?;
                if let Some(to) = to.as_ref().filter(|to| !veil.lets_go(&self.url, to.as_str())) {
                    let why = format!("secrets were given to pages, so requests are not sent to {to} instead");
                    return Err(Stopped::Failed(why));
                }
                if let Some(changed) = changed {
                    *body = changed;
                }
                self.asked = Some(given);
                Ok(Asked::Send(to))
            }
        }
    }

    /// The response, before the browser gets it.
    pub(super) async fn response(&mut self, response: Response<Body>) -> Result<Response<Body>, Stopped> {
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(self.remembered(response));
        }
        let (mut parts, mut body) = response.into_parts();
        let led = (parts.status, parts.headers.get(LOCATION).cloned());
        if let Some(request) = self.asked.take() {
            let asked = self.ask_about_response(&request, &mut parts, &mut body).await;
            if let Err(stopped) = asked {
                return Err(self.stopped(stopped));
            }
        }
        self.traffic.rules.response(&self.url, &mut parts.headers);
        let is_ours = (parts.status, parts.headers.get(LOCATION)) != (led.0, led.1.as_ref());
        if is_ours && self.gives_away(parts.status, &parts.headers) {
            return Err(self.stopped(given_away()));
        }
        Ok(self.remembered(Response::from_parts(parts, body)))
    }

    async fn ask_about_response(
        &self,
        request: &wit::Request,
        parts: &mut http::response::Parts,
        body: &mut Body,
    ) -> Result<(), Stopped> {
        let (modifiers, veil) = (&self.traffic.modifiers, &self.traffic.from_scripts);
        let has_body =
            self.method != Method::HEAD && !matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let (mut decoded_headers, mut inside, mut _room) = (parts.headers.clone(), None, None);
        if let Some(most) = modifiers.most_bytes_of(&self.url).filter(|_| has_body) {
            let coding = Coding::take(&mut decoded_headers);
            if decoded_headers.contains_key(CONTENT_ENCODING) {
                return Err(Stopped::Failed("its body is compressed in a way that is not known here".to_owned()));
            }
            let (bytes, room) = self.traffic.hold(std::mem::replace(body, whole(Bytes::new())), most).await?;
            _room = Some(room);
            *body = whole(bytes.clone());
            inside = Some(decoded(bytes, coding, most).await.map_err(unheld)?);
        }
        let response = wit::Response {
            status: parts.status.as_u16(),
            headers: message::changeable(&decoded_headers, veil),
            body: inside.as_ref().map(|inside| veil.body(inside.to_vec())),
        };
        match modifiers.response(&self.url, request, response.clone()).await? {
            ResponseVerdict::Unchanged => Ok(()),
            ResponseVerdict::Blocked(reason) => Err(Stopped::Asked(reason)),
            ResponseVerdict::Changed(given) => {
                if let Some(inside) = inside {
                    // From here on, it is not compressed.
                    decoded_headers.insert(CONTENT_LENGTH, inside.len().into());
                    (parts.headers, *body) = (decoded_headers, whole(inside));
                }
                let changed = message::change_response(parts, &response, given, veil);
                if let Some(changed) = changed.map_err(|why| self.unusable(&why))? {
                    *body = changed;
                }
                Ok(())
            }
        }
    }

    /// Says that what modifiers have made of a message is none. Which of them is to blame is not known if there are more.
    fn unusable(&self, why: &str) -> Stopped {
        let names = self.traffic.modifiers.names_of_asked(&self.url);
        Stopped::Failed(format!("what the modifier {names} has made of it cannot be used: {why}"))
    }

    /// What the browser gets, which ends the record when it has gone by.
    fn remembered(&mut self, response: Response<Body>) -> Response<Body> {
        let Some(over) = self.over.take() else { return response };
        let (parts, body) = response.into_parts();
        over.record.response(&parts);
        Response::from_parts(parts, remember_response(body, over))
    }

    /// It has no response, for this reason.
    pub(super) fn failed(&self, reason: String) {
        self.note(|record, _| record.fail(reason));
    }

    /// It does not go on, for this reason.
    pub(super) fn stopped(&self, stopped: Stopped) -> Stopped {
        let (Stopped::Asked(reason) | Stopped::Failed(reason)) = &stopped;
        self.failed(reason.clone());
        self.traffic.remember_stop(&self.url, reason);
        stopped
    }

    fn note(&self, note: impl FnOnce(&Record, &str)) {
        if let Some(over) = &self.over {
            note(&over.record, &self.url);
        }
    }
}

/// What modifiers make of a request that is not stopped.
enum Asked {
    Send(Option<Url>),
    Answer(Response<Body>),
}

fn given_away() -> Stopped {
    Stopped::Failed("secrets were given to pages, so what they send is not redirected to another server".to_owned())
}

fn unheld(unheld: Unheld) -> Stopped {
    Stopped::Failed(unheld.to_string())
}
