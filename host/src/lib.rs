//! The agent: it runs a project's component in a sandbox and gives its script a browser and more.
//!
//! ```text
//! agent ── takes jobs from a queue, one at a time; reports, and tells how each ended
//!  └─ instance ── one sandboxed component: memory, CPU time, wall time and handles are bounded
//!      └─ call ── the one wrapper that every host call goes through
//!          └─ capabilities ── tasks, monitoring, browser: what a script can do
//! ```
//!
//! [`agent::run`] is all that a process needs to be an agent. What a script may do is its
//! [grant](armada_project::Grant); nothing here trusts a component's bytes, a call's arguments, or a web page.

pub mod agent;
mod call;
mod capabilities;
mod coding;
mod contract;
mod deadline;
mod egress;
mod engine;
mod instance;
mod keep;
#[doc(hidden)]
pub mod measured;
mod meter;

pub use capabilities::browser::{ChromiumNotFound, find_chromium, has_display};
pub use engine::{ComponentCache, ComponentError, Sandbox, SigningKey, VerifyingKey};
