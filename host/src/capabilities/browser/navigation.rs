//! Going from document to document.
//!
//! Nothing here asks "are we there yet?": who navigates notes what is known before, acts, and looks at every event
//! after. What was true before the act therefore never counts as its result, and what happens during it is never
//! missed.

use std::time::Duration;

use armada_project::UrlPattern;
use chromiumoxide_cdp::cdp::browser_protocol::page::{
    GetNavigationHistoryParams, NavigateParams, NavigateToHistoryEntryParams, ReloadParams, StopLoadingParams,
};
use serde::Deserialize;

use super::page::Page;
use crate::contract::Error;
use crate::contract::browser as wit;
use crate::deadline::Deadline;

/// How long a navigation that a page has asked for may take to begin before it counts as come to nothing (such as a
/// `mailto:` link).
const REQUEST: Duration = Duration::from_millis(200);
/// How long the browser may take to show its page about a navigation that has failed. It always does, sooner or later.
const ERROR_PAGE: Duration = Duration::from_secs(10);
/// How long a browser that ends may go on after it has given up a navigation.
const GIVING_UP: Duration = Duration::from_millis(500);
/// A navigation that was given up: the page stays where it was.
const ABORTED: &str = "net::ERR_ABORTED";

/// An answer with an error status and without a body: the browser shows a page of its own, but an answer it is.
const NO_BODY: &str = "net::ERR_HTTP_RESPONSE_CODE_FAILURE";
/// What is said when the browser does not say why it shows an error page.
const UNREACHABLE: &str = "the server cannot be reached";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Navigated {
    loader_id: Option<String>,
    error_text: Option<String>,
    #[serde(default)]
    is_download: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct History {
    current_index: i64,
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    id: i64,
}

/// A state of loading in words.
fn name(state: wit::LoadState) -> &'static str {
    match state {
        wit::LoadState::Commit => "commit",
        wit::LoadState::DomContentLoaded => "DOMContentLoaded",
        wit::LoadState::Load => "load",
        wit::LoadState::NetworkIdle => "network idle",
    }
}

impl Page {
    /// Goes to a URL.
    pub(crate) async fn goto(
        &self,
        url: &str,
        options: wit::NavigationOptions,
    ) -> Result<Option<wit::Response>, Error> {
        let url = self.context.settings.egress.parse(url)?;
        let deadline = self.navigation_deadline(options.timeout_ms);
        let until = options.wait_until.unwrap_or(wit::LoadState::Load);
        let mut navigate = NavigateParams::new(url.as_str());
        navigate.referrer = options.referer;
        let before = self.navigations();
        let going = async {
            let navigated: Navigated = self.session.call_as(&navigate).await.map_err(|error| self.error(error))?;
            if let Some(problem) = navigated.error_text.filter(|problem| problem != NO_BODY) {
                let at = match problem.as_str() {
                    ABORTED => {
                        self.stays().await?;
                        None
                    }
                    _ => self.failed_at(navigated.loader_id.as_deref()).await,
                };
                return Err(self.unreachable(url.as_str(), at.as_deref(), &problem, navigated.is_download));
            }
            let Some(loader) = navigated.loader_id else {
                // Another place in the same document, whose event may still be on its way.
                self.until(|state| (state.frames.main()?.navigations > before).then_some(())).await?;
                return Ok(None);
            };
            // Once our document has been there, whatever document is there by then counts: it may send itself on.
            let mut arrived = false;
            self.until(|state| {
                let frame = state.frames.main()?;
                arrived |= frame.loader == loader;
                (arrived && frame.has_loaded(until)).then_some(())
            })
            .await?;
            Ok(self.response(&loader))
        };
        let gone = deadline.bound(|| format!("{url} to reach {}", name(until)), going).await;
        if matches!(gone, Err(Error::Timeout(_))) {
            self.session.tell(&StopLoadingParams::default());
        }
        gone
    }

    /// Loads the page again.
    pub(crate) async fn reload(&self, options: wit::NavigationOptions) -> Result<Option<wit::Response>, Error> {
        let before = self.navigations();
        let deadline = self.navigation_deadline(options.timeout_ms);
        let reload = async {
            self.session.call(ReloadParams::default()).await.map_err(|error| self.error(error))?;
            self.arrive(before, options.wait_until).await
        };
        deadline.bound(|| "the page to load again".to_owned(), reload).await
    }

    /// Goes back in the page's history.
    pub(crate) async fn go_back(&self, options: wit::NavigationOptions) -> Result<Option<wit::Response>, Error> {
        self.go(-1, options).await
    }

    /// Goes forward in the page's history.
    pub(crate) async fn go_forward(&self, options: wit::NavigationOptions) -> Result<Option<wit::Response>, Error> {
        self.go(1, options).await
    }

    async fn go(&self, by: i64, options: wit::NavigationOptions) -> Result<Option<wit::Response>, Error> {
        let before = self.navigations();
        let deadline = self.navigation_deadline(options.timeout_ms);
        let go = async {
            let history: History = self
                .session
                .call_as(&GetNavigationHistoryParams::default())
                .await
                .map_err(|error| self.error(error))?;
            let place = usize::try_from(history.current_index + by).ok();
            let Some(entry) = place.and_then(|place| history.entries.get(place)) else { return Ok(None) };
            self.session.call(NavigateToHistoryEntryParams::new(entry.id)).await.map_err(|error| self.error(error))?;
            self.arrive(before, options.wait_until).await
        };
        deadline.bound(|| "the page to go through its history".to_owned(), go).await
    }

    /// How often the main frame has navigated so far.
    fn navigations(&self) -> u64 {
        self.state().frames.main().map_or(0, |frame| frame.navigations)
    }

    /// Waits until the main frame has navigated since, and has loaded so far.
    async fn arrive(&self, before: u64, until: Option<wit::LoadState>) -> Result<Option<wit::Response>, Error> {
        let until = until.unwrap_or(wit::LoadState::Load);
        let (loader, url, failed) = self
            .until(|state| {
                let frame = state.frames.main()?;
                let arrived = frame.navigations > before && frame.has_loaded(until);
                arrived.then(|| (frame.loader.clone(), frame.url.clone(), frame.failed))
            })
            .await?;
        let response = self.response(&loader);
        if failed && response.is_none() {
            return Err(self.unreachable(&url, None, UNREACHABLE, false));
        }
        Ok(response)
    }

    /// The answer that a document of the main frame came with.
    fn response(&self, loader: &str) -> Option<wit::Response> {
        let state = self.state();
        state.responses.iter().rev().find(|(of, _)| of == loader).map(|(_, response)| response.clone())
    }

    /// Waits until the page's URL matches a pattern.
    pub(crate) async fn wait_for_url(&self, pattern: &str, options: wit::NavigationOptions) -> Result<(), Error> {
        let pattern: UrlPattern = pattern.parse()?;
        let until = options.wait_until.unwrap_or(wit::LoadState::Load);
        let deadline = self.navigation_deadline(options.timeout_ms);
        let arrived = self.until(|state| {
            let frame = state.frames.main()?;
            (pattern.matches(&frame.url) && frame.has_loaded(until)).then_some(())
        });
        deadline.bound(|| format!("a URL like {pattern}; it is {}", self.url()), arrived).await
    }

    /// Waits until the page's document has loaded so far.
    pub(crate) async fn wait_for_load_state(
        &self,
        until: wit::LoadState,
        options: wit::WaitOptions,
    ) -> Result<(), Error> {
        let deadline = self.navigation_deadline(options.timeout_ms);
        let loaded = self.until(|state| state.frames.main()?.has_loaded(until).then_some(()));
        deadline.bound(|| format!("{} to reach {}", self.url(), name(until)), loaded).await
    }

    /// Replaces the page's HTML.
    pub(crate) async fn set_content(&self, html: &str, options: wit::NavigationOptions) -> Result<(), Error> {
        let deadline = self.navigation_deadline(options.timeout_ms);
        let until = options.wait_until.unwrap_or(wit::LoadState::Load);
        let set = async {
            let main = self.change(|state| {
                let main = state.frames.main_id().clone();
                state.frames.load_restarted(&main);
                main
            });
            self.ask::<()>(&main, "write", vec![html.into()]).await.map_err(|error| self.error(error))?;
            self.until(|state| state.frames.main()?.has_loaded(until).then_some(())).await
        };
        deadline.bound(|| format!("the content to reach {}", name(until)), set).await
    }

    /// Lets what an act has set off get going, and waits until every navigation that began with it has committed or
    /// come to nothing.
    pub(super) async fn after_act(&self, deadline: Deadline) -> Result<(), Error> {
        let main = self.state().frames.main_id().clone();
        let settle = async {
            // An error means that the document is going already.
            let _ = self.ask::<()>(&main, "settle", Vec::new()).await;
            let begun = self.until(|state| (!state.frames.any_requested()).then_some(()));
            if tokio::time::timeout(REQUEST, begun).await.is_err() {
                self.change(|state| state.frames.forget_requests());
            }
            // A page that the act has closed navigates no more.
            match self.until(|state| (!state.frames.any_navigating()).then_some(())).await {
                Err(Error::Closed(_)) | Ok(()) => Ok(()),
                Err(error) => Err(error),
            }
        };
        deadline.bound(|| "the navigation that this has set off".to_owned(), settle).await
    }

    /// Forgets navigations that are under way: what begins from now on belongs to the next act.
    pub(super) fn before_act(&self) {
        self.change(|state| state.frames.forget_navigations());
    }

    /// Fails if the browser ends: while it does, it gives up what is under way.
    async fn stays(&self) -> Result<(), Error> {
        let gone = self.until(|_| None::<()>);
        tokio::time::timeout(GIVING_UP, gone).await.unwrap_or(Ok(()))
    }

    /// The URL that a navigation of the main frame has failed at, once the browser's own page about it is there: after
    /// redirects, it is another than the one that was to be gone to.
    async fn failed_at(&self, loader: Option<&str>) -> Option<String> {
        let failed = self.until(|state| {
            let frame = state.frames.main()?;
            (frame.failed && Some(frame.loader.as_str()) == loader).then(|| frame.url.clone())
        });
        tokio::time::timeout(ERROR_PAGE, failed).await.ok()?.ok()
    }

    /// Why a URL could not be gone to, if it failed at this one.
    fn unreachable(&self, url: &str, at: Option<&str>, problem: &str, is_download: bool) -> Error {
        if is_download {
            return Error::Other(format!("{url} is a download: wait_for_download has it"));
        }
        let egress = &self.context.settings.egress;
        let at = at.unwrap_or(url);
        let on_the_way =
            if at == url { url.to_owned() } else { format!("{url} was blocked on the way: it leads to {at}") };
        if let Some(refusal) = egress.refusal(at) {
            return Error::Denied(format!("{on_the_way}: {refusal}"));
        }
        // The browser knows only that the answer was none.
        if let Some(why) = self.context.settings.traffic.stop_of(at) {
            return Error::Denied(format!("{on_the_way}: {why}"));
        }
        match problem {
            "net::ERR_BLOCKED_BY_CLIENT" => Error::Denied(format!("{url} was blocked by a route")),
            ABORTED => Error::Unavailable(format!("{url}: the navigation was given up, for another or a download")),
            // The browser knows only that the proxy did not answer; the proxy knows why.
            problem => match egress.failure(at) {
                Some(Error::Denied(reason)) => Error::Denied(format!("{on_the_way}: {reason}")),
                Some(Error::Unavailable(reason)) => Error::Unavailable(format!("{url}: {problem} ({reason})")),
                _ => Error::Unavailable(format!("{url}: {problem}")),
            },
        }
    }
}
