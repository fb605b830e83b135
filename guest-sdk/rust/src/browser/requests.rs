//! Routes: what becomes of a page's requests.

use std::rc::Rc;

use super::*;
use crate::__bindings::armada::browser::browser as wit;
use crate::operation::Operation;

/// What to do with the requests that match a pattern: choose one of the functions and await it. Of several matching
/// routes, the newest decides. Each gives the route's number, for [`Page::unroute`].
///
/// ```no_run
/// # async fn f(page: armada::browser::Page) -> armada::Result<()> {
/// page.route("**/*.{png,jpg}").abort().await?;
/// page.route("**/api/prices").fulfill_json(&armada::json!([1, 2, 3])).await?;
/// # Ok(())
/// # }
/// ```
pub struct Route {
    page: Rc<wit::Page>,
    pattern: String,
}

impl Route {
    pub(super) fn new(page: Rc<wit::Page>, pattern: String) -> Self {
        Self { page, pattern }
    }

    /// Fails them as blocked.
    #[track_caller]
    pub fn abort(self) -> Operation<(), u32> {
        self.set(wit::RouteAction::Abort)
    }

    /// Answers them with this.
    #[track_caller]
    pub fn fulfill(self, answer: Fulfillment) -> Operation<(), u32> {
        self.set(wit::RouteAction::Fulfill(answer))
    }

    /// Answers them with this JSON.
    #[track_caller]
    pub fn fulfill_json(self, value: &serde_json::Value) -> Operation<(), u32> {
        self.fulfill(Fulfillment::json(value))
    }

    /// Sends them changed.
    #[track_caller]
    pub fn modify(self, overrides: RequestOverrides) -> Operation<(), u32> {
        self.set(wit::RouteAction::Modify(overrides))
    }

    /// Holds each of them until the script has decided: [`Page::next_request`] hands them out.
    #[track_caller]
    pub fn hold(self) -> Operation<(), u32> {
        self.set(wit::RouteAction::Ask)
    }

    #[track_caller]
    fn set(self, action: wit::RouteAction) -> Operation<(), u32> {
        Operation::new((), move |()| async move { self.page.route(self.pattern, action).await })
    }
}

impl Page {
    /// Removes a route.
    #[track_caller]
    pub fn unroute(&self, route: u32) -> Operation<(), ()> {
        let page = self.handle.clone();
        Operation::new((), move |()| async move { page.unroute(route).await })
    }
}

impl Fulfillment {
    /// An answer of this text and media type, with status 200.
    pub fn text(media_type: impl Into<String>, body: impl Into<String>) -> Self {
        let content_type = Header { name: "content-type".to_owned(), value: media_type.into() };
        Self { status: 200, headers: vec![content_type], body: body.into().into_bytes() }
    }

    /// An answer of this JSON, with status 200.
    pub fn json(value: &serde_json::Value) -> Self {
        Self::text("application/json", value.to_string())
    }
}

/// A request that a route holds. It is sent on as it is when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct HeldRequest {
    handle: Rc<wit::HeldRequest>,
}

impl From<wit::HeldRequest> for HeldRequest {
    fn from(handle: wit::HeldRequest) -> Self {
        Self { handle: Rc::new(handle) }
    }
}

impl HeldRequest {
    /// What the page wants to request.
    pub fn request(&self) -> Request {
        self.handle.request()
    }

    /// Sends it; set what to change.
    #[track_caller]
    pub fn resume(&self) -> Operation<RequestOverrides, ()> {
        let request = self.handle.clone();
        Operation::new(RequestOverrides::default(), |overrides| async move { request.resume(overrides).await })
    }

    /// Answers it.
    #[track_caller]
    pub fn fulfill(&self, answer: Fulfillment) -> Operation<(), ()> {
        let request = self.handle.clone();
        Operation::new((), |()| async move { request.fulfill(answer).await })
    }

    /// Fails it as blocked.
    #[track_caller]
    pub fn abort(&self) -> Operation<(), ()> {
        let request = self.handle.clone();
        Operation::new((), |()| async move { request.abort().await })
    }
}
