//! What a script can do.
//!
//! Each capability is a module of the same shape: what it keeps for the agent, what a job begins and ends, how it is
//! closed, and the functions of its part of the contract. Each of those functions goes through [`call`](crate::call).

pub(crate) mod browser;
pub(crate) mod monitoring;
pub(crate) mod output;
mod tasks;

use std::sync::Arc;

use armada_project::Grant;

use self::browser::Browser;
use self::monitoring::Monitoring;

/// The capabilities of an agent, granted or not.
pub(crate) struct Capabilities {
    /// What the run is allowed.
    pub(crate) grant: Arc<Grant>,
    /// Reports events, logs, progress and files.
    pub(crate) monitoring: Arc<Monitoring>,
    /// Drives a real Chromium.
    pub(crate) browser: Arc<Browser>,
}

impl Capabilities {
    /// A job is over: what belonged to it goes. After a fault, everything that the script had goes.
    pub(crate) async fn end_job(&self, after_fault: bool) {
        self.browser.end_job(after_fault).await;
    }

    /// The agent is over.
    pub(crate) async fn close(&self) {
        self.browser.close().await;
    }
}
