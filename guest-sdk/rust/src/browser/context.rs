//! The browser and its contexts.

use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;

use super::*;
use crate::__bindings::armada::browser::browser as wit;
use crate::__bindings::armada::types::types::Error as WitError;
use crate::operation::Operation;
use crate::tasks::milliseconds;

/// The agent's browser. It is launched when it is first used and kept between jobs.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Browser {}

impl Browser {
    /// Launches the browser now rather than when it is first used, and says what it is.
    #[track_caller]
    pub fn launch(&self) -> Operation<(), BrowserInfo> {
        Operation::new((), |()| wit::launch())
    }

    /// Opens an empty page in the context of the current job: the host closes it with the job.
    #[track_caller]
    pub fn new_page(&self) -> Operation<(), Page> {
        Operation::new((), |()| async {
            let context = wit::current_context().await?;
            context.new_page().await.map(Page::from)
        })
    }

    /// The context of the current job, or the agent's own while its context is opened or closed. The host closes it
    /// with the job (or the agent).
    #[track_caller]
    pub fn current_context(&self) -> Operation<(), BrowserContext> {
        Operation::new((), |()| async { wit::current_context().await.map(BrowserContext::from) })
    }

    /// Makes a context of its own, which shares nothing with others. One that is made while a job runs is closed with
    /// the job.
    #[track_caller]
    pub fn new_context(&self) -> Operation<ContextOptions, BrowserContext> {
        Operation::new(ContextOptions::default(), |options| async {
            wit::new_context(options).await.map(BrowserContext::from)
        })
    }
}

/// An isolated session of the browser: cookies, storage and cache. It closes when its last clone is dropped, unless it
/// is the current job's.
#[derive(Clone, Debug)]
pub struct BrowserContext {
    handle: Rc<wit::BrowserContext>,
}

impl From<wit::BrowserContext> for BrowserContext {
    fn from(handle: wit::BrowserContext) -> Self {
        Self { handle: Rc::new(handle) }
    }
}

impl BrowserContext {
    /// Opens an empty page.
    #[track_caller]
    pub fn new_page(&self) -> Operation<(), Page> {
        let context = self.handle.clone();
        Operation::new((), |()| async move { context.new_page().await.map(Page::from) })
    }

    /// All cookies of the context.
    #[track_caller]
    pub fn cookies(&self) -> Operation<(), Vec<Cookie>> {
        self.cookies_for(Vec::<String>::new())
    }

    /// The cookies that would be sent to these URLs.
    #[track_caller]
    pub fn cookies_for(&self, urls: impl IntoIterator<Item = impl Into<String>>) -> Operation<(), Vec<Cookie>> {
        let context = self.handle.clone();
        let urls = urls.into_iter().map(Into::into).collect();
        Operation::new((), |()| async move { context.cookies(urls).await })
    }

    /// Sets cookies.
    #[track_caller]
    pub fn set_cookies(&self, cookies: Vec<Cookie>) -> Operation<(), ()> {
        let context = self.handle.clone();
        Operation::new((), |()| async move { context.set_cookies(cookies).await })
    }

    /// Removes every cookie.
    #[track_caller]
    pub fn clear_cookies(&self) -> Operation<(), ()> {
        let context = self.handle.clone();
        Operation::new((), |()| async move { context.clear_cookies().await })
    }

    /// Cookies and local storage, to begin another context with: see [`Browser::new_context`].
    #[track_caller]
    pub fn storage_state(&self) -> Operation<(), Value> {
        let context = self.handle.clone();
        Operation::new((), |()| async move {
            let state = context.storage_state().await?;
            serde_json::from_str(&state).map_err(|error| WitError::Other(error.to_string()))
        })
    }

    /// Adds the cookies and local storage of a state that [`storage_state`](Self::storage_state) gave.
    #[track_caller]
    pub fn set_storage_state(&self, state: &Value) -> Operation<(), ()> {
        let context = self.handle.clone();
        let state = state.to_string();
        Operation::new((), |()| async move { context.set_storage_state(state).await })
    }

    /// Sets the headers added to every request of the context's pages.
    #[track_caller]
    pub fn set_extra_headers(&self, headers: Vec<Header>) -> Operation<(), ()> {
        let context = self.handle.clone();
        Operation::new((), |()| async move { context.set_extra_headers(headers).await })
    }

    /// Runs this script in every document of pages opened afterwards, before the page's own scripts.
    #[track_caller]
    pub fn add_init_script(&self, script: impl Into<String>) -> Operation<(), ()> {
        let context = self.handle.clone();
        let script = script.into();
        Operation::new((), |()| async move { context.add_init_script(script).await })
    }

    /// The time that acts, reads and waits of the context's pages may take where they are given none.
    pub fn set_default_timeout(&self, time: Duration) {
        self.handle.set_default_timeouts(Some(milliseconds(time)), None);
    }

    /// The time that navigations of the context's pages may take where they are given none.
    pub fn set_default_navigation_timeout(&self, time: Duration) {
        self.handle.set_default_timeouts(None, Some(milliseconds(time)));
    }

    /// Closes the context and its pages.
    #[track_caller]
    pub fn close(&self) -> Operation<(), ()> {
        let context = self.handle.clone();
        Operation::new((), |()| async move { context.close().await })
    }
}
