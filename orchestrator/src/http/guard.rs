//! Who may ask. The API launches programs, so a page of another origin that a user of this machine happens to visit
//! must not reach it, neither by a request that a browser sends for it nor by a name that it has point here; and with a
//! token, nobody who does not know it.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use sha2::{Digest as _, Sha256};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::link;
use super::problem::Problem;
use crate::settings::Settings;

/// What is needed to decide.
pub(super) struct Guard {
    /// The hash of the token.
    token: Option<[u8; 32]>,
    origins: Vec<String>,
    /// Whether only this machine is listened to, under whatever name a browser was given for it.
    is_loopback: bool,
}

impl Guard {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            token: settings.token.as_ref().map(|token| hash(&token.0)),
            origins: settings.cors_origins.iter().map(|origin| origin.to_ascii_lowercase()).collect(),
            is_loopback: settings.listen.ip().is_loopback(),
        }
    }

    fn knows(&self, given: &str) -> bool {
        self.token.as_ref().is_none_or(|token| are_same(token, &hash(given)))
    }

    fn is_own_host(&self, host: &str) -> bool {
        let name = host_name(host);
        let is_local = name.eq_ignore_ascii_case("localhost")
            || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        !self.is_loopback || is_local
    }

    fn is_own_page(&self, origin: &str, host: &str) -> bool {
        let origin = origin.to_ascii_lowercase();
        let of_host = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        self.origins.contains(&origin) || of_host.is_some_and(|of_host| of_host.eq_ignore_ascii_case(host))
    }

    /// Why a request is refused, if it is.
    fn refuses(&self, request: &Request) -> Option<Problem> {
        let forbidden = |detail: String| Some(Problem::new(StatusCode::FORBIDDEN, detail));
        let headers = request.headers();
        let host = text(headers, &header::HOST).or_else(|| request.uri().authority().map(|host| host.as_str()));
        let Some(host) = host else { return forbidden("the request names no host: send a Host header".to_owned()) };
        if !self.is_own_host(host) {
            return forbidden(format!("{host:?} is not this server's name: it listens to localhost only"));
        }
        if headers.contains_key(header::ORIGIN) {
            // One that is no text is of no known page.
            let origin = text(headers, &header::ORIGIN).unwrap_or_default();
            if !self.is_own_page(origin, host) {
                return forbidden(format!(
                    "pages of {origin:?} may not use this server: an operator may allow them as a CORS origin"
                ));
            }
        } else if !request.method().is_safe() && text(headers, &SITE).is_some_and(|site| site == "cross-site") {
            return forbidden("a page of another site sends this request: it may not".to_owned());
        }
        None
    }
}

const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Whether somebody gives what is asked for.
pub(super) fn is_same(asked: &str, given: &str) -> bool {
    are_same(&hash(asked), &hash(given))
}

/// Hashes are compared to their ends, so the time says nothing about how much of what was given is right.
fn are_same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    a.iter().zip(b).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

/// The token that a request was sent with.
pub(super) fn given(headers: &HeaderMap) -> Option<&str> {
    text(headers, &header::AUTHORIZATION).and_then(bearer)
}

fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// A host without its port.
fn host_name(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Refuses what pages of other origins, or under other names, ask.
pub(super) async fn pages(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    match guard.refuses(&request) {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
    }
}

/// Lets pages of the configured origins read answers.
pub(super) fn cors(settings: &Settings) -> CorsLayer {
    let origins = settings.cors_origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE, HeaderName::from_static("idempotency-key")])
        .expose_headers([header::LOCATION, header::CONTENT_DISPOSITION])
}

/// Refuses who does not know the token. Whether the server is well, anybody may ask.
pub(super) async fn token(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let given = given(request.headers());
    let path = request.uri().path();
    if path.starts_with("/health/") || link::is_link(path) || guard.knows(given.unwrap_or_default()) {
        return next.run(request).await;
    }
    let detail = match given {
        None => "this server asks for its token: send the header Authorization: Bearer TOKEN",
        Some(_) => "this is not the server's token",
    };
    let mut response = Problem::new(StatusCode::UNAUTHORIZED, detail).into_response();
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

fn bearer(credentials: &str) -> Option<&str> {
    let (scheme, token) = credentials.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Tells browsers to take answers for what they are, and nothing else.
pub(super) async fn harden(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}
