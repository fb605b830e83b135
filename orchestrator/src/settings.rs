//! How `armada serve` is set: everything that an operator may decide, resolved from flags, environment and file.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use armada_project::{BundleLimits, Ceiling};
use armada_protocol::{Hidden, Inventory};

use crate::agents::AgentCommand;
use crate::store::Retry;

/// Who starts the agents of a run, and where.
#[derive(Clone, Debug)]
pub enum AgentMode {
    /// This process does, each as a process of this machine.
    Processes(AgentCommand),
    /// They are tasks of this process.
    InProcess(InProcess),
    /// Somebody else does, with `armada agent --run ID --index N --server URL`.
    External,
}

/// What agents within this process need.
#[derive(Clone, Debug)]
pub struct InProcess {
    /// Which Chromium to launch; looked for when not given.
    pub chromium: Option<PathBuf>,
    /// Whether browsers have windows.
    pub headed: bool,
    /// Where temporary folders go.
    pub temp: PathBuf,
}

/// The settings of a server.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The folder of what lasts: the store, unless it is elsewhere, components, inputs of runs, artifacts.
    pub data: PathBuf,
    /// The store: `sqlite:…` or `postgres://…`; a file in the data folder when not given.
    pub store_url: Option<Hidden>,
    /// Redis, for components and agent messages; within this process when not given.
    pub redis_url: Option<Hidden>,
    /// RabbitMQ, for jobs; within this process when not given.
    pub amqp_url: Option<Hidden>,
    /// Who starts agents.
    pub agents: AgentMode,
    /// Where compiled components are kept.
    pub cache: PathBuf,
    /// The most that any project is allowed.
    pub ceiling: Ceiling,
    /// What is lent to agents.
    pub inventory: Inventory,
    /// The most that one launch may bring.
    pub uploads: BundleLimits,
    /// What a client has to know, if it is set.
    pub token: Option<Hidden>,
    /// Web pages of these origins may use the API, beside those that it serves itself.
    pub cors_origins: Vec<String>,
    /// How long an agent may be silent before its job is given to another.
    pub agent_silence: Duration,
    /// How long a run may be without any agent before it is given up.
    pub no_agent: Duration,
    /// How long jobs wait for their next attempts.
    pub retry: Retry,
    /// How long what goes on has to end when the server is told to.
    pub grace: Duration,
    /// How long runs are kept after they have ended; for ever when not given.
    pub keep_runs: Option<Duration>,
}

impl Settings {
    /// The settings where nothing is said: all in this folder, and agents started so.
    pub fn new(data: PathBuf, cache: PathBuf, agents: AgentMode) -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            data,
            store_url: None,
            redis_url: None,
            amqp_url: None,
            agents,
            cache,
            ceiling: Ceiling::none(),
            inventory: Inventory::default(),
            uploads: BundleLimits::default(),
            token: None,
            cors_origins: Vec::new(),
            agent_silence: Duration::from_secs(30),
            no_agent: Duration::from_secs(600),
            retry: Retry::default(),
            grace: Duration::from_secs(20),
            keep_runs: None,
        }
    }
}

/// The environment variables that agents of this machine do not inherit: what they say is for the server.
pub fn own_variables() -> Vec<OsString> {
    ["ARMADA_STORE_URL", "ARMADA_TOKEN", "ARMADA_REDIS_URL", "ARMADA_AMQP_URL", "ARMADA_CONFIG", "ARMADA_INVENTORY"]
        .map(Into::into)
        .to_vec()
}
