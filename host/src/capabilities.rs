//! What a script can do.
//!
//! Each capability is a module of the same shape: what it keeps for the agent, what a job begins and ends, how it is
//! closed, and the functions of its part of the contract. Each of those functions goes through [`call`](crate::call).

pub(crate) mod browser;
pub(crate) mod database;
pub(crate) mod monitoring;
pub(crate) mod output;
pub(crate) mod secrets;
mod tasks;

use std::sync::Arc;

use armada_project::{BrowserSettings, Grant};
use armada_protocol::{Attempt, Incarnation, Lender, Lent, RunId};
use serde_json::{Map, Value};

use self::browser::{Browser, BrowserOptions};
use self::database::Databases;
use self::monitoring::Monitoring;
use self::secrets::Secrets;
use crate::egress::Egress;

/// What the capabilities of an agent are made of.
#[expect(dead_code, reason = "capabilities take what they need")]
pub(crate) struct Means<'a> {
    /// Whose they are.
    pub(crate) run: RunId,
    pub(crate) by: Incarnation,
    /// What the run is allowed.
    pub(crate) grant: Arc<Grant>,
    /// The merged agent configuration, and what it says of the browser.
    pub(crate) message: &'a Map<String, Value>,
    pub(crate) browser: &'a BrowserSettings,
    /// How the operator runs browsers.
    pub(crate) options: &'a BrowserOptions,
    /// What the operator has lent to the agent, and who lends it more.
    pub(crate) lent: Lent,
    pub(crate) lender: Arc<dyn Lender>,
}

/// The capabilities of an agent, granted or not.
pub(crate) struct Capabilities {
    /// What the run is allowed.
    pub(crate) grant: Arc<Grant>,
    /// Reports events, logs, progress and files.
    pub(crate) monitoring: Arc<Monitoring>,
    /// Drives a real Chromium.
    pub(crate) browser: Arc<Browser>,
    /// Asks and changes databases.
    pub(crate) database: Arc<Databases>,
    /// Keeps secrets.
    pub(crate) secrets: Arc<Secrets>,
}

impl Capabilities {
    /// The capabilities of an agent.
    pub(crate) fn new(means: &Means<'_>) -> Self {
        let grant = means.grant.clone();
        let egress = Arc::new(Egress::new(grant.clone()));
        let monitoring = Arc::new(Monitoring::new(grant.clone(), means.options.temp.clone()));
        let notices = monitoring.clone();
        let secrets = Arc::new(Secrets::new(means));
        let browser = Browser::new(means, egress, secrets.veil(), move |notice| notices.notice(notice));
        let database = Arc::new(Databases::new(means));
        Self { grant, monitoring, browser: Arc::new(browser), database, secrets }
    }

    /// A job begins.
    pub(crate) fn begin_job(&self, attempt: Attempt) {
        self.monitoring.begin_job(attempt);
        self.browser.begin_job();
        self.database.begin_job();
    }

    /// A job is over: what belonged to it goes. After a fault, everything that the script had goes. Says whether the rest
    /// is still there; if not, the agent context has lost what it had.
    pub(crate) async fn end_job(&self, after_fault: bool) -> bool {
        self.database.end_job().await;
        self.browser.end_job(after_fault).await
    }

    /// The agent is over.
    pub(crate) async fn close(&self) {
        self.database.close().await;
        self.browser.close().await;
    }
}

/// The first bytes of a text, at a boundary of its characters.
pub(crate) fn cut(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or_default()
}
