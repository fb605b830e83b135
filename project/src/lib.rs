//! A project folder: make it, read it, check it, resolve its configuration, build its component.
//!
//! A configuration has three layers: the template with defaults and `$env_…` placeholders, the tune file of the mode
//! that fills those in, and CSV rows that are merged over the defaults, one for each agent and each job. What comes out
//! is one message for the run, one for each agent and one for each job.
//!
//! ```no_run
//! use armada_project::{Mode, Overrides, Project};
//!
//! let project = Project::open("examples/quotes")?;
//! let configuration = project.resolve(Mode::Local, &Overrides::default())?;
//! println!("{} jobs", configuration.number_of_jobs());
//! # Ok::<(), armada_project::Mistakes>(())
//! ```
//!
//! Projects are written by strangers. Nothing in here panics on any input, memory does not grow with the number of
//! rows, and what is wrong is reported all at once, as [`Mistakes`] that show the place and say what to do. The crate
//! knows no network and no Wasm engine.

mod agent;
mod browser;
mod build;
mod bundle;
mod capability;
mod component;
mod configuration;
mod digest;
mod explain;
mod fingerprint;
mod grant;
mod host_pattern;
mod identity;
mod json;
mod lendable;
mod limits;
mod locate;
mod merge;
mod messages;
mod mistake;
mod modules;
mod node;
mod origin;
mod path;
mod plan;
mod project;
#[cfg(test)]
mod properties;
mod proxy;
mod reach;
mod resolve;
mod rows;
mod sandbox;
mod scaffold;
mod schema;
mod sdk;
mod setting;
mod suggest;
mod template;
mod test;
mod text;
mod traffic;
mod url_pattern;

pub use agent::AgentSettings;
pub use browser::{BrowserOptions, BrowserSettings, ScreenSettings};
pub use build::{BuildError, BuildOptions, Progress, build};
pub use bundle::{Bundle, BundleError, BundleLimits};
pub use capability::{Capability, UnknownCapability};
pub use component::{Component, ComponentFlaw, is_known_import};
pub use configuration::{Configuration, Injection};
pub use digest::{ComponentRef, Digest, InvalidDigest};
pub use fingerprint::FingerprintSettings;
pub use grant::{Denied, Grant};
pub use host_pattern::{HostPattern, HostPatternError};
pub use identity::{IDENTITY_LOCALES, IdentitySettings};
pub use lendable::Lendable;
pub use limits::Limits;
pub use messages::Messages;
pub use mistake::{MAX_MISTAKES_PER_FILE, Mistake, Mistakes, Note};
pub use origin::{Explained, Origin, Place};
pub use path::{Step, ValuePath};
pub use project::{Given, InvalidSet, Language, Mode, Overrides, Project, UnknownMode};
pub use proxy::{LeaseTime, ProxySettings};
pub use sandbox::{Ceiling, Names, Sandbox};
pub use scaffold::{ScaffoldError, scaffold};
pub use schema::template_schema;
pub use setting::{Form, Kind, Preset, Problem, Setting, markdown_table};
pub use suggest::{counted, nearest};
pub use test::{Test, TestReport};
pub use traffic::{FIXED_HEADERS, ModifierSettings, RuleAction, RuleSettings, TrafficSettings};
pub use url_pattern::{UrlPattern, UrlPatternError};
