//! How much what passes between scripts and the browser weighs, for the limits on calls and on what is kept.

use std::sync::Arc;

use super::context::OwnedContext;
use super::page::{OwnedPage, Page};
use super::requests::HeldRequest;
use crate::call::Weigh;
use crate::contract::browser as wit;
use crate::keep::Kept;

impl Weigh for wit::BrowserInfo {}
impl Weigh for wit::Rect {}
impl Weigh for OwnedContext {}
impl Weigh for OwnedPage {}
impl Weigh for (Arc<Page>, Vec<u64>) {}

impl<T: Weigh, U> Weigh for (T, Arc<U>) {
    fn weight(&self) -> usize {
        self.0.weight()
    }
}

impl Weigh for Vec<wit::Dialog> {
    fn weight(&self) -> usize {
        self.iter().map(|dialog| dialog.message.len() + dialog.default_value.len() + 64).sum()
    }
}

impl Weigh for Vec<wit::Frame> {
    fn weight(&self) -> usize {
        self.iter().map(|frame| frame.name.len() + frame.url.len() + 64).sum()
    }
}

impl Weigh for Vec<wit::Cookie> {
    fn weight(&self) -> usize {
        let texts = |cookie: &wit::Cookie| {
            cookie.name.len() + cookie.value.len() + cookie.domain.len() + cookie.path.len() + 64
        };
        self.iter().map(texts).sum()
    }
}

impl Weigh for Vec<wit::Header> {
    fn weight(&self) -> usize {
        self.iter().map(|header| header.name.len() + header.value.len() + 64).sum()
    }
}

impl Weigh for wit::Response {
    fn weight(&self) -> usize {
        self.url.len() + self.status_text.len() + self.headers.weight()
    }
}

impl Weigh for wit::Request {
    fn weight(&self) -> usize {
        self.url.len() + self.headers.weight() + self.body.weight()
    }
}

impl Weigh for wit::RouteAction {
    fn weight(&self) -> usize {
        match self {
            Self::Abort | Self::Ask => 0,
            Self::Fulfill(answer) => answer.headers.weight() + answer.body.len(),
            Self::Modify(overrides) => {
                overrides.url.weight()
                    + overrides.method.weight()
                    + overrides.headers.weight()
                    + overrides.body.weight()
            }
        }
    }
}

impl Weigh for HeldRequest {
    fn weight(&self) -> usize {
        self.bytes()
    }
}

impl<T> Weigh for Kept<T> {}
