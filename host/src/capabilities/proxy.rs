//! The way out: `wit/deps/proxy.wit`.
//!
//! An agent whose configuration asks for it leases an upstream proxy, and everything that it connects to is then reached
//! through that one: see [`Lease`].

mod guest;
mod lease;
mod verify;

pub(crate) use self::lease::Lease;
