//! What the test's web server answers where a file cannot: redirects, slow and broken answers, downloads, cookies, and
//! what a request looked like when it came.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Query;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use serde_json::json;

type Arguments = Query<BTreeMap<String, String>>;

/// The answers, by path.
pub fn answers() -> Router {
    Router::new()
        .route("/redirect", get(redirect))
        .route("/after", get(after))
        .route("/never", any(std::future::pending::<()>))
        .route("/nothing", get(async || StatusCode::NO_CONTENT))
        .route("/echo", any(echo))
        .route("/cookie", get(cookie))
        .route("/attachment", get(attachment))
        .route("/broken", get(broken))
}

fn argument<'a>(arguments: &'a Arguments, name: &str) -> &'a str {
    arguments.get(name).map_or("", String::as_str)
}

fn number(arguments: &Arguments, name: &str) -> usize {
    argument(arguments, name).parse().unwrap_or(0)
}

/// `/redirect?to=URL`
async fn redirect(arguments: Arguments) -> Response {
    (StatusCode::FOUND, [(header::LOCATION, argument(&arguments, "to").to_owned())]).into_response()
}

/// `/after?ms=N`: a page that comes so late.
async fn after(arguments: Arguments) -> Response {
    tokio::time::sleep(Duration::from_millis(number(&arguments, "ms") as u64)).await;
    axum::response::Html("<!doctype html><title>Late</title><h1>Late</h1>").into_response()
}

/// What the request looked like, as JSON.
async fn echo(method: Method, arguments: Arguments, headers: HeaderMap, body: Bytes) -> Response {
    let headers: BTreeMap<&str, &str> =
        headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap_or_default())).collect();
    let body = String::from_utf8_lossy(&body);
    let seen = json!({"method": method.as_str(), "query": *arguments, "headers": headers, "body": body}).to_string();
    ([(header::CONTENT_TYPE, "application/json")], seen).into_response()
}

/// `/cookie?set=COOKIE`: the page that sets it.
async fn cookie(arguments: Arguments) -> Response {
    let cookie = argument(&arguments, "set").to_owned();
    ([(header::SET_COOKIE, cookie)], axum::response::Html("<!doctype html><title>Cookie</title>")).into_response()
}

/// `/attachment?name=NAME&bytes=N`: a download of N times the letter `x`.
async fn attachment(arguments: Arguments) -> Response {
    let disposition = format!("attachment; filename=\"{}\"", argument(&arguments, "name"));
    let content = vec![b'x'; number(&arguments, "bytes")];
    let media_type = "application/octet-stream".to_owned();
    ([(header::CONTENT_TYPE, media_type), (header::CONTENT_DISPOSITION, disposition)], content).into_response()
}

/// A download that is broken off.
async fn broken() -> Response {
    let parts = futures::stream::unfold(0, async |part| {
        // Apart from each other, so that the first has arrived when the connection breaks.
        tokio::time::sleep(Duration::from_millis(100)).await;
        (part < 2).then(|| {
            let content = if part == 0 { Ok("the beginning") } else { Err(std::io::Error::other("broken off")) };
            (content, part + 1)
        })
    });
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"broken.bin\""),
        (header::CONTENT_LENGTH, "1000"),
    ];
    (headers, Body::from_stream(parts)).into_response()
}
