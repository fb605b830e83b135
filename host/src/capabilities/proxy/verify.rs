//! Where traffic comes out: a page of the operator's says which address it is seen at.
//!
//! The request goes where the operator says, so that it needs no grant; it goes through the proxy that is looked at,
//! and directly only where there is nothing else to compare with.

use std::future::Future;
use std::net::IpAddr;
use std::time::Duration;

use armada_protocol::inventory::Resolve;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::header::{ACCEPT, CONNECTION, HOST, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use url::{Position, Url};

use crate::egress::upstream::{Leased, Target, ThroughError};
use crate::egress::{Connection, reach, secure_http1};

/// How long one look-up may take.
const ANSWER: Duration = Duration::from_secs(30);
/// How long the page may be, in bytes.
const PAGE: usize = 16 * 1024;
/// How many addresses of the page's host are tried.
const ADDRESSES: usize = 4;

/// Why an address is not known to be right.
#[derive(Debug, PartialEq)]
pub(super) enum Unverified {
    /// It is not the proxy's.
    Wrong(String),
    /// It could not be looked up.
    Unknown(String),
}

/// The address that the traffic of a proxy comes out at, if it is the proxy's.
pub(super) async fn verify(page: &Url, leased: &Leased) -> Result<IpAddr, Unverified> {
    let upstream = &leased.upstream;
    let name = &upstream.name;
    let seen = bounded(seen_through(page, leased)).await.map_err(|why| {
        Unverified::Unknown(format!("the address that the upstream proxy `{name}` has could not be looked up: {why}"))
    })?;
    if upstream.exit_addresses.iter().any(|range| range.contains(seen)) {
        return Ok(seen);
    }
    if !upstream.exit_addresses.is_empty() {
        return Err(Unverified::Wrong(format!(
            "the upstream proxy `{name}` comes out at {seen}, which is none of its exit_addresses in the inventory"
        )));
    }
    let own = bounded(seen_directly(page)).await.map_err(|why| {
        let what = "the address without an upstream proxy, to compare with, could not be looked up";
        Unverified::Unknown(format!("{what} (exit_addresses in the inventory make it needless): {why}"))
    })?;
    match own == seen {
        false => Ok(seen),
        true => Err(Unverified::Wrong(format!(
            "the upstream proxy `{name}` comes out at {seen}, the address that traffic has without it"
        ))),
    }
}

async fn bounded(asked: impl Future<Output = Result<IpAddr, String>>) -> Result<IpAddr, String> {
    tokio::time::timeout(ANSWER, asked).await.map_err(|_| "no answer in time".to_owned())?
}

async fn seen_through(page: &Url, leased: &Leased) -> Result<IpAddr, String> {
    let (host, port) = place(page)?;
    let targets = match (leased.upstream.resolve, host.parse::<IpAddr>()) {
        (Resolve::Proxy, Err(_)) => vec![Target::Name(host.clone(), port)],
        _ => {
            let addresses = tokio::net::lookup_host((host.as_str(), port)).await;
            addresses.map_err(|error| error.to_string())?.take(ADDRESSES).map(Target::Address).collect()
        }
    };
    let mut failed = "the name has no address".to_owned();
    for target in &targets {
        match leased.connect(target).await {
            Ok(connection) => return ask(page, &host, connection).await,
            Err(ThroughError::Proxy(why)) => return Err(why),
            Err(ThroughError::Target(why)) => failed = why,
        }
    }
    Err(failed)
}

async fn seen_directly(page: &Url) -> Result<IpAddr, String> {
    let (host, port) = place(page)?;
    let connection = reach(&host, port).await.map_err(|error| error.to_string())?;
    ask(page, &host, Connection::new(connection)).await
}

/// Host and port of the page.
fn place(page: &Url) -> Result<(String, u16), String> {
    let host = page.host_str().map(|host| host.trim_matches(['[', ']']).to_owned());
    host.zip(page.port_or_known_default()).ok_or_else(|| "its URL has no host".to_owned())
}

/// Asks over a connection.
async fn ask(page: &Url, host: &str, connection: Connection) -> Result<IpAddr, String> {
    match page.scheme() {
        "https" => {
            let secure = secure_http1(connection, host).await.map_err(|error| format!("TLS fails: {error}"))?;
            answer(page, Connection::new(secure)).await
        }
        _ => answer(page, connection).await,
    }
}

async fn answer(page: &Url, connection: Connection) -> Result<IpAddr, String> {
    let failed = |error: hyper::Error| format!("no answer: {error}");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(connection)).await.map_err(failed)?;
    let request = Request::get(&page[Position::BeforePath..Position::AfterQuery])
        .header(HOST, &page[Position::BeforeHost..Position::AfterPort])
        .header(ACCEPT, "application/json, text/plain")
        .header(USER_AGENT, concat!("armada/", env!("CARGO_PKG_VERSION")))
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(failed)?;
        if response.status() != StatusCode::OK {
            return Err(format!("the page answers with the status {}", response.status().as_u16()));
        }
        let body = Limited::new(response.into_body(), PAGE).collect().await;
        let body = body.map_err(|_| "the page is too long, or breaks off".to_owned())?;
        read(&body.to_bytes())
            .ok_or_else(|| "the page has no address: expected one as text, or as `ip` in JSON".to_owned())
    };
    let driven = async {
        // What there is to know of its end, the exchange knows.
        let _ = connection.await;
        std::future::pending().await
    };
    tokio::select! {
        biased;
        answer = exchange => answer,
        never = driven => never,
    }
}

/// The address that a page has.
fn read(page: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(page).ok()?.trim();
    let address = match serde_json::from_str::<serde_json::Value>(text) {
        Ok(json) => json.get("ip").unwrap_or(&json).as_str()?.trim().parse(),
        Err(_) => text.parse(),
    };
    address.ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_text_or_json() {
        let address = Some(IpAddr::from([203, 0, 113, 9]));
        for page in ["203.0.113.9\n", r#"{"ip": "203.0.113.9", "city": "x"}"#, r#""203.0.113.9""#, "::ffff:203.0.113.9"]
        {
            assert_eq!(read(page.as_bytes()), address, "{page}");
        }
        for page in ["", "<html>", "{}", r#"{"ip": 7}"#, "203.0.113", "[]"] {
            assert_eq!(read(page.as_bytes()), None, "{page}");
        }
    }
}
