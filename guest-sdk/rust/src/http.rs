//! HTTP requests of your own, without a browser.
//!
//! ```no_run
//! # async fn f() -> armada::Result<()> {
//! use armada::{http, json};
//!
//! let response = http::get("https://example.com/api/prices").query([("day", "today")]).send().await?;
//! let prices: Vec<f64> = response.error_for_status()?.json().await?;
//!
//! let order = json!({"item": 7, "price": prices[0]});
//! let response = http::post("https://example.com/api/orders").header("x-client", "7").json(&order).send().await?;
//! armada::ensure!(response.status() == 201, "not ordered: {}", response.text().await?);
//! # Ok(())
//! # }
//! ```
//!
//! They go to the run's allowed hosts only, and so do redirects, of which ten are followed. The capability `http` has
//! to be among `run_message.sandbox.capabilities`.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::__bindings::armada::http::http as wit;
use crate::__bindings::armada::types::types::Error as WitError;
use crate::error::{Error, ErrorKind};
use crate::operation::Operation;
use crate::tasks::milliseconds;

/// A request with the method `GET`.
pub fn get(url: impl Into<String>) -> Request {
    Request::new("GET", url)
}

/// A request with the method `HEAD`.
pub fn head(url: impl Into<String>) -> Request {
    Request::new("HEAD", url)
}

/// A request with the method `POST`.
pub fn post(url: impl Into<String>) -> Request {
    Request::new("POST", url)
}

/// A request with the method `PUT`.
pub fn put(url: impl Into<String>) -> Request {
    Request::new("PUT", url)
}

/// A request with the method `PATCH`.
pub fn patch(url: impl Into<String>) -> Request {
    Request::new("PATCH", url)
}

/// A request with the method `DELETE`.
pub fn delete(url: impl Into<String>) -> Request {
    Request::new("DELETE", url)
}

/// A request that has not been made yet: set what you like, then [`send`](Self::send) it.
#[derive(Clone, Debug)]
#[must_use = "a request does nothing until it is sent"]
pub struct Request {
    request: wit::Request,
    query: String,
    /// What was given that cannot be sent.
    mistake: Option<String>,
}

impl Request {
    /// A request with this method, such as `GET`, in upper case.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        let request = wit::Request {
            method: method.into(),
            url: url.into(),
            headers: Vec::new(),
            secret_headers: Vec::new(),
            body: None,
            timeout_ms: None,
            redirects: None,
        };
        Self { request, query: String::new(), mistake: None }
    }

    /// Adds a header.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.request.headers.push(wit::Header { name: name.into(), value: value.into() });
        self
    }

    /// Sends a secret of the operator's in a header, without the script seeing it; other headers of its name are left
    /// out.
    ///
    /// ```no_run
    /// # async fn f() -> armada::Result<()> {
    /// use armada::http::{self, Secret};
    ///
    /// http::get("https://crm.example/").secret_header("x-api-key", "crm_key").send().await?;
    /// let token = Secret::new("crm_token").prefix("Bearer ");
    /// http::get("https://crm.example/").secret_header("authorization", token).send().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// It goes to the origins that the operator has bound it to: a request to any other is
    /// [denied](ErrorKind::Denied), and one that is redirected to another origin is made there without it. The secret's
    /// name has to be among `run_message.sandbox.secrets`, and the capability `secrets` among
    /// `run_message.sandbox.capabilities`. What the server makes of it is its own affair: one that answers with what it
    /// was sent shows it to the script.
    pub fn secret_header(mut self, name: impl Into<String>, secret: impl Into<Secret>) -> Self {
        let Secret { name: secret, prefix } = secret.into();
        self.request.secret_headers.push(wit::SecretHeader { name: name.into(), prefix, secret });
        self
    }

    /// Adds names and values to the URL's query, encoded.
    pub fn query<N: AsRef<str>, V: fmt::Display>(mut self, pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        encode(&mut self.query, pairs);
        self
    }

    /// Sends a user name and a password (RFC 7617).
    pub fn basic_auth(self, user: impl fmt::Display, password: impl fmt::Display) -> Self {
        let credentials = base64(format!("{user}:{password}").as_bytes());
        self.header("authorization", format!("Basic {credentials}"))
    }

    /// Sends a token (RFC 6750).
    pub fn bearer_auth(self, token: impl fmt::Display) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    /// Sends these bytes.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.request.body = Some(body.into());
        self
    }

    /// Sends a value as JSON.
    pub fn json(mut self, value: &(impl Serialize + ?Sized)) -> Self {
        match serde_json::to_vec(value) {
            Ok(json) => self.with_type("application/json").body(json),
            Err(error) => {
                self.mistake = Some(format!("the value cannot be JSON: {error}"));
                self
            }
        }
    }

    /// Sends names and values as a form does.
    pub fn form<N: AsRef<str>, V: fmt::Display>(self, pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut form = String::new();
        encode(&mut form, pairs);
        self.with_type("application/x-www-form-urlencoded").body(form)
    }

    fn with_type(self, media_type: &str) -> Self {
        let mut headers = self.request.headers.iter();
        match headers.any(|header| header.name.eq_ignore_ascii_case("content-type")) {
            true => self,
            false => self.header("content-type", media_type),
        }
    }

    /// How long it may take, to the end of the response's body.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.request.timeout_ms = Some(milliseconds(timeout));
        self
    }

    /// How many redirects are followed, at most 10; with 0, a redirect is a response as any other.
    pub fn redirects(mut self, most: u32) -> Self {
        self.request.redirects = Some(most);
        self
    }

    /// Makes the request; gives the response as soon as its head is there.
    #[track_caller]
    pub fn send(self) -> Operation<(), Response> {
        Operation::new((), move |()| async move {
            if let Some(mistake) = self.mistake {
                return Err(WitError::Invalid(mistake));
            }
            let mut request = self.request;
            request.url = with_query(request.url, &self.query);
            let (head, body) = wit::send(request).await?;
            Ok(Response { head, body: Rc::new(body) })
        })
    }
}

/// A secret of the operator's as the value of a header, by its name.
#[derive(Clone, Debug)]
pub struct Secret {
    name: String,
    prefix: String,
}

impl Secret {
    /// The secret of this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), prefix: String::new() }
    }

    /// What the value begins with, such as `Bearer `.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }
}

impl<T: Into<String>> From<T> for Secret {
    fn from(name: T) -> Self {
        Self::new(name)
    }
}

/// A response, whatever its status. Dropping it ends it.
#[derive(Debug)]
pub struct Response {
    head: wit::Response,
    body: Rc<wit::Body>,
}

impl Response {
    /// Its status, such as 200.
    pub fn status(&self) -> u16 {
        self.head.status
    }

    /// Whether the status is a success: 200 to 299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.head.status)
    }

    /// Where it came from, after redirects.
    pub fn url(&self) -> &str {
        &self.head.url
    }

    /// The value of a header, the first of several.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Its headers, in order; their names are in lower case.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.head.headers.iter().map(|header| (header.name.as_str(), header.value.as_str()))
    }

    /// The same, unless its status says that something is wrong: 400 to 599.
    #[track_caller]
    pub fn error_for_status(self) -> Result<Self, Error> {
        match self.head.status {
            status @ 400..600 => {
                Err(Error::new(ErrorKind::Other, format!("{} answered with status {status}", self.head.url)))
            }
            _ => Ok(self),
        }
    }

    /// The next bytes of the body, at most so many; nothing at the end.
    #[track_caller]
    pub fn chunk(&self, most: u32) -> Operation<(), Option<Vec<u8>>> {
        let body = self.body.clone();
        let read = Operation::new((), move |()| async move { body.read(most).await });
        read.map(|bytes| Ok((!bytes.is_empty()).then_some(bytes)))
    }

    /// The body.
    #[track_caller]
    pub fn bytes(self) -> Operation<(), Vec<u8>> {
        Operation::new((), move |()| async move { self.body.read_all().await })
    }

    /// The body as text. Bytes that are no UTF-8 are replaced.
    #[track_caller]
    pub fn text(self) -> Operation<(), String> {
        self.bytes().map(|bytes| Ok(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// The body, read as JSON.
    #[track_caller]
    pub fn json<T: DeserializeOwned + 'static>(self) -> Operation<(), T> {
        let url = self.head.url.clone();
        self.bytes().map(move |bytes| {
            serde_json::from_slice(&bytes).map_err(|error| {
                let start = String::from_utf8_lossy(bytes.get(..80).unwrap_or(&bytes)).into_owned();
                WitError::Other(format!("the response of {url} is not the expected JSON: {error}: it begins {start:?}"))
            })
        })
    }
}

/// A URL with more in its query.
fn with_query(url: String, query: &str) -> String {
    if query.is_empty() {
        return url;
    }
    let (url, fragment) = match url.split_once('#') {
        Some((url, fragment)) => (url.to_owned(), format!("#{fragment}")),
        None => (url, String::new()),
    };
    let joint = match url.split_once('?') {
        None => "?",
        Some((_, known)) if known.is_empty() || known.ends_with('&') => "",
        Some(_) => "&",
    };
    format!("{url}{joint}{query}{fragment}")
}

/// Adds names and values as forms encode them (`application/x-www-form-urlencoded`).
fn encode<N: AsRef<str>, V: fmt::Display>(to: &mut String, pairs: impl IntoIterator<Item = (N, V)>) {
    for (name, value) in pairs {
        if !to.is_empty() {
            to.push('&');
        }
        encode_text(to, name.as_ref());
        to.push('=');
        encode_text(to, &value.to_string());
    }
}

fn encode_text(to: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => to.push(char::from(byte)),
            b' ' => to.push('+'),
            _ => to.push_str(&format!("%{byte:02X}")),
        }
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= group.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_encoded_as_forms_do() {
        let request = get("http://x/?a=1#f").query([("b c", "d&é")]).query([("n", 7)]);
        assert_eq!(with_query(request.request.url, &request.query), "http://x/?a=1&b+c=d%26%C3%A9&n=7#f");
        assert_eq!(with_query("http://x/".to_owned(), "a=1"), "http://x/?a=1");
        assert_eq!(with_query("http://x/?".to_owned(), "a=1"), "http://x/?a=1");
        let request = post("http://x/").form([("a", "1 2")]);
        assert_eq!(request.request.body.as_deref(), Some(b"a=1+2".as_slice()));
        assert_eq!(request.request.headers[0].value, "application/x-www-form-urlencoded");
    }

    #[test]
    fn credentials_are_a_header() {
        let value = |user: &str, password: &str| get("").basic_auth(user, password).request.headers[0].value.clone();
        // RFC 7617, section 2.
        assert_eq!(value("Aladdin", "open sesame"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!((value("a", "b"), value("a", "bc")), ("Basic YTpi".to_owned(), "Basic YTpiYw==".to_owned()));
        assert_eq!(get("").bearer_auth("t").request.headers[0].value, "Bearer t");
    }
}
