//! Requests: what a script does with those of its pages.
//!
//! Interception is switched on for the whole browser, not page by page: requests of frames, of workers and after
//! redirects all come by here, each once. Whether a request may leave the browser is not asked here but by the proxy.

use std::sync::Arc;

use armada_project::UrlPattern;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chromiumoxide_cdp::cdp::browser_protocol::fetch::{
    ContinueRequestParams, FailRequestParams, FulfillRequestParams, HeaderEntry,
};
use chromiumoxide_cdp::cdp::browser_protocol::network::{ErrorReason, Headers, SetExtraHttpHeadersParams};
use chromiumoxide_types::{Binary, Command};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use url::Url;

use super::cdp::{CdpError, Session, decode};
use super::context::Settings;
use super::page::{Page, WAITING};
use crate::capabilities::secrets::Veil;
use crate::contract::Error;
use crate::contract::browser as wit;
use crate::egress::Egress;
use crate::keep::Kept;

/// How many routes a page may have.
const ROUTES: usize = 1_000;

/// What a page does with the requests that match a pattern.
pub(super) struct Route {
    number: u32,
    pattern: UrlPattern,
    action: Arc<Kept<wit::RouteAction>>,
}

/// A request that the browser holds until it is told what to do.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Paused {
    request_id: String,
    pub(super) frame_id: String,
    resource_type: String,
    pub(super) request: PausedRequest,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PausedRequest {
    pub(super) url: String,
    method: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    post_data_entries: Vec<PostData>,
}

#[derive(Deserialize)]
struct PostData {
    bytes: Option<String>,
}

impl Paused {
    pub(super) fn read(params: &RawValue) -> Result<Self, CdpError> {
        decode(params)
    }

    /// The request as a script sees it.
    fn describe(&self) -> wit::Request {
        let request = &self.request;
        let mut body = Vec::new();
        for entry in &request.post_data_entries {
            // Parts that are no data (files) have no bytes here.
            body.extend(entry.bytes.as_deref().and_then(|bytes| BASE64.decode(bytes).ok()).unwrap_or_default());
        }
        let headers = request.headers.iter();
        wit::Request {
            url: request.url.clone(),
            method: request.method.clone(),
            headers: headers.map(|(name, value)| wit::Header { name: name.clone(), value: value.clone() }).collect(),
            body: (!body.is_empty()).then_some(body),
            resource_type: self.resource_type.to_ascii_lowercase(),
        }
    }
}

/// Sends a request on as it is.
fn unchanged() -> wit::RequestOverrides {
    wit::RequestOverrides { url: None, method: None, headers: None, body: None }
}

fn entries(headers: &[wit::Header]) -> Vec<HeaderEntry> {
    headers.iter().map(|header| HeaderEntry::new(&header.name, &header.value)).collect()
}

fn base64(bytes: &[u8]) -> Binary {
    BASE64.encode(bytes).into()
}

fn continued(id: &str, overrides: &wit::RequestOverrides) -> ContinueRequestParams {
    let mut command = ContinueRequestParams::new(id.to_owned());
    command.url.clone_from(&overrides.url);
    command.method.clone_from(&overrides.method);
    command.headers = overrides.headers.as_deref().map(entries);
    command.post_data = overrides.body.as_deref().map(base64);
    command
}

fn fulfilled(id: &str, answer: &wit::Fulfillment) -> FulfillRequestParams {
    let mut command = FulfillRequestParams::new(id.to_owned(), i64::from(answer.status));
    command.response_headers = Some(entries(&answer.headers));
    command.body = Some(base64(&answer.body));
    command
}

fn failed(id: &str) -> FailRequestParams {
    FailRequestParams::new(id.to_owned(), ErrorReason::BlockedByClient)
}

/// Tells the browser what a route decides. What cannot be told fails the request, which would wait for ever.
fn tell_or_fail<C: Command>(browser: &Session, id: &str, command: impl FnOnce() -> C) {
    if browser.is_busy() || browser.begin(&command()).is_err() {
        browser.tell(&failed(id));
    }
}

/// Decides what becomes of a request, or gives it to the script that wants to be asked.
pub(super) fn decide(browser: &Session, paused: Paused, settings: &Settings, page: Option<&Arc<Page>>) {
    let id = paused.request_id.clone();
    match page {
        None => browser.tell(&continued(&id, &unchanged())),
        Some(page) => page.change(|state| {
            let route = state.routes.iter().rev().find(|route| route.pattern.matches(&paused.request.url));
            let action = route.map(|route| route.action.clone());
            match action.as_ref().map(|action| &***action) {
                Some(wit::RouteAction::Ask) => {
                    let veil = settings.veil.clone();
                    let held = HeldRequest { browser: browser.clone(), id: Some(id.clone()), paused, veil };
                    // One too many is dropped, which sends it on.
                    if state.held.len() < WAITING
                        && let Ok(held) = settings.keep.keep(held)
                    {
                        state.held.push_back(held);
                    }
                }
                Some(wit::RouteAction::Abort) => browser.tell(&failed(&id)),
                Some(wit::RouteAction::Fulfill(answer)) if paused.may_be_answered(answer, &settings.veil) => {
                    tell_or_fail(browser, &id, || fulfilled(&id, answer));
                }
                Some(wit::RouteAction::Modify(overrides)) if paused.may_be_sent(overrides, &settings.veil) => {
                    tell_or_fail(browser, &id, || continued(&id, overrides));
                }
                Some(wit::RouteAction::Fulfill(_) | wit::RouteAction::Modify(_)) => {
                    browser.tell(&failed(&id));
                    (settings.notice)(given_away(&paused.request.url));
                }
                None => browser.tell(&continued(&id, &unchanged())),
            }
        }),
    }
}

/// A request that waits for a script's decision. Dropping it sends it on as it is.
pub(crate) struct HeldRequest {
    browser: Session,
    /// Nothing once it has been decided.
    id: Option<String>,
    paused: Paused,
    veil: Arc<Veil>,
}

impl HeldRequest {
    /// How many bytes of it are kept.
    pub(super) fn bytes(&self) -> usize {
        let request = &self.paused.request;
        let headers: usize = request.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        let body = request.post_data_entries.iter().filter_map(|entry| entry.bytes.as_ref()).map(String::len);
        request.url.len() + headers + body.sum::<usize>()
    }

    /// What the page wants to request.
    pub(crate) fn request(&self) -> wit::Request {
        self.paused.describe()
    }

    /// Takes the decision: the browser's session, and the name of the request there.
    fn take(&mut self) -> Result<(Session, String), Error> {
        let id = self.id.take().ok_or_else(|| Error::Invalid("this request has been decided already".to_owned()))?;
        Ok((self.browser.clone(), id))
    }

    /// Decides to send it, changed.
    pub(crate) fn resume(
        &mut self,
        overrides: wit::RequestOverrides,
        egress: &Egress,
    ) -> Result<impl Future<Output = Result<(), Error>> + Send + use<>, Error> {
        check_overrides(&overrides, egress)?;
        if !self.paused.may_be_sent(&overrides, &self.veil) {
            return Err(Error::Denied(given_away(&self.paused.request.url)));
        }
        let (browser, id) = self.take()?;
        Ok(carry_out(browser, continued(&id, &overrides)))
    }

    /// Decides to answer it.
    pub(crate) fn fulfill(
        &mut self,
        answer: wit::Fulfillment,
    ) -> Result<impl Future<Output = Result<(), Error>> + Send + use<>, Error> {
        check_fulfillment(&answer)?;
        if !self.paused.may_be_answered(&answer, &self.veil) {
            return Err(Error::Denied(given_away(&self.paused.request.url)));
        }
        let (browser, id) = self.take()?;
        Ok(carry_out(browser, fulfilled(&id, &answer)))
    }

    /// Decides to fail it.
    pub(crate) fn abort(&mut self) -> Result<impl Future<Output = Result<(), Error>> + Send + use<>, Error> {
        let (browser, id) = self.take()?;
        Ok(carry_out(browser, failed(&id)))
    }
}

impl Drop for HeldRequest {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            self.browser.tell(&continued(&id, &unchanged()));
        }
    }
}

/// Tells the browser what was decided, and waits until it has taken it.
async fn carry_out<C: Command + Send + 'static>(browser: Session, command: C) -> Result<(), Error>
where
    C::Response: Send,
{
    match browser.call(command).await {
        Ok(_) => Ok(()),
        // The page has given up on the request meanwhile.
        Err(CdpError::Refused(message)) if message.contains("Invalid InterceptionId") => {
            Err(Error::Closed("the page no longer wants this request".to_owned()))
        }
        Err(CdpError::Refused(message)) => Err(Error::Invalid(message)),
        Err(error) => Err(error.into()),
    }
}

fn check_overrides(overrides: &wit::RequestOverrides, egress: &Egress) -> Result<(), Error> {
    if let Some(url) = &overrides.url {
        let url = Url::parse(url).map_err(|error| Error::Invalid(format!("{url:?} is no URL: {error}")))?;
        egress.allow(&url)?;
    }
    if let Some(method) = overrides.method.as_deref().filter(|method| !is_token(method)) {
        return Err(Error::Invalid(format!("{method:?} is no method of HTTP")));
    }
    check_headers(overrides.headers.as_deref().unwrap_or_default())
}

fn check_fulfillment(answer: &wit::Fulfillment) -> Result<(), Error> {
    match answer.status {
        100..=599 => check_headers(&answer.headers),
        status => Err(Error::Invalid(format!("{status} is no HTTP status"))),
    }
}

/// Says that what was decided is not done with a request.
fn given_away(url: &str) -> String {
    let place = url.split(['?', '#']).next().unwrap_or_default();
    format!(
        "blocked a request to {place}: secrets were given to pages, so what they send does not go to another server"
    )
}

impl Paused {
    /// Whether it may be sent so: what a page sends, secrets among it, stays with its server.
    fn may_be_sent(&self, overrides: &wit::RequestOverrides, veil: &Veil) -> bool {
        overrides.url.as_deref().is_none_or(|to| veil.lets_go(&self.request.url, to))
    }

    /// Whether it may be answered so, which may have the browser send it again to somewhere else.
    fn may_be_answered(&self, answer: &wit::Fulfillment, veil: &Veil) -> bool {
        let is_sent_again =
            matches!(answer.status, 307 | 308) && !matches!(self.request.method.as_str(), "GET" | "HEAD");
        let mut places = answer.headers.iter().filter(|header| header.name.eq_ignore_ascii_case("location"));
        !is_sent_again || places.all(|to| veil.lets_go(&self.request.url, &to.value))
    }
}

/// Refuses headers that the browser would refuse later, when nobody can be told.
pub(super) fn check_headers(headers: &[wit::Header]) -> Result<(), Error> {
    match headers.iter().find(|header| !is_token(&header.name) || header.value.contains(['\r', '\n', '\0'])) {
        None => Ok(()),
        Some(header) => Err(Error::Invalid(format!("{:?}: {:?} is no header of HTTP", header.name, header.value))),
    }
}

/// Whether a text is a token (RFC 9110, 5.6.2), as methods and names of headers are.
fn is_token(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(allowed)
}

impl Page {
    /// From now on does this with the requests that match.
    pub(crate) fn route(&self, pattern: &str, action: wit::RouteAction) -> Result<u32, Error> {
        let pattern: UrlPattern = pattern.parse()?;
        match &action {
            wit::RouteAction::Modify(overrides) => check_overrides(overrides, &self.context.settings.egress)?,
            wit::RouteAction::Fulfill(answer) => check_fulfillment(answer)?,
            wit::RouteAction::Abort | wit::RouteAction::Ask => {}
        }
        let action = Arc::new(self.context.settings.keep.keep(action)?);
        self.change(|state| {
            if state.routes.len() >= ROUTES {
                return Err(Error::Limit(format!("a page has at most {ROUTES} routes: remove some with `unroute`")));
            }
            let number = state.routes.last().map_or(1, |last| last.number + 1);
            state.routes.push(Route { number, pattern, action });
            Ok(number)
        })
    }

    /// Removes a route.
    pub(crate) fn unroute(&self, number: u32) -> Result<(), Error> {
        self.change(|state| {
            let before = state.routes.len();
            state.routes.retain(|route| route.number != number);
            if state.routes.len() < before {
                Ok(())
            } else {
                Err(Error::NotFound(format!("the page has no route {number}")))
            }
        })
    }

    /// Waits for the next request held by a route.
    pub(crate) async fn next_request(&self, options: wit::WaitOptions) -> Result<Kept<HeldRequest>, Error> {
        let next = self.until(|state| state.held.pop_front());
        self.action_deadline(options.timeout_ms).bound(|| "a request that a route holds".to_owned(), next).await
    }

    /// Sets the headers added to every request of this page.
    pub(crate) async fn set_extra_headers(&self, headers: Vec<wit::Header>) -> Result<(), Error> {
        check_headers(&headers)?;
        let headers = self.context.settings.keep.keep(headers)?;
        self.change(|state| state.extra_headers = headers);
        self.send_extra_headers().await
    }

    /// Tells the browser which headers to add: the context's, and the page's own over them.
    pub(super) async fn send_extra_headers(&self) -> Result<(), Error> {
        let command = self.context.extra_headers_with(&self.state().extra_headers);
        self.session.call(command).await.map_err(|error| self.error(error))?;
        Ok(())
    }
}

/// The command that adds headers to every request of a page.
pub(super) fn extra_headers<'a>(headers: impl IntoIterator<Item = &'a wit::Header>) -> SetExtraHttpHeadersParams {
    let headers = headers.into_iter().map(|header| (header.name.clone(), header.value.clone().into()));
    SetExtraHttpHeadersParams::new(Headers::new(serde_json::Value::Object(headers.collect())))
}
