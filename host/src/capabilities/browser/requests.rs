//! Requests: which may leave the browser, and what a script does with those of its pages.
//!
//! Interception is switched on for the whole browser, not page by page: frames, popups, dedicated, shared and service
//! workers, redirects and beacons all come by here, each once. The grant is asked first; only what it allows is shown to
//! routes. WebSockets do not come by here; like everything else, they go through the `gateway`.

use std::sync::Arc;

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
use super::pattern::UrlPattern;
use crate::contract::Error;
use crate::contract::browser as wit;
use crate::egress::Egress;

/// How many routes a page may have.
const ROUTES: usize = 1_000;

/// What a page does with the requests that match a pattern.
pub(super) struct Route {
    number: u32,
    pattern: UrlPattern,
    action: wit::RouteAction,
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

/// What is to become of a paused request.
pub(super) enum Decision {
    Continue(wit::RequestOverrides),
    Fulfill(wit::Fulfillment),
    Abort,
}

/// Sends a request on as it is.
pub(super) fn unchanged() -> wit::RequestOverrides {
    wit::RequestOverrides { url: None, method: None, headers: None, body: None }
}

fn entries(headers: Vec<wit::Header>) -> Vec<HeaderEntry> {
    headers.into_iter().map(|header| HeaderEntry::new(header.name, header.value)).collect()
}

fn base64(bytes: Vec<u8>) -> Binary {
    BASE64.encode(bytes).into()
}

impl Decision {
    fn continued(id: &str, overrides: wit::RequestOverrides) -> ContinueRequestParams {
        let mut command = ContinueRequestParams::new(id.to_owned());
        command.url = overrides.url;
        command.method = overrides.method;
        command.headers = overrides.headers.map(entries);
        command.post_data = overrides.body.map(base64);
        command
    }

    fn fulfilled(id: &str, answer: wit::Fulfillment) -> FulfillRequestParams {
        let mut command = FulfillRequestParams::new(id.to_owned(), i64::from(answer.status));
        command.response_headers = Some(entries(answer.headers));
        command.body = Some(base64(answer.body));
        command
    }

    fn failed(id: &str) -> FailRequestParams {
        FailRequestParams::new(id.to_owned(), ErrorReason::BlockedByClient)
    }

    /// Tells the browser, without waiting for it.
    pub(super) fn tell(self, browser: &Session, id: &str) {
        match self {
            Self::Continue(overrides) => browser.tell(&Self::continued(id, overrides)),
            Self::Fulfill(answer) => browser.tell(&Self::fulfilled(id, answer)),
            Self::Abort => browser.tell(&Self::failed(id)),
        }
    }
}

/// Decides what becomes of a request, or gives it to the script that wants to be asked.
pub(super) fn decide(browser: &Session, paused: Paused, settings: &Settings, page: Option<&Arc<Page>>) {
    let id = paused.request_id.clone();
    if let Some(refusal) = settings.egress.refusal(&paused.request.url) {
        (settings.notice)(refusal);
        return Decision::Abort.tell(browser, &id);
    }
    let decision = match page {
        None => Some(Decision::Continue(unchanged())),
        Some(page) => page.change(|state| {
            let route = state.routes.iter().rev().find(|route| route.pattern.matches(&paused.request.url));
            match route.map(|route| route.action.clone()) {
                None => Some(Decision::Continue(unchanged())),
                Some(wit::RouteAction::Abort) => Some(Decision::Abort),
                Some(wit::RouteAction::Fulfill(answer)) => Some(Decision::Fulfill(answer)),
                Some(wit::RouteAction::Modify(overrides)) => Some(Decision::Continue(overrides)),
                Some(wit::RouteAction::Ask) if state.held.len() < WAITING => {
                    state.held.push_back(HeldRequest { browser: browser.clone(), id: Some(id.clone()), paused });
                    None
                }
                Some(wit::RouteAction::Ask) => Some(Decision::Continue(unchanged())),
            }
        }),
    };
    if let Some(decision) = decision {
        decision.tell(browser, &id);
    }
}

/// A request that waits for a script's decision. Dropping it sends it on as it is.
pub(crate) struct HeldRequest {
    browser: Session,
    /// Nothing once it has been decided.
    id: Option<String>,
    paused: Paused,
}

impl HeldRequest {
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
        let (browser, id) = self.take()?;
        Ok(carry_out(browser, Decision::continued(&id, overrides)))
    }

    /// Decides to answer it.
    pub(crate) fn fulfill(
        &mut self,
        answer: wit::Fulfillment,
    ) -> Result<impl Future<Output = Result<(), Error>> + Send + use<>, Error> {
        check_fulfillment(&answer)?;
        let (browser, id) = self.take()?;
        Ok(carry_out(browser, Decision::fulfilled(&id, answer)))
    }

    /// Decides to fail it.
    pub(crate) fn abort(&mut self) -> Result<impl Future<Output = Result<(), Error>> + Send + use<>, Error> {
        let (browser, id) = self.take()?;
        Ok(carry_out(browser, Decision::failed(&id)))
    }
}

impl Drop for HeldRequest {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            Decision::Continue(unchanged()).tell(&self.browser, &id);
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
        Err(CdpError::Closed) => Err(Error::Closed("the browser is gone".to_owned())),
        Err(error) => Err(Error::Other(error.to_string())),
    }
}

fn check_overrides(overrides: &wit::RequestOverrides, egress: &Egress) -> Result<(), Error> {
    if let Some(url) = &overrides.url {
        let url = Url::parse(url).map_err(|error| Error::Invalid(format!("{url:?} is no URL: {error}")))?;
        egress.allow(&url)?;
    }
    Ok(())
}

fn check_fulfillment(answer: &wit::Fulfillment) -> Result<(), Error> {
    match answer.status {
        100..=599 => Ok(()),
        status => Err(Error::Invalid(format!("{status} is no HTTP status"))),
    }
}

impl Page {
    /// From now on does this with the requests that match.
    pub(crate) fn route(&self, pattern: &str, action: wit::RouteAction) -> Result<u32, Error> {
        let pattern = UrlPattern::parse(pattern)?;
        match &action {
            wit::RouteAction::Modify(overrides) => check_overrides(overrides, &self.context.settings.egress)?,
            wit::RouteAction::Fulfill(answer) => check_fulfillment(answer)?,
            wit::RouteAction::Abort | wit::RouteAction::Ask => {}
        }
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
    pub(crate) async fn next_request(&self, options: wit::WaitOptions) -> Result<HeldRequest, Error> {
        let next = self.until(|state| state.held.pop_front());
        self.action_deadline(options.timeout_ms).bound(|| "a request that a route holds".to_owned(), next).await
    }

    /// Sets the headers added to every request of this page.
    pub(crate) async fn set_extra_headers(&self, headers: Vec<wit::Header>) -> Result<(), Error> {
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
