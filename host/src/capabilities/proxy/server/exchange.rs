//! A request and its answer: where it goes, and what of it is for the next one only.

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONNECTION, COOKIE, HOST, HeaderName, HeaderValue, LOCATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Request, Response, StatusCode, Uri, Version};
use hyper::body::Incoming;
use url::Url;

use super::websocket::Handshake;
use crate::capabilities::proxy::body::{Body, passing, whole};

/// Why a request has no answer. The browser sees its connection, or its stream of it, end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unanswered {
    #[error("it is not allowed")]
    Refused,
    #[error("the server cannot be connected to: {0}")]
    Unconnected(std::io::Error),
    #[error("the server has closed the connection")]
    Gone,
    #[error("the server has failed: {0}")]
    Failed(#[from] hyper::Error),
    #[error("the server did not answer in time")]
    Late,
    #[error("the server has switched to what nobody asked for")]
    NoWebSocket,
}

/// Where requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) secure: bool,
    /// A name, or an address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

impl Origin {
    /// Where a request to a proxy goes (RFC 9112, 3.2.2).
    pub(super) fn of(uri: &Uri) -> Option<Self> {
        let authority = uri.authority().filter(|_| uri.scheme() == Some(&Scheme::HTTP))?;
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        Some(Self { secure: false, host, port: authority.port_u16().unwrap_or(80) })
    }

    /// Where a URL leads.
    pub(super) fn of_url(url: &Url) -> Option<Self> {
        let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
        Some(Self { secure: url.scheme() == "https", host, port: url.port_or_known_default()? })
    }

    fn scheme(&self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }

    /// Whether this is what it calls itself.
    fn is_named(&self, authority: &Authority) -> bool {
        let port = match authority.port() {
            Some(_) => authority.port_u16(),
            None => Some(if self.secure { 443 } else { 80 }),
        };
        let is_host = authority.host().trim_matches(['[', ']']).eq_ignore_ascii_case(&self.host);
        is_host && port == Some(self.port) && !authority.as_str().contains('@')
    }

    /// The URL of a request, if it is one for this server: whatever names a host in it names this.
    pub(super) fn url_of<B>(&self, request: &Request<B>) -> Option<String> {
        let uri = request.uri();
        let hosts = request.headers().get_all(HOST).iter();
        let hosts = hosts.map(|host| host.to_str().ok().and_then(|host| host.parse::<Authority>().ok()));
        let mut named = hosts.chain(uri.authority().map(|authority| Some(authority.clone()))).peekable();
        named.peek()?;
        let is_ours = named.all(|authority| authority.is_some_and(|authority| self.is_named(&authority)));
        let scheme = uri.scheme_str().is_none_or(|scheme| scheme == self.scheme());
        let path = uri.path_and_query().map_or("/", PathAndQuery::as_str);
        // `OPTIONS *` is about the server as a whole.
        let path = if path.starts_with('/') { path } else { "/" };
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        (is_ours && scheme).then(|| format!("{}://{host}:{}{path}", self.scheme(), self.port))
    }
}

/// A request as it is sent to its server, and what it asks for if it wants to become a WebSocket.
pub(super) fn outgoing(mut request: Request<Incoming>) -> (Request<Body>, Option<Handshake>) {
    let handshake = Handshake::of(&mut request);
    strip(request.headers_mut());
    if request.version() == Version::HTTP_2 {
        // hyper takes the protocol from the connection, and the server's name from the URL.
        return (request.map(passing), None);
    }
    *request.version_mut() = Version::HTTP_11;
    if request.uri().authority().is_some() {
        // To its own server, a request names only the path.
        let path = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        *request.uri_mut() = path.into();
    }
    if handshake.is_some() {
        upgrade(request.headers_mut());
    }
    (request.map(passing), handshake)
}

/// Says of the device's memory what the device that is shown has, where a server has asked for it: the browser says it
/// of the machine, and no command changes that.
pub(super) fn hint_memory(headers: &mut HeaderMap, memory: &HeaderValue) {
    for name in ["sec-ch-device-memory", "device-memory"] {
        if let http::header::Entry::Occupied(mut hint) = headers.entry(name) {
            hint.insert(memory.clone());
        }
    }
}

/// Sends a request to another URL, at its own server or another: what lets somebody in there does not go elsewhere.
pub(super) fn retarget(request: &mut Request<Body>, url: &Url, is_own_server: bool) -> Result<(), Unanswered> {
    let whole: Uri = url.as_str().parse().map_err(|_| Unanswered::Refused)?;
    let path = whole.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    if is_own_server && request.version() == Version::HTTP_2 {
        *request.uri_mut() = whole;
        return Ok(());
    }
    if let Some(host) = whole.authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok()) {
        request.headers_mut().insert(HOST, host);
    }
    if !is_own_server {
        *request.version_mut() = Version::HTTP_11;
        for name in [AUTHORIZATION, COOKIE] {
            request.headers_mut().remove(name);
        }
    }
    *request.uri_mut() = path.into();
    Ok(())
}

/// An answer as it is sent to the browser.
pub(super) fn answered(mut response: Response<Incoming>) -> Response<Body> {
    strip(response.headers_mut());
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        upgrade(response.headers_mut());
    }
    if response.version() != Version::HTTP_2 {
        *response.version_mut() = Version::HTTP_11;
    }
    response.map(passing)
}

/// An answer of our own.
pub(super) fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(whole(Bytes::new()));
    *response.status_mut() = status;
    response
}

/// An answer that browsers take for none. A connection that ends without any has them ask again, whatever they have
/// asked.
pub(super) fn unacceptable() -> Response<Body> {
    let mut response = status(StatusCode::BAD_GATEWAY);
    // Two places to go at once.
    for place in ["/blocked", "/refused"] {
        response.headers_mut().append(LOCATION, HeaderValue::from_static(place));
    }
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Removes what is about one connection and not about the message (RFC 9110, 7.6.1).
fn strip(headers: &mut HeaderMap) {
    let listed: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let takes_trailers = headers.get_all(TE).iter().any(|value| value.as_bytes().eq_ignore_ascii_case(b"trailers"));
    // A body's length is no matter of the connection, even if it is listed.
    for name in listed.iter().filter(|name| **name != TRAILER && **name != http::header::CONTENT_LENGTH) {
        headers.remove(name);
    }
    let always = ["keep-alive", "proxy-connection", "proxy-authorization", "proxy-authenticate"];
    for name in always {
        headers.remove(name);
    }
    for name in [CONNECTION, TE, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
    if takes_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

/// Asks to become a WebSocket, or agrees to.
fn upgrade(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}
