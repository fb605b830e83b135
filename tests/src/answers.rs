//! What the test's web server answers where a file cannot: redirects, slow and broken answers, downloads, cookies, and
//! what a request looked like when it came.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Duration;

use async_compression::tokio::bufread::{BrotliEncoder, GzipEncoder, ZlibEncoder, ZstdEncoder};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Query;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use serde_json::json;
use tokio::io::AsyncReadExt as _;

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
        .route("/compressed", get(compressed))
        .route("/redirects", any(redirects))
        .route("/status", any(status))
        .route("/pieces", get(pieces))
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
    let headers: BTreeMap<&str, _> =
        headers.iter().map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes()))).collect();
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

/// `/compressed?coding=CODING&bytes=N`: N times the letter `x`, compressed.
async fn compressed(arguments: Arguments) -> Response {
    let plain = vec![b'x'; number(&arguments, "bytes")];
    let plain = plain.as_slice();
    let coding = argument(&arguments, "coding").to_owned();
    let mut content = Vec::new();
    let read = match coding.as_str() {
        "gzip" => GzipEncoder::new(plain).read_to_end(&mut content).await,
        "br" => BrotliEncoder::new(plain).read_to_end(&mut content).await,
        "zstd" => ZstdEncoder::new(plain).read_to_end(&mut content).await,
        "deflate" => ZlibEncoder::new(plain).read_to_end(&mut content).await,
        _ => Ok(content.write(plain).unwrap_or(0)),
    };
    match read {
        Ok(_) => ([(header::CONTENT_ENCODING, coding)], content).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// `/redirects?status=N&times=N&to=URL`: redirects to itself so often, and then to the URL.
async fn redirects(arguments: Arguments) -> Response {
    let status = StatusCode::from_u16(argument(&arguments, "status").parse().unwrap_or(302)).unwrap_or_default();
    let to = argument(&arguments, "to");
    let location = match number(&arguments, "times") {
        0 | 1 => to.to_owned(),
        times => format!("/redirects?status={}&times={}&to={to}", status.as_u16(), times - 1),
    };
    (status, [(header::LOCATION, location)]).into_response()
}

/// `/status?code=N`
async fn status(arguments: Arguments) -> Response {
    StatusCode::from_u16(argument(&arguments, "code").parse().unwrap_or(200)).unwrap_or_default().into_response()
}

/// `/pieces?ms=N`: `one`, and after so many milliseconds `two`.
async fn pieces(arguments: Arguments) -> Response {
    let pause = Duration::from_millis(number(&arguments, "ms") as u64);
    let pieces = futures::stream::unfold(0, move |part| async move {
        if part == 1 {
            tokio::time::sleep(pause).await;
        }
        let content = ["one", "two"].get(part)?;
        Some((Ok::<_, std::io::Error>(*content), part + 1))
    });
    Body::from_stream(pieces).into_response()
}
