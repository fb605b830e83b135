//! What is known of each request: a name for it, in the log and in the answer, and how long it took.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tracing::Instrument as _;
use uuid::Uuid;

use super::metrics;
use super::problem::Problem;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Names a request as its client does, if that is a name, and times it.
pub(super) async fn request(request: Request, next: Next) -> Response {
    let is_name = |id: &&HeaderValue| {
        (1..=64).contains(&id.len())
            && id.as_bytes().iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
    };
    let given = request.headers().get(REQUEST_ID).filter(is_name).cloned();
    let id = given.or_else(|| HeaderValue::from_str(&Uuid::new_v4().to_string()).ok());
    let id = id.unwrap_or(HeaderValue::from_static("-"));
    let method = request.method().clone();
    let path = request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str).to_owned();
    let name = id.to_str().unwrap_or_default();
    let span = tracing::info_span!("request", id = name, %method, path = request.uri().path());
    let begun = Instant::now();
    let mut response = next.run(request).instrument(span.clone()).await;
    let (took, status) = (begun.elapsed(), response.status());
    span.in_scope(|| tracing::debug!(status = status.as_u16(), ?took, "answered"));
    metrics::answered(&method, path, status, took);
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// A panic is a defect, and costs one answer.
pub(super) fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    let message = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    Problem::internal(format!("a panic: {}", message.unwrap_or("of another kind"))).into_response()
}
