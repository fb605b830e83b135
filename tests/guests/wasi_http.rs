//! `wasi:http`, as libraries use it that know nothing of Armada. Run with the limits `http_response_bytes` 1,000,000,
//! `http_requests_at_once` 2 and `seconds_per_call` 2.

use armada::{Result, Value, bail, json};
use guests::{Case, same};
use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, IncomingBody, IncomingResponse, Method, OutgoingBody, OutgoingRequest,
    RequestOptions, Scheme,
};
use wasip2::io::streams::StreamError;

guests::cases![
    requests_are_made_and_answered,
    what_is_not_allowed_is_denied,
    what_is_too_large_breaks_off,
    headers_of_the_host_are_refused,
    so_many_requests_are_made_at_once,
    what_takes_too_long_ends,
    what_the_library_gives_up_ends,
    requests_without_an_end_end,
];

/// A request to a site.
fn request(site: &str, path: &str, method: &Method) -> OutgoingRequest {
    let request = OutgoingRequest::new(Fields::from_list(&[("x-own".to_owned(), b"1".to_vec())]).expect("headers"));
    request.set_method(method).expect("a method");
    request.set_scheme(Some(&Scheme::Http)).expect("a scheme");
    request.set_authority(Some(site.trim_start_matches("http://"))).expect("a host");
    request.set_path_with_query(Some(path)).expect("a path");
    request
}

/// Begins a request whose body is as it is.
fn begin(site: &str, path: &str, options: Option<RequestOptions>) -> Result<FutureIncomingResponse, ErrorCode> {
    handle(request(site, path, &Method::Get), options)
}

/// Waits for a response.
fn answered(answer: &FutureIncomingResponse) -> Result<IncomingResponse, ErrorCode> {
    answer.subscribe().block();
    answer.get().expect("to be there").expect("to be taken once")
}

/// Sends a request; gives the status, and the body as far as it came.
fn send(site: &str, path: &str, method: &Method, body: &[u8]) -> Result<(u16, Vec<u8>, bool), ErrorCode> {
    let request = request(site, path, method);
    let outgoing = request.body().expect("a body");
    let answer = handle(request, None)?;
    if !body.is_empty() {
        let stream = outgoing.write().expect("a stream");
        stream.blocking_write_and_flush(body).expect("to be taken");
    }
    OutgoingBody::finish(outgoing, None)?;
    let (status, (body, is_whole)) = {
        let response = answered(&answer)?;
        (response.status(), read(&response))
    };
    Ok((status, body, is_whole))
}

/// The body of a response as far as it came, and whether it came to its end.
fn read(response: &IncomingResponse) -> (Vec<u8>, bool) {
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
    (all, is_whole)
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

async fn so_many_requests_are_made_at_once(case: Case<'_>) -> Result<()> {
    let begin = || begin(&case.site, "/pieces?ms=600000", None);
    let (first, second) = (begin().map_err(failure)?, begin().map_err(failure)?);
    let (kept, ended) = (answered(&first).map_err(failure)?, answered(&second).map_err(failure)?);
    let third = answered(&begin().map_err(failure)?);
    armada::ensure!(matches!(third, Err(ErrorCode::ConnectionLimitReached)), "{third:?}");
    // One that waits is made when there is room.
    let waiting = begin().map_err(failure)?;
    drop(ended);
    same!(answered(&waiting).map_err(failure)?.status(), 200);
    drop(kept);
    Ok(())
}

async fn what_takes_too_long_ends(case: Case<'_>) -> Result<()> {
    let late = answered(&begin(&case.site, "/never", None).map_err(failure)?);
    armada::ensure!(matches!(late, Err(ErrorCode::HttpResponseTimeout)), "{late:?}");
    let begun = answered(&begin(&case.site, "/pieces?ms=600000", None).map_err(failure)?).map_err(failure)?;
    same!(read(&begun), (b"one".to_vec(), false));
    Ok(())
}

async fn what_the_library_gives_up_ends(case: Case<'_>) -> Result<()> {
    let soon = Some(50_000_000);
    let options = RequestOptions::new();
    options.set_connect_timeout(soon).expect("to be taken");
    options.set_first_byte_timeout(soon).expect("to be taken");
    let late = answered(&begin(&case.site, "/never", Some(options)).map_err(failure)?);
    armada::ensure!(matches!(late, Err(ErrorCode::HttpResponseTimeout)), "{late:?}");
    let options = RequestOptions::new();
    options.set_between_bytes_timeout(soon).expect("to be taken");
    let begun = begin(&case.site, "/pieces?ms=600000", Some(options)).map_err(failure)?;
    same!(read(&answered(&begun).map_err(failure)?), (b"one".to_vec(), false));
    Ok(())
}

async fn requests_without_an_end_end(case: Case<'_>) -> Result<()> {
    // A body that is begun and never finished, and one that is dropped.
    let unfinished = request(&case.site, "/echo", &Method::Post);
    let outgoing = unfinished.body().expect("a body");
    let late = answered(&handle(unfinished, None).map_err(failure)?);
    armada::ensure!(matches!(late, Err(ErrorCode::HttpResponseTimeout)), "{late:?}");
    drop(outgoing);
    let dropped = request(&case.site, "/echo", &Method::Post);
    drop(dropped.body().expect("a body"));
    let broken = answered(&handle(dropped, None).map_err(failure)?);
    armada::ensure!(broken.is_err(), "{broken:?}");
    // Trailers that the server has not been told of are left out.
    let with_trailers = request(&case.site, "/echo", &Method::Post);
    let outgoing = with_trailers.body().expect("a body");
    let answer = handle(with_trailers, None).map_err(failure)?;
    let trailers = Fields::from_list(&[("x-after".to_owned(), b"1".to_vec())]).expect("headers");
    OutgoingBody::finish(outgoing, Some(trailers)).map_err(failure)?;
    same!(answered(&answer).map_err(failure)?.status(), 200);
    Ok(())
}

fn failure(error: ErrorCode) -> armada::Failure {
    armada::Failure::new(format!("{error:?}"))
}
