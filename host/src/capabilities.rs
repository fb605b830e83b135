//! What a script can do.
//!
//! Each capability is a module of the same shape: what it keeps for the agent, what a job begins and ends, how it is
//! closed, and the functions of its part of the contract. Each of those functions goes through [`call`](crate::call).

pub(crate) mod browser;
pub(crate) mod monitoring;
pub(crate) mod output;
mod tasks;

use std::sync::Arc;

use armada_project::{BrowserSettings, Grant};
use armada_protocol::Attempt;

use self::browser::{Browser, BrowserOptions};
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
    /// The capabilities of an agent with this grant and these settings of its browser.
    pub(crate) fn new(grant: Arc<Grant>, settings: &BrowserSettings, options: &BrowserOptions) -> Self {
        let monitoring = Arc::new(Monitoring::new(grant.clone(), options.temp.clone()));
        let notices = monitoring.clone();
        let browser = Browser::new(&grant, settings, options, move |notice| notices.notice(notice));
        Self { grant, monitoring, browser: Arc::new(browser) }
    }

    /// A job begins.
    pub(crate) fn begin_job(&self, attempt: Attempt) {
        self.monitoring.begin_job(attempt);
        self.browser.begin_job();
    }

    /// A job is over: what belonged to it goes. After a fault, everything that the script had goes. Says whether the rest
    /// is still there; if not, the agent context has lost what it had.
    pub(crate) async fn end_job(&self, after_fault: bool) -> bool {
        self.browser.end_job(after_fault).await
    }

    /// The agent is over.
    pub(crate) async fn close(&self) {
        self.browser.close().await;
    }
}

/// The first bytes of a text, at a boundary of its characters.
pub(crate) fn cut(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or_default()
}
