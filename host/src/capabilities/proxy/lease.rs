//! The upstream proxy that an agent has: leased, verified where that is asked for, changed, given back.
//!
//! Whether there has to be one is decided by the configuration alone. Where there has to be one and is none, nothing is
//! connected to: what is known here is a proxy, or the reason why there is none, and never "then directly".

use std::net::IpAddr;
use std::sync::{Arc, Mutex as SyncMutex, MutexGuard, PoisonError};
use std::time::Duration;

use armada_project::{Capability, Grant, LeaseTime, ProxySettings};
use armada_protocol::inventory::VerifyIp;
use armada_protocol::report::EventLevel;
use armada_protocol::{Attempt, Incarnation, Lender, ProtocolError, RunId, Wanted};
use async_trait::async_trait;
use tokio::sync::Mutex;
use tokio::task::AbortHandle;

use super::verify::{Unverified, verify};
use crate::capabilities::monitoring::Monitoring;
use crate::capabilities::{Life, Means};
use crate::contract::proxy as wit;
use crate::contract::{Error, Failure, FailureKind};
use crate::egress::upstream::{Exit, Leased};

/// How long whoever lends may take.
const LENDING: Duration = Duration::from_secs(30);
/// How many proxies are tried when they fail while they are verified.
const PROXIES: usize = 3;
/// How many things are kept to be told to the next job.
const UNTOLD: usize = 20;

/// The upstream proxy of an agent.
pub(crate) struct Lease {
    run: RunId,
    by: Incarnation,
    lender: Arc<dyn Lender>,
    grant: Arc<Grant>,
    monitoring: Arc<Monitoring>,
    settings: ProxySettings,
    verify_ip: Option<VerifyIp>,
    /// Held while the proxy is changed: who wants to use it waits.
    changing: Arc<Mutex<()>>,
    state: SyncMutex<State>,
}

#[derive(Default)]
struct State {
    /// The proxy, or why there is none.
    current: Option<Current>,
    missing: String,
    /// What the agent context has asked for, in place of what the configuration says.
    of_agent: Option<Wanted>,
    /// The last change that goes on by itself.
    change: Option<AbortHandle>,
    /// What happened while no job was running.
    untold: Vec<(EventLevel, String)>,
}

#[derive(Clone)]
struct Current {
    leased: Arc<Leased>,
    /// What it was leased for.
    wanted: Wanted,
    exit_address: Option<IpAddr>,
}

#[async_trait]
impl Life for Lease {
    /// The agent context is about to be opened: from now on there is a proxy, if there has to be one.
    async fn open(&self) -> Result<(), Error> {
        if self.settings.lease_time().is_none() {
            return Ok(());
        }
        self.grant.check_capability(Capability::Proxy.name()).map_err(|denied| {
            Error::Denied(format!(
                "config_proxy.upstream_proxy_enabled is on, which needs the capability `proxy`: {denied}"
            ))
        })?;
        let _changing = self.changing.lock().await;
        match self.current() {
            Some(_) => Ok(()),
            None => self.lease(self.wanted_by_agent()).await,
        }
    }

    /// The agent is over.
    async fn close(&self) {
        if self.settings.lease_time().is_some() {
            if let Some(change) = self.state().change.take() {
                change.abort();
            }
            let _changing = self.changing.lock().await;
            self.drop_current("the agent is over");
            // Whoever lends may know of one whose lease was broken off here.
            self.give_back(false).await;
        }
    }
}

impl Lease {
    /// The upstream proxy of an agent, which has none yet.
    pub(crate) fn new(means: &Means<'_>, monitoring: Arc<Monitoring>) -> Self {
        let missing = "the agent has no upstream proxy yet".to_owned();
        Self {
            run: means.run,
            by: means.by,
            lender: means.lender.clone(),
            grant: means.grant.clone(),
            monitoring,
            settings: means.settings.proxy.clone(),
            verify_ip: means.lent.verify_ip.clone(),
            changing: Arc::default(),
            state: SyncMutex::new(State { missing, ..State::default() }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn current(&self) -> Option<Current> {
        self.state().current.clone()
    }

    /// A job's script is about to run: the proxy is the one that the job is to have.
    pub(crate) async fn prepare_job(&self, attempt: Attempt) -> Result<(), Failure> {
        let Some(time) = self.settings.lease_time() else { return Ok(()) };
        let changing = self.changing.lock().await;
        let wanted = match time {
            LeaseTime::Agent => self.wanted_by_agent(),
            LeaseTime::Job => {
                let wanted = self.wanted_by_agent();
                let sticky = self.settings.proxy_sticky.then(|| format!("job {}", attempt.index));
                Wanted { sticky: sticky.or(wanted.sticky), ..wanted }
            }
        };
        let keeps = time == LeaseTime::Agent && self.current().is_some_and(|current| current.wanted == wanted);
        if !keeps {
            self.lease(wanted).await.map_err(|error| Failure {
                kind: FailureKind::Failed,
                message: words(&error),
                traceback: String::new(),
            })?;
        }
        drop(changing);
        for (level, content) in std::mem::take(&mut self.state().untold) {
            self.tell(level, content);
        }
        if let Some(Current { leased, exit_address, .. }) = self.current() {
            let mut content = format!("leaves through {}", described(&leased));
            let level = match exit_address {
                Some(address) => {
                    content.push_str(&format!("; its address is {address}, as it should be"));
                    EventLevel::Success
                }
                None => EventLevel::Info,
            };
            self.tell(level, content);
        }
        Ok(())
    }

    /// Where traffic leaves.
    pub(super) fn status(&self) -> wit::ProxyStatus {
        let current = self.current();
        let upstream = current.as_ref().map(|current| &current.leased.upstream);
        wit::ProxyStatus {
            enabled: self.settings.lease_time().is_some(),
            upstream: upstream.map(|upstream| upstream.name.clone()),
            location: upstream.map(|upstream| upstream.location.clone()),
            exit_address: current.as_ref().and_then(|current| current.exit_address).map(|address| address.to_string()),
        }
    }

    /// Where traffic comes out, if it leaves through a proxy: as the operator says of the one that there is, or else as
    /// the configuration asks for.
    pub(crate) fn comes_out_at(&self) -> Option<String> {
        self.settings.lease_time()?;
        let leased = self.current().map(|current| current.leased.upstream.location.clone());
        Some(leased.filter(|location| !location.is_empty()).unwrap_or_else(|| self.settings.proxy_location.clone()))
    }

    /// Leases another proxy, for the job or for the agent.
    pub(super) async fn change(self: &Arc<Self>, wanted: Wanted, in_job: bool) -> Result<wit::ProxyStatus, Error> {
        self.check_enabled()?;
        let lease = self.clone();
        self.make(async move {
            lease.lease(wanted.clone()).await?;
            if !in_job {
                lease.state().of_agent = Some(wanted);
            }
            if let Some(Current { leased, .. }) = lease.current() {
                lease.tell(EventLevel::Info, format!("leaves through {} from here on", described(&leased)));
            }
            Ok(lease.status())
        })
        .await
    }

    /// Makes a change, to its end even if whoever asked for it stops waiting: broken off, it would leave no proxy. It
    /// is over when `changing` is free again.
    async fn make<T: Send + 'static>(
        &self,
        change: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let changing = self.changing.clone().lock_owned().await;
        let made = tokio::spawn(async move {
            let made = change.await;
            drop(changing);
            made
        });
        self.state().change = Some(made.abort_handle());
        made.await.unwrap_or_else(|_| Err(Error::Closed("the agent is over".to_owned())))
    }

    /// The location that is wanted where nothing else is said.
    pub(super) fn location(&self) -> &str {
        &self.settings.proxy_location
    }

    /// Looks up the address that traffic comes out at.
    pub(super) async fn verify_ip(&self) -> Result<String, Error> {
        self.check_enabled()?;
        let page = self.page().map_err(Error::Invalid)?;
        let Some(current) = self.current() else { return Err(Error::Unavailable(self.state().missing.clone())) };
        let verified = verify(page.url.url(), &current.leased).await;
        if let Some(known) = &mut self.state().current
            && Arc::ptr_eq(&known.leased, &current.leased)
        {
            known.exit_address = verified.as_ref().ok().copied();
        }
        match verified {
            Ok(address) => {
                let content = format!("{} has the address {address}, as it should", described(&current.leased));
                self.tell(EventLevel::Success, content);
                Ok(address.to_string())
            }
            Err(Unverified::Wrong(why) | Unverified::Unknown(why)) => {
                self.tell(EventLevel::Failure, why.clone());
                Err(Error::Unavailable(why))
            }
        }
    }

    fn check_enabled(&self) -> Result<(), Error> {
        match self.settings.lease_time() {
            Some(_) => Ok(()),
            None => Err(Error::Invalid(
                "traffic leaves directly: set config_proxy.upstream_proxy_enabled to 1 or 2 in default_agent_message"
                    .to_owned(),
            )),
        }
    }

    fn page(&self) -> Result<&VerifyIp, String> {
        self.verify_ip.as_ref().ok_or_else(|| {
            "the operator's inventory has no page to look addresses up at: it needs [verify_ip] with a url".to_owned()
        })
    }

    fn wanted_by_agent(&self) -> Wanted {
        let of_agent = self.state().of_agent.clone();
        of_agent.unwrap_or_else(|| Wanted {
            location: self.settings.proxy_location.clone(),
            tags: self.settings.tags(),
            sticky: self.settings.proxy_sticky.then(|| format!("agent {}", self.by.agent)),
        })
    }

    /// Leases a proxy in place of the current one, verified if that is asked for. Without one like it, the current one
    /// stays. Whoever calls this holds `changing`.
    async fn lease(&self, wanted: Wanted) -> Result<(), Error> {
        let page = self.settings.verify_ip.then(|| self.page()).transpose().map_err(Error::Unavailable)?;
        let mut tried = 1;
        loop {
            // Should this be broken off, there is no proxy rather than one that is perhaps another agent's by now.
            let before = self.take_current("the upstream proxy was being changed, and that was broken off");
            let lent = self.lender.lease(self.run, self.by, wanted.clone());
            let lent = tokio::time::timeout(LENDING, lent).await.map_err(|_| lending_error(late()))?;
            let leased = match lent {
                Ok(upstream) => Arc::new(Leased::new(upstream)),
                Err(error) => {
                    let error = lending_error(error);
                    let mut state = self.state();
                    state.missing = words(&error);
                    state.current = before;
                    return Err(error);
                }
            };
            if let Some(before) = before {
                before.leased.end();
            }
            let exit_address = match page {
                None => None,
                Some(page) => match verify(page.url.url(), &leased).await {
                    Ok(address) => Some(address),
                    Err(unverified) => {
                        let is_last = tried >= PROXIES;
                        let (Unverified::Wrong(why) | Unverified::Unknown(why)) = &unverified;
                        self.state().missing = why.clone();
                        self.tell(EventLevel::Failure, why.clone());
                        self.give_back(true).await;
                        if is_last || matches!(unverified, Unverified::Wrong(_)) {
                            return Err(Error::Unavailable(why.clone()));
                        }
                        tried += 1;
                        continue;
                    }
                },
            };
            self.state().current = Some(Current { leased, wanted, exit_address });
            return Ok(());
        }
    }

    /// Leases another proxy than this one, which has failed like this. Whoever calls this holds `changing`.
    async fn replace(&self, failed: &Arc<Leased>, why: &str) -> Result<Arc<Leased>, Error> {
        let wanted = match self.current() {
            Some(current) if Arc::ptr_eq(&current.leased, failed) => current.wanted,
            // Another connection has found that out before.
            Some(current) => return Ok(current.leased),
            None => return Err(Error::Unavailable(self.state().missing.clone())),
        };
        let told = format!("{} fails, and is given back: {why}", described(failed));
        self.drop_current(&told);
        self.tell(EventLevel::Warning, told);
        self.give_back(true).await;
        self.lease(wanted).await?;
        let current = self.current().ok_or_else(|| Error::Unavailable(self.state().missing.clone()))?;
        let told = match current.leased.upstream.name == failed.upstream.name {
            true => format!("there is no other than {}: it is tried again", described(&current.leased)),
            false => format!("leaves through {} instead", described(&current.leased)),
        };
        self.tell(EventLevel::Info, told);
        Ok(current.leased)
    }

    /// Takes the proxy out of use, for this reason. Connections through it go on.
    fn take_current(&self, why: &str) -> Option<Current> {
        let mut state = self.state();
        state.missing = why.to_owned();
        state.current.take()
    }

    /// The same, and its connections end.
    fn drop_current(&self, why: &str) -> Option<Current> {
        self.take_current(why).inspect(|current| current.leased.end())
    }

    async fn give_back(&self, has_failed: bool) {
        let giving = self.lender.give_back(self.run, self.by, has_failed);
        let given = tokio::time::timeout(LENDING, giving).await.unwrap_or(Err(late()));
        if let Err(error) = given {
            // It ends with the agent at the latest.
            tracing::warn!("the upstream proxy could not be given back: {error}");
        }
    }

    /// Tells the job, or the next one where none is running.
    fn tell(&self, level: EventLevel, content: String) {
        if !self.monitoring.tell(level, content.clone()) {
            let mut state = self.state();
            if state.untold.len() < UNTOLD {
                state.untold.push((level, content));
            }
        }
    }
}

#[async_trait]
impl Exit for Lease {
    async fn current(&self) -> Result<Option<Arc<Leased>>, String> {
        if self.settings.lease_time().is_none() {
            return Ok(None);
        }
        let _changing = self.changing.lock().await;
        let state = self.state();
        match &state.current {
            Some(current) => Ok(Some(current.leased.clone())),
            None => Err(format!("there is no upstream proxy: {}", state.missing)),
        }
    }

    async fn another(self: Arc<Self>, failed: Arc<Leased>, why: String) -> Result<Arc<Leased>, String> {
        let lease = self.clone();
        let replaced = self.make(async move { lease.replace(&failed, &why).await }).await;
        replaced.map_err(|error| format!("there is no upstream proxy: {}", words(&error)))
    }
}

/// The proxy, in words.
fn described(leased: &Leased) -> String {
    let (name, location) = (&leased.upstream.name, &leased.upstream.location);
    match location.as_str() {
        "" => format!("the upstream proxy `{name}`"),
        _ => format!("the upstream proxy `{name}` ({location})"),
    }
}

fn late() -> ProtocolError {
    ProtocolError::Unavailable("whoever lends upstream proxies does not answer in time".to_owned())
}

fn lending_error(error: ProtocolError) -> Error {
    match error {
        ProtocolError::NotFound(_) => Error::NotFound(error.to_string()),
        other => Error::Unavailable(other.to_string()),
    }
}

/// What an error says.
fn words(error: &Error) -> String {
    match error {
        Error::Denied(text)
        | Error::Invalid(text)
        | Error::NotFound(text)
        | Error::Timeout(text)
        | Error::Limit(text)
        | Error::Closed(text)
        | Error::Unavailable(text)
        | Error::Other(text) => text.clone(),
    }
}
