//! What a script can do.
//!
//! Each capability is a module of the same shape: what it keeps for the agent, its [`Life`], and the functions of its
//! part of the contract. Each of those functions goes through [`call`](crate::call).

pub(crate) mod browser;
pub(crate) mod database;
pub(crate) mod fingerprint;
pub(crate) mod http;
mod identity;
pub(crate) mod monitoring;
pub(crate) mod output;
pub(crate) mod proxy;
pub(crate) mod screen;
pub(crate) mod secrets;
mod tasks;

use std::sync::Arc;

use armada_project::{AgentSettings, Grant};
use armada_protocol::{Attempt, Incarnation, Lender, Lent, RunId};
use async_trait::async_trait;

use self::browser::{Browser, BrowserOptions};
use self::database::Databases;
use self::fingerprint::Fingerprint;
use self::http::Http;
use self::identity::Identities;
use self::monitoring::Monitoring;
use self::proxy::{Lease, Traffic};
use self::screen::Screen;
use self::secrets::Secrets;
use crate::contract::{Error, Failure};
use crate::egress::Egress;

/// Takes what the host has done to a job, and not its script, to whoever is told of it.
pub(crate) type Notice = Arc<dyn Fn(String) + Send + Sync>;

/// What the capabilities of an agent are made of.
pub(crate) struct Means<'a> {
    /// Whose they are.
    pub(crate) run: RunId,
    pub(crate) by: Incarnation,
    /// What the run is allowed.
    pub(crate) grant: Arc<Grant>,
    /// What the merged agent configuration says to the host.
    pub(crate) settings: &'a AgentSettings,
    /// How the operator runs browsers.
    pub(crate) options: &'a BrowserOptions,
    /// What the operator has lent to the agent, and who lends it more.
    pub(crate) lent: Lent,
    pub(crate) lender: Arc<dyn Lender>,
}

/// What happens to every capability of an agent. What one has nothing to do for, it leaves out.
#[async_trait]
pub(crate) trait Life: Send + Sync {
    /// The agent context is about to be opened: makes ready what a script relies on from its beginning. What is open
    /// stays as it is: a fault takes the agent context, not the capabilities.
    async fn open(&self) -> Result<(), Error> {
        Ok(())
    }

    /// A job begins.
    fn begin_job(&self, _attempt: Attempt) {}

    /// A job is over: what belonged to it goes. After a fault, everything that the script had goes. Says whether the
    /// rest is still there; if not, the agent context has lost what it had.
    async fn end_job(&self, _after_fault: bool) -> bool {
        true
    }

    /// The agent is over, or its context is opened anew: everything goes. It may be opened again.
    async fn close(&self) {}
}

/// The capabilities of an agent, granted or not.
pub(crate) struct Capabilities {
    /// What the run is allowed.
    pub(crate) grant: Arc<Grant>,
    /// Reports events, logs, progress and files.
    pub(crate) monitoring: Arc<Monitoring>,
    /// Makes requests without a browser.
    pub(crate) http: Arc<Http>,
    /// What the browser has its windows on.
    pub(crate) screen: Arc<Screen>,
    /// Drives a real Chromium.
    pub(crate) browser: Arc<Browser>,
    /// Asks and changes databases.
    pub(crate) database: Arc<Databases>,
    /// The device that the browser shows.
    pub(crate) fingerprint: Arc<Fingerprint>,
    /// Makes up people.
    pub(crate) identity: Identities,
    /// Leases the upstream proxy that traffic leaves through.
    pub(crate) proxy: Arc<Lease>,
    /// Keeps secrets.
    pub(crate) secrets: Arc<Secrets>,
    /// Does what is done to the browser's traffic, and sees it.
    pub(crate) traffic: Arc<Traffic>,
}

impl Capabilities {
    /// The capabilities of an agent. Says what makes no sense in its configuration.
    pub(crate) fn new(means: &Means<'_>) -> Result<Self, String> {
        let grant = means.grant.clone();
        let monitoring = Arc::new(Monitoring::new(grant.clone(), means.options.temp.clone()));
        let proxy = Arc::new(Lease::new(means, monitoring.clone()));
        let egress = Arc::new(Egress::through(grant.clone(), proxy.clone()));
        let database = Arc::new(Databases::new(means));
        let secrets = Arc::new(Secrets::new(means));
        // What is told of a request may have in it what the request has.
        let (told, veil) = (monitoring.clone(), secrets.veil_of_records());
        let notice: Notice = Arc::new(move |notice| told.notice(veil.text(&notice).into_owned()));
        let http = Arc::new(Http::new(means, egress.clone(), secrets.clone(), notice.clone()));
        let screen = Arc::new(Screen::new(means));
        let fingerprint = Arc::new(Fingerprint::new(means, proxy.clone()));
        let identity = Identities::new(means.settings.identity.clone());
        let traffic = Arc::new(Traffic::new(means, monitoring.clone(), &secrets)?);
        let parts = browser::Parts {
            egress,
            fingerprint: fingerprint.clone(),
            screen: screen.clone(),
            traffic: traffic.clone(),
            veil: secrets.veil(),
        };
        let browser = Arc::new(Browser::new(means, parts, notice));
        Ok(Self { grant, monitoring, proxy, database, fingerprint, http, identity, screen, secrets, traffic, browser })
    }

    /// All of them in the order in which they are opened; they are closed in reverse. What stands on another comes
    /// after it: the browser uses the screen, and both what the proxy and the fingerprint are.
    fn in_order(&self) -> [&dyn Life; 7] {
        [&*self.monitoring, &*self.proxy, &*self.traffic, &*self.http, &*self.database, &*self.screen, &*self.browser]
    }

    /// Makes ready what a script relies on. When one cannot be, all are closed.
    pub(crate) async fn open(&self) -> Result<(), Error> {
        for capability in self.in_order() {
            if let Err(error) = capability.open().await {
                self.close().await;
                return Err(error);
            }
        }
        Ok(())
    }

    /// A job begins.
    pub(crate) fn begin_job(&self, attempt: Attempt) {
        self.in_order().iter().for_each(|capability| capability.begin_job(attempt));
    }

    /// The script is about to run. Says why it cannot.
    pub(crate) async fn prepare_job(&self, attempt: Attempt) -> Result<(), Failure> {
        self.proxy.prepare_job(attempt).await
    }

    /// A job is over. Says whether everything is there that the agent context had.
    pub(crate) async fn end_job(&self, after_fault: bool) -> bool {
        let mut is_there = true;
        for capability in self.in_order().iter().rev() {
            is_there &= capability.end_job(after_fault).await;
        }
        is_there
    }

    /// The agent is over.
    pub(crate) async fn close(&self) {
        for capability in self.in_order().iter().rev() {
            capability.close().await;
        }
    }
}

/// The first bytes of a text, at a boundary of its characters.
pub(crate) fn cut(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or_default()
}
