//! What a script can do.
//!
//! Each capability is a module of the same shape: what it keeps for the agent, what a job begins and ends, how it is
//! closed, and the functions of its part of the contract. Each of those functions goes through [`call`](crate::call).

pub(crate) mod browser;
mod fingerprint;
mod identity;
pub(crate) mod monitoring;
pub(crate) mod output;
mod tasks;

use std::sync::Arc;

use armada_project::{BrowserSettings, FingerprintSettings, Grant, IdentitySettings};
use armada_protocol::{Attempt, Incarnation, Lender, Lent, RunId};
use serde_json::{Map, Value};

use self::browser::{Browser, BrowserOptions};
use self::fingerprint::Fingerprint;
use self::identity::Identities;
use self::monitoring::Monitoring;
use crate::egress::Egress;

/// What the capabilities of an agent are made of.
#[expect(dead_code, reason = "capabilities take what they need")]
pub(crate) struct Means<'a> {
    /// Whose they are.
    pub(crate) run: RunId,
    pub(crate) by: Incarnation,
    /// What the run is allowed.
    pub(crate) grant: Arc<Grant>,
    /// The merged agent configuration, and what it says of some capabilities.
    pub(crate) message: &'a Map<String, Value>,
    pub(crate) browser: &'a BrowserSettings,
    pub(crate) fingerprint: &'a FingerprintSettings,
    pub(crate) identity: &'a IdentitySettings,
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
    /// The device that the browser shows.
    pub(crate) fingerprint: Arc<Fingerprint>,
    /// Makes up people.
    pub(crate) identity: Identities,
}

impl Capabilities {
    /// The capabilities of an agent.
    pub(crate) fn new(means: &Means<'_>) -> Self {
        let grant = means.grant.clone();
        let egress = Arc::new(Egress::new(grant.clone()));
        let monitoring = Arc::new(Monitoring::new(grant.clone(), means.options.temp.clone()));
        let notices = monitoring.clone();
        let fingerprint = Arc::new(Fingerprint::new(means));
        let browser = Browser::new(means, egress, fingerprint.clone(), move |notice| notices.notice(notice));
        let identity = Identities::new(means.identity.clone());
        Self { grant, monitoring, browser: Arc::new(browser), fingerprint, identity }
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
