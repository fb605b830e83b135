//! What a script's request may be, and what becomes of it when it is redirected.
//!
//! Whatever says how a message is carried is ours: a script that could write `Host` or `Transfer-Encoding` could speak
//! to another server than the one that was checked. A redirect is a new request, and is checked as the first one was.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HeaderName, HeaderValue, LOCATION,
    USER_AGENT,
};
use http::{HeaderMap, Method, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use url::Url;

use super::Deadline;
use super::client::{Client, OutgoingBody};
use crate::capabilities::cut;
use crate::capabilities::secrets::Secrets;
use crate::contract::{Error, http as wit};
use crate::egress::{Egress, read_url};

/// How many redirects are followed where a request says nothing, and at most.
const REDIRECTS: u32 = 10;
/// How many headers a request may have.
const HEADERS: usize = 200;
/// How much of a header's name is shown, in bytes.
const SHOWN: usize = 100;
/// Headers that are the host's, beside those that start with `proxy-`.
const OURS: [HeaderName; 9] = [
    http::header::CONNECTION,
    http::header::EXPECT,
    http::header::HOST,
    HeaderName::from_static("http2-settings"),
    HeaderName::from_static("keep-alive"),
    http::header::TE,
    http::header::TRAILER,
    http::header::TRANSFER_ENCODING,
    http::header::UPGRADE,
];
/// Who asks, where a script does not say so.
const OURSELVES: HeaderValue = HeaderValue::from_static(concat!("armada/", env!("CARGO_PKG_VERSION")));
/// What we decompress.
const CODINGS: HeaderValue = HeaderValue::from_static(crate::coding::ACCEPTED);

/// A request that may be made.
pub(super) struct Outgoing {
    method: Method,
    url: Url,
    uri: Uri,
    headers: HeaderMap,
    secret_headers: Vec<SecretHeader>,
    body: Bytes,
    redirects: u32,
    deadline: Deadline,
    decodes: bool,
}

/// A header whose value is put together when it is sent.
struct SecretHeader {
    name: HeaderName,
    prefix: String,
    secret: String,
}

/// The last of a chain of responses.
pub(super) struct Answered {
    pub(super) url: Url,
    pub(super) response: Response<Incoming>,
    /// Whether there is nothing to come after the head, whatever that says.
    pub(super) has_no_body: bool,
}

impl Outgoing {
    /// Looks at a request; says what is wrong with it.
    pub(super) fn new(request: wit::Request, egress: &Egress) -> Result<Self, Error> {
        let deadline = Deadline::after(request.timeout_ms);
        let redirects = request.redirects.unwrap_or(REDIRECTS);
        if redirects > REDIRECTS {
            return Err(Error::Invalid(format!("at most {REDIRECTS} redirects are followed, not {redirects}")));
        }
        let method = method(&request.method)?;
        let mut url = read_url(&request.url)?;
        // That one names no host to be allowed or not: it is told below that nothing can be requested there.
        if url.as_str() != "about:blank" {
            egress.allow(&url)?;
        }
        let body = Bytes::from(request.body.unwrap_or_default());
        let (given, secret) = (request.headers.len(), request.secret_headers.len());
        if given.saturating_add(secret) > HEADERS {
            let count = given.saturating_add(secret);
            return Err(Error::Invalid(format!("{count} headers are too many: at most {HEADERS} are sent")));
        }
        let mut headers = headers(request.headers, body.len())?;
        let secret_headers = secret_headers(request.secret_headers)?;
        let decodes = !headers.contains_key(ACCEPT_ENCODING);
        for (name, value) in
            [(ACCEPT, HeaderValue::from_static("*/*")), (ACCEPT_ENCODING, CODINGS), (USER_AGENT, OURSELVES)]
        {
            set_unless_set(&mut headers, name, value)?;
        }
        if let Some(value) = take_credentials(&mut url) {
            set_unless_set(&mut headers, AUTHORIZATION, value)?;
        }
        let uri = uri_of(&url)?;
        Ok(Self { method, url, uri, headers, secret_headers, body, redirects, deadline, decodes })
    }

    /// When it has to be over.
    pub(super) fn deadline(&self) -> Deadline {
        self.deadline
    }

    /// Whether the body of its response is decompressed.
    pub(super) fn decodes(&self) -> bool {
        self.decodes
    }

    /// As it is sent; with the secrets that may go to where it goes.
    fn message(&self, secrets: &Secrets) -> Result<http::Request<OutgoingBody>, Error> {
        let body = Full::new(self.body.clone()).map_err(|never| match never {}).boxed_unsync();
        let mut message = http::Request::new(body);
        *message.method_mut() = self.method.clone();
        *message.uri_mut() = self.uri.clone();
        *message.headers_mut() = self.headers.clone();
        for SecretHeader { name, prefix, secret } in &self.secret_headers {
            let text = secrets.for_origin(secret, &self.url)?;
            let mut value = HeaderValue::from_bytes(&[prefix.as_bytes(), text.0.as_bytes()].concat()).map_err(|_| {
                Error::Invalid(format!(
                    "the secret `{secret}` cannot be sent in a header: it has a character that none can have, such as a \
                     line end"
                ))
            })?;
            // It is not to be shown, nor to be kept by what compresses headers.
            value.set_sensitive(true);
            message.headers_mut().try_insert(name.clone(), value).map_err(|_| too_many())?;
        }
        Ok(message)
    }

    /// Becomes the request that a response asks for, if it asks for one.
    fn redirect(&mut self, response: &Response<Incoming>, followed: u32, egress: &Egress) -> Result<bool, Error> {
        let status = response.status();
        let is_redirect = matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308);
        let (true, true, Some(location)) = (is_redirect, self.redirects > 0, response.headers().get(LOCATION)) else {
            return Ok(false);
        };
        if followed >= self.redirects {
            return Err(Error::Other(format!("{} redirects, and {} is one more", self.redirects, self.url)));
        }
        let location = String::from_utf8_lossy(location.as_bytes());
        let mut to = self.url.join(&location).map_err(|error| {
            Error::Other(format!("{} redirects to {location:?}, which is no URL: {error}", self.url))
        })?;
        // What a server writes there is not what the script knows.
        let _ = take_credentials(&mut to);
        egress.allow(&to).map_err(|error| match error {
            Error::Denied(reason) => Error::Denied(format!("{} redirects to another host: {reason}", self.url)),
            other => other,
        })?;
        if to.fragment().is_none() {
            to.set_fragment(self.url.fragment());
        }
        if self.url.origin() != to.origin() {
            self.headers.remove(AUTHORIZATION);
            self.headers.remove(COOKIE);
            self.secret_headers.clear();
        }
        // As the Fetch standard has it, "HTTP-redirect fetch".
        let is_get = matches!(self.method, Method::GET | Method::HEAD);
        if (status == StatusCode::SEE_OTHER && !is_get)
            || (matches!(status.as_u16(), 301 | 302) && self.method == Method::POST)
        {
            self.method = Method::GET;
            self.body = Bytes::new();
            for name in [CONTENT_TYPE, http::header::CONTENT_ENCODING, http::header::CONTENT_LANGUAGE] {
                self.headers.remove(name);
            }
        }
        self.uri = uri_of(&to)?;
        self.url = to;
        Ok(true)
    }
}

/// Makes a request, and those that it is redirected to.
pub(super) async fn follow(
    client: &Client,
    egress: &Egress,
    secrets: &Secrets,
    mut outgoing: Outgoing,
) -> Result<Answered, Error> {
    let mut followed = 0;
    loop {
        let response = client.request(outgoing.message(secrets)?).await?;
        if outgoing.redirect(&response, followed, egress)? {
            followed += 1;
            continue;
        }
        let has_no_body = outgoing.method == Method::HEAD
            || matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
            || response.body().is_end_stream();
        return Ok(Answered { url: outgoing.url, response, has_no_body });
    }
}

fn method(text: &str) -> Result<Method, Error> {
    match Method::from_bytes(text.as_bytes()) {
        Ok(Method::CONNECT | Method::TRACE) => Err(Error::Invalid(format!("requests cannot have the method {text}"))),
        Ok(method) => Ok(method),
        Err(_) => Err(Error::Invalid(format!("{:?} is no method: write one such as GET", cut(text, 40)))),
    }
}

fn headers(given: Vec<wit::Header>, body_bytes: usize) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    for wit::Header { name, value } in given {
        let shown = cut(&name, SHOWN).to_owned();
        let (name, value) = (header_name(&name)?, header_value(&shown, &value)?);
        if name == CONTENT_LENGTH {
            if value.to_str().ok().and_then(|length| length.parse().ok()) != Some(body_bytes) {
                return Err(Error::Invalid(format!(
                    "the header {shown:?} must be {body_bytes}, as long as the body is: leave it out"
                )));
            }
            continue;
        }
        headers.try_append(name, value).map_err(|_| too_many())?;
    }
    Ok(headers)
}

fn secret_headers(given: Vec<wit::SecretHeader>) -> Result<Vec<SecretHeader>, Error> {
    let read = |wit::SecretHeader { name, prefix, secret }: wit::SecretHeader| {
        let read = header_name(&name)?;
        header_value(cut(&name, SHOWN), &prefix)?;
        if read == CONTENT_LENGTH {
            return Err(Error::Invalid("the length of a body is no secret".to_owned()));
        }
        Ok(SecretHeader { name: read, prefix, secret })
    };
    given.into_iter().map(read).collect()
}

fn header_name(text: &str) -> Result<HeaderName, Error> {
    let shown = cut(text, SHOWN);
    let name = HeaderName::from_bytes(text.as_bytes())
        .map_err(|_| Error::Invalid(format!("{shown:?} cannot be the name of a header")))?;
    if is_ours(&name) {
        return Err(Error::Invalid(format!("the header {shown:?} is the host's to send: leave it out")));
    }
    Ok(name)
}

fn header_value(name: &str, text: &str) -> Result<HeaderValue, Error> {
    HeaderValue::from_bytes(text.as_bytes()).map_err(|_| {
        Error::Invalid(format!(
            "the value of the header {name:?} has a character that none can have, such as a line end"
        ))
    })
}

/// Whether a header is the host's to send.
pub(super) fn is_ours(name: &HeaderName) -> bool {
    OURS.contains(name) || name.as_str().starts_with("proxy-")
}

fn set_unless_set(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) -> Result<(), Error> {
    if !headers.contains_key(&name) {
        headers.try_insert(name, value).map_err(|_| too_many())?;
    }
    Ok(())
}

fn too_many() -> Error {
    Error::Invalid("there are too many headers".to_owned())
}

/// Takes user name and password out of a URL, as the header that they are sent in.
pub(super) fn take_credentials(url: &mut Url) -> Option<HeaderValue> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let mut credentials = decoded(url.username());
    credentials.push(b':');
    credentials.extend(decoded(url.password().unwrap_or_default()));
    // A web URL has a host, so it can be without them.
    let _ = url.set_username("").and_then(|()| url.set_password(None));
    HeaderValue::from_str(&format!("Basic {}", BASE64_STANDARD.encode(credentials))).ok()
}

/// The bytes that a part of a URL stands for.
fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|code| std::str::from_utf8(code).ok());
        match code.filter(|_| *first == b'%').and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    bytes
}

/// A URL as it is requested.
pub(super) fn uri_of(url: &Url) -> Result<Uri, Error> {
    let shown = || cut(url.as_str(), 200).to_owned();
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Error::Invalid(format!("{:?} is no http or https URL", shown())));
    }
    let mut plain = url.clone();
    plain.set_fragment(None);
    plain.as_str().parse().map_err(|error| Error::Invalid(format!("{:?} cannot be requested: {error}", shown())))
}
