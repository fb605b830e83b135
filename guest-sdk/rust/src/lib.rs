//! Write browser-automation projects for [Armada](https://github.com/armada-engine/armada) in Rust.
//!
//! A project is a crate that compiles to one WebAssembly component. Its script is an async function that Armada calls
//! once per job, in parallel agents, each with a real Chromium:
//!
//! ```no_run
//! // ctx_script.rs
//! use armada::{Agent, Job, Result};
//!
//! pub async fn ctx_script(job_ctx: &Job, agent_ctx: &Agent) -> Result<Vec<String>> {
//!     let url: String = job_ctx.job_message.field("url")?;
//!     let page = agent_ctx.browser.new_page().await?;
//!     page.goto(url).await?;
//!     let titles = page.locator("h2").all_inner_texts().await?;
//!     job_ctx.monitoring_client.record_success_event(format!("{} titles", titles.len()))?;
//!     Ok(titles)
//! }
//! # fn main() {}
//! ```
//!
//! ```ignore
//! // lib.rs
//! mod ctx_script;
//! armada::project! { script: ctx_script::ctx_script }
//! ```
//!
//! - [`browser`] drives Chromium: pages, locators that wait by themselves, frames, dialogs, downloads, requests.
//! - [`database`] asks and changes databases of the operator.
//! - [`fingerprint`] tells which device pages see.
//! - [`http`] makes requests without a browser.
//! - [`identity`] makes up people to fill in forms with.
//! - [`modifiers`] look at what the browser sends and gets, beside the script.
//! - [`monitoring`] reports events, logs, progress and files.
//! - [`proxy`] watches what the browser sends and gets, and says and changes which upstream proxy that leaves through.
//! - [`screen`] takes pictures of the whole screen.
//! - [`secrets`] of the operator are typed into pages without being seen.
//! - [`AgentContext`] and [`JobContext`] keep what lives as long as an agent or a job.
//! - [`tests!`] is how tests of a project are written.
//! - [`Error`] is what a host call gives when it does not succeed, [`Failure`] what a script returns.
//!
//! Host calls may overlap: [`join!`] and [`try_join!`] run several at once, [`join_all`] and [`try_join_all`] as many
//! as an iterator gives, and dropping one cancels it.

mod context;
mod error;
mod lifecycle;
mod message;
mod operation;
mod tasks;
mod testing;

pub mod browser;
pub mod database;
pub mod fingerprint;
pub mod http;
pub mod identity;
pub mod modifiers;
pub mod monitoring;
pub mod proxy;
pub mod screen;
pub mod secrets;

pub use context::{Agent, AgentContext, Job, JobContext};
pub use error::{Error, ErrorKind, Failure, FailureExt, FailureKind, Result};
pub use futures_util::future::{join_all, try_join_all};
pub use futures_util::{join, try_join};
pub use message::Message;
pub use operation::Operation;
pub use serde_json::{self, Value, json};
pub use tasks::sleep;
pub use testing::{Fixture, Messages};

/// What [`project!`] and [`tests!`] expand to needs these names; nothing else does.
#[doc(hidden)]
pub mod __private {
    pub use crate::__bindings::armada::types::types::Failure;
    pub use crate::__bindings::exports::armada::project::lifecycle::Guest as Lifecycle;
    pub use crate::__bindings::exports::armada::project::modifiers::{
        Guest as Modifiers, Request, RequestVerdict, Response, ResponseVerdict,
    };
    pub use crate::lifecycle::{Slot, given, no_modifier};
    pub mod testing {
        pub use crate::testing::{Fixture, Outcome, Parameter, Runner, Test, register};
    }
}

#[doc(hidden)]
#[allow(missing_docs, unsafe_code, clippy::all)]
pub mod __bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "modifying-project",
        generate_all,
        pub_export_macro: true,
        default_bindings_module: "armada::__bindings",
        additional_derives: [PartialEq, serde::Serialize, serde::Deserialize],
        additional_derives_ignore: ["modifiers", "click-options"],
    });
}

/// Which SDK a component was built with; `armada check` reads it.
#[allow(unsafe_code, reason = "naming a section is unsafe by the letter; a custom section is not even loaded")]
#[cfg(target_arch = "wasm32")]
#[unsafe(link_section = "armada:sdk")]
#[used]
static SDK: [u8; SDK_NAME.len()] = {
    let mut bytes = [0; SDK_NAME.len()];
    let mut at = 0;
    while at < bytes.len() {
        bytes[at] = SDK_NAME.as_bytes()[at];
        at += 1;
    }
    bytes
};

#[cfg(target_arch = "wasm32")]
const SDK_NAME: &str = concat!("rust ", env!("CARGO_PKG_VERSION"));
