//! Agent contexts and job contexts: what lives as long as an agent, and what lives as long as a job.

use crate::browser::Browser;
use crate::database::Database;
use crate::error::Result;
use crate::message::Message;
use crate::monitoring::MonitoringClient;
use crate::proxy::Proxy;
use crate::screen::Screen;

/// What an agent keeps between jobs. A project without one of its own has [`Agent`].
///
/// ```no_run
/// use armada::{Agent, Message, Result};
///
/// pub struct AgentContext {
///     pub agent: Agent,
///     pub session: String,
/// }
///
/// impl armada::AgentContext for AgentContext {
///     async fn open(agent_message: Message) -> Result<Self> {
///         let session = agent_message.field("session")?;
///         Ok(Self { agent: Agent::open(agent_message).await?, session })
///     }
/// }
/// ```
#[allow(async_fn_in_trait, reason = "a component has one thread; its futures need not be Send")]
pub trait AgentContext: Sized + 'static {
    /// Called before the first job, with this agent's merged configuration; and again after a fault (a panic, or an
    /// exhausted limit), or when the browser has been lost or has had its number of jobs (`jobs_per_browser`).
    async fn open(agent_message: Message) -> Result<Self>;

    /// Called after the last job, and before the browser is started anew. Not called after a fault, nor when the
    /// browser has been lost.
    async fn close(self) -> Result<()> {
        Ok(())
    }
}

/// What belongs to one job. A project without one of its own has [`Job`].
#[allow(async_fn_in_trait, reason = "a component has one thread; its futures need not be Send")]
pub trait JobContext: Sized {
    /// Called before the script, with the job's merged configuration.
    async fn open(job_message: Message) -> Result<Self>;

    /// Called after the script, whether it succeeded or not. When both fail, the script's failure is the job's.
    async fn close(self) -> Result<()> {
        Ok(())
    }
}

/// The agent context of a project without one of its own, and a part of most others.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Agent {
    /// This agent's merged configuration.
    pub agent_message: Message,
    /// What the browser's windows are on, where it is visible.
    pub screen: Screen,
    /// The agent's browser, launched when it is first used.
    pub browser: Browser,
    /// The database that the run may use.
    pub database: Database,
    /// The agent's way out.
    pub proxy: Proxy,
}

impl AgentContext for Agent {
    async fn open(agent_message: Message) -> Result<Self> {
        Ok(Self {
            agent_message,
            screen: Screen::default(),
            browser: Browser::default(),
            database: Database::default(),
            proxy: Proxy::default(),
        })
    }
}

/// The job context of a project without one of its own, and a part of most others.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Job {
    /// The job's merged configuration.
    pub job_message: Message,
    /// Reports for this job.
    pub monitoring_client: MonitoringClient,
}

impl JobContext for Job {
    async fn open(job_message: Message) -> Result<Self> {
        Ok(Self { job_message, monitoring_client: MonitoringClient::default() })
    }
}
