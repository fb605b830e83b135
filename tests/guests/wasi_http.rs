//! `wasi:http`, as libraries use it that know nothing of Armada. Run with the limit `http_response_bytes` 1,000,000.

use armada::{Result, Value, bail, json};
use guests::{Case, same};
use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{ErrorCode, Fields, IncomingBody, Method, OutgoingBody, OutgoingRequest, Scheme};
use wasip2::io::streams::StreamError;

guests::cases![
    requests_are_made_and_answered,
    what_is_not_allowed_is_denied,
    what_is_too_large_breaks_off,
    headers_of_the_host_are_refused,
];

/// Sends a request; gives the status, and the body as far as it came.
fn send(site: &str, path: &str, method: &Method, body: &[u8]) -> Result<(u16, Vec<u8>, bool), ErrorCode> {
    let request = OutgoingRequest::new(Fields::from_list(&[("x-own".to_owned(), b"1".to_vec())]).expect("headers"));
    request.set_method(method).expect("a method");
    request.set_scheme(Some(&Scheme::Http)).expect("a scheme");
    request.set_authority(Some(site.trim_start_matches("http://"))).expect("a host");
    request.set_path_with_query(Some(path)).expect("a path");
    let outgoing = request.body().expect("a body");
    let answer = handle(request, None)?;
    if !body.is_empty() {
        let stream = outgoing.write().expect("a stream");
        stream.blocking_write_and_flush(body).expect("to be taken");
    }
    OutgoingBody::finish(outgoing, None)?;
    answer.subscribe().block();
    let response = answer.get().expect("to be there").expect("to be taken once")?;
    let incoming: IncomingBody = response.consume().expect("a body");
    let stream = incoming.stream().expect("a stream");
    let mut all = Vec::new();
    let is_whole = loop {
        match stream.blocking_read(65_536) {
            Ok(bytes) => all.extend(bytes),
            Err(StreamError::Closed) => break true,
            Err(StreamError::LastOperationFailed(_)) => break false,
        }
    };
    Ok((response.status(), all, is_whole))
}

async fn requests_are_made_and_answered(case: Case<'_>) -> Result<()> {
    let Ok((status, body, true)) = send(&case.site, "/echo?a=1", &Method::Post, b"hello") else { bail!("not sent") };
    let seen: Value = armada::serde_json::from_slice(&body)?;
    same!((status, &seen["method"], &seen["body"]), (200, &json!("POST"), &json!("hello")));
    same!((&seen["query"]["a"], &seen["headers"]["x-own"]), (&json!("1"), &json!("1")));
    same!(seen["headers"]["host"], case.site.trim_start_matches("http://"));
    same!(send(&case.site, "/status?code=404", &Method::Get, b"").map(|(status, ..)| status).ok(), Some(404));
    // Redirects are the library's own to follow.
    same!(send(&case.site, "/redirect?to=/echo", &Method::Get, b"").map(|(status, ..)| status).ok(), Some(302));
    Ok(())
}

async fn what_is_not_allowed_is_denied(case: Case<'_>) -> Result<()> {
    for site in [case.site.replace("127.0.0.1", "127.0.0.2"), "http://example.com".to_owned()] {
        let denied = send(&site, "/", &Method::Get, b"");
        armada::ensure!(matches!(denied, Err(ErrorCode::HttpRequestDenied)), "{denied:?}");
    }
    let refused = send(&case.site, "/", &Method::Connect, b"");
    armada::ensure!(
        matches!(&refused, Err(ErrorCode::InternalError(Some(told))) if told.contains("CONNECT")),
        "{refused:?}"
    );
    Ok(())
}

async fn what_is_too_large_breaks_off(case: Case<'_>) -> Result<()> {
    let (_, body, is_whole) = send(&case.site, "/attachment?bytes=1000000", &Method::Get, b"").map_err(failure)?;
    same!((body.len(), is_whole), (1_000_000, true));
    let (_, body, is_whole) = send(&case.site, "/attachment?bytes=2000000", &Method::Get, b"").map_err(failure)?;
    armada::ensure!(body.len() <= 1_000_000 && !is_whole, "{} bytes, whole: {is_whole}", body.len());
    Ok(())
}

async fn headers_of_the_host_are_refused(_: Case<'_>) -> Result<()> {
    for name in ["Host", "connection", "Transfer-Encoding", "Proxy-Authorization", "TE"] {
        let fields = Fields::from_list(&[(name.to_owned(), b"x".to_vec())]);
        armada::ensure!(fields.is_err(), "{name} is let through");
    }
    Ok(())
}

fn failure(error: ErrorCode) -> armada::Failure {
    armada::Failure::new(format!("{error:?}"))
}
