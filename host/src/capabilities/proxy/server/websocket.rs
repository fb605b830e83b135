//! WebSockets: an exchange that, once both sides have agreed (RFC 6455, 4), turns its connection into another.
//!
//! Their messages go by unread. They live as long as the browser and the server want, since pages hold them open for
//! hours without a word, and both are there: a server that is gone does not answer its machine's keepalive any more.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::header::{CONNECTION, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{HeaderMap, Method, Request, Response, Version};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use ring::digest;

use super::HANDSHAKE;

/// What a server adds to the key to show that it speaks WebSocket (RFC 6455, 1.3).
const PROOF: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A request to become a WebSocket.
pub(super) struct Handshake {
    near: OnUpgrade,
    accept: String,
}

/// A WebSocket, agreed on.
pub(super) struct WebSocket {
    near: OnUpgrade,
    far: OnUpgrade,
}

impl Handshake {
    /// The handshake that a request is, if it is one.
    pub(super) fn of<B>(request: &mut Request<B>) -> Option<Self> {
        let is_handshake =
            request.method() == Method::GET && request.version() == Version::HTTP_11 && upgrades(request.headers());
        let key = request.headers().get(SEC_WEBSOCKET_KEY).filter(|_| is_handshake)?;
        let proof = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &[key.as_bytes(), PROOF].concat());
        Some(Self { near: hyper::upgrade::on(request), accept: BASE64.encode(proof) })
    }

    /// The WebSocket that an answer makes of it, if it does.
    pub(super) fn completed<B>(self, response: &mut Response<B>) -> Option<WebSocket> {
        let accepts = response.headers().get(SEC_WEBSOCKET_ACCEPT);
        let is_agreed = upgrades(response.headers()) && accepts.is_some_and(|accept| accept == self.accept.as_str());
        is_agreed.then(|| WebSocket { near: self.near, far: hyper::upgrade::on(response) })
    }
}

/// Whether a message has its connection become a WebSocket.
fn upgrades(headers: &HeaderMap) -> bool {
    let lists = |name: HeaderName, item: &str| {
        let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|value| value.trim().eq_ignore_ascii_case(item))
    };
    lists(CONNECTION, "upgrade") && lists(UPGRADE, "websocket")
}

impl WebSocket {
    /// Carries its messages, to its end.
    pub(super) async fn carry(self) {
        let turning = async { tokio::try_join!(self.near, self.far) };
        let Ok(Ok((near, far))) = tokio::time::timeout(HANDSHAKE, turning).await else { return };
        // However it ends, both sides are closed.
        let _ = tokio::io::copy_bidirectional(&mut TokioIo::new(near), &mut TokioIo::new(far)).await;
    }
}
