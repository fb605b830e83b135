//! The way out: `wit/deps/proxy.wit`.
//!
//! Everything that the browser sends goes through the intercepting proxy of its agent: see [`Proxy`]. An agent whose
//! configuration asks for it leases an upstream proxy, and everything that it connects to is then reached through that
//! one: see [`Lease`].

mod guest;
mod lease;
mod server;
mod verify;

pub(crate) use self::lease::Lease;
pub(crate) use self::server::{Notice, Peers, Proxy, ProxyError};
