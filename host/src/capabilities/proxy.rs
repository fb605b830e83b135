//! The way out: `wit/deps/proxy.wit`.
//!
//! Everything that the browser sends goes through the intercepting proxy of its agent: see [`Proxy`]. An agent whose
//! configuration asks for it leases an upstream proxy, and everything that its browser and its scripts ask for is then
//! reached through that one: see [`Lease`]. What is done to what goes through, and who sees it: see [`Traffic`].

mod body;
mod guest;
mod lease;
mod server;
mod traffic;
mod verify;

#[allow(unreachable_pub, reason = "the generated contract re-exports it")]
pub use self::guest::WatchHandle;
pub(crate) use self::lease::Lease;
pub(crate) use self::server::{Peers, Proxy, ProxyError};
pub(crate) use self::traffic::Traffic;
