//! Messages as modifiers see them, and what becomes of them.
//!
//! What a modifier is shown and gives back as it was stays as it was, down to bytes that cannot be shown and to
//! secrets, which are named and not shown.

use std::collections::HashMap;

use armada_project::FIXED_HEADERS;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderValue};
use http::{HeaderMap, HeaderName, Method, Response, StatusCode, request, response};
use url::Url;

use crate::capabilities::proxy::body::{Body, whole};
use crate::capabilities::secrets::Veil;
use crate::contract::modifiers as wit;

/// How many headers a modifier may give, and how many bytes of them.
const HEADERS: usize = 512;
const HEADER_BYTES: usize = 256 * 1024;

/// A header as text, without secrets.
pub(super) fn shown(name: &str, value: &[u8], veil: &Veil) -> wit::Header {
    let value = veil.text(&String::from_utf8_lossy(value)).into_owned();
    wit::Header { name: name.to_owned(), value }
}

/// The headers that a modifier sees.
pub(super) fn changeable(headers: &HeaderMap, veil: &Veil) -> Vec<wit::Header> {
    let headers = headers.iter().filter(|(name, _)| !FIXED_HEADERS.contains(&name.as_str()));
    headers.map(|(name, value)| shown(name.as_str(), value.as_bytes(), veil)).collect()
}

/// The headers that a modifier has given back, in place of those that it saw.
pub(super) fn change_headers(headers: &mut HeaderMap, given: &[wit::Header], veil: &Veil) -> Result<(), String> {
    let bytes: usize = given.iter().map(|header| header.name.len() + header.value.len()).sum();
    if given.len() > HEADERS || bytes > HEADER_BYTES {
        return Err(format!("it has more than {HEADERS} headers, or {HEADER_BYTES} bytes of them"));
    }
    // What was shown, and what it stands for.
    let before = headers.iter().map(|(name, value)| {
        let wit::Header { name, value: text } = shown(name.as_str(), value.as_bytes(), veil);
        ((name, text), value.clone())
    });
    let before: HashMap<_, _> = before.collect();
    let mut changed = HeaderMap::new();
    for (name, value) in headers.iter().filter(|(name, _)| FIXED_HEADERS.contains(&name.as_str())) {
        changed.append(name, value.clone());
    }
    for wit::Header { name, value } in given {
        let known = name.parse::<HeaderName>().map_err(|_| format!("{name:?} is no name for a header"))?;
        if FIXED_HEADERS.contains(&known.as_str()) {
            continue;
        }
        let value = match before.get(&(known.as_str().to_owned(), value.clone())) {
            Some(before) => before.clone(),
            None => HeaderValue::from_str(value)
                .or_else(|_| HeaderValue::from_bytes(value.as_bytes()))
                .map_err(|_| format!("the value of the header `{known}` has characters that no header may have"))?,
        };
        changed.try_append(known, value).map_err(|_| "it has too many headers".to_owned())?;
    }
    *headers = changed;
    Ok(())
}

/// The body that a modifier has given, with its length.
fn change_body(headers: &mut HeaderMap, body: Vec<u8>) -> Body {
    headers.insert(CONTENT_LENGTH, body.len().into());
    whole(body.into())
}

/// What a modifier makes of a request: its body, if that is another, and its URL.
pub(super) fn change_request(
    parts: &mut request::Parts,
    before: &wit::Request,
    given: wit::Request,
    veil: &Veil,
) -> Result<(Option<Body>, Option<Url>), String> {
    parts.method = match Method::from_bytes(given.method.as_bytes()) {
        Ok(Method::CONNECT | Method::TRACE) | Err(_) => {
            return Err(format!("{:?} is no method to request with", given.method));
        }
        Ok(method) => method,
    };
    change_headers(&mut parts.headers, &given.headers, veil)?;
    let body = given.body.filter(|body| before.body.as_ref() != Some(body));
    let body = body.map(|body| change_body(&mut parts.headers, body));
    let url = (given.url != before.url).then(|| web_url(&given.url)).transpose()?;
    Ok((body, url))
}

fn web_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("{text:?} is no URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.username().is_empty() || url.password().is_some() {
        return Err(format!("{text:?} is no http or https URL without a user name"));
    }
    Ok(url)
}

/// What a modifier gives the browser.
pub(super) fn answer(given: wit::Response) -> Result<Response<Body>, String> {
    let mut headers = HeaderMap::new();
    change_headers(&mut headers, &given.headers, &Veil::default())?;
    let status = status(given.status)?;
    let body = change_body(&mut headers, given.body.unwrap_or_default());
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// What a modifier makes of a response: its body, if that is another.
pub(super) fn change_response(
    parts: &mut response::Parts,
    before: &wit::Response,
    given: wit::Response,
    veil: &Veil,
) -> Result<Option<Body>, String> {
    if given.status != before.status {
        parts.status = status(given.status)?;
    }
    change_headers(&mut parts.headers, &given.headers, veil)?;
    let body = given.body.filter(|body| before.body.as_ref() != Some(body));
    if body.is_some() {
        parts.headers.remove(CONTENT_ENCODING);
    }
    Ok(body.map(|body| change_body(&mut parts.headers, body)))
}

fn status(number: u16) -> Result<StatusCode, String> {
    StatusCode::from_u16(number)
        .ok()
        .filter(|status| !status.is_informational() && number < 600)
        .ok_or_else(|| format!("{number} is no HTTP status of a response"))
}
