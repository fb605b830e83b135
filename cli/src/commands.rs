//! The commands that do one thing and end.

mod agent;
mod build;
mod check;
mod config;
mod new;

pub(crate) use agent::agent;
pub(crate) use build::{build, compile};
pub(crate) use check::check;
pub(crate) use config::config;
pub(crate) use new::new;
