//! Lending what an operator's [inventory](crate::inventory) has to agents.
//!
//! Databases and secrets are lent to every agent whose run's grant names them. An upstream proxy is leased, one to an
//! agent at a time: whoever asks gets the one that fits and is used least, and one that has failed rests for a while.
//! Leases are counted in this process; they end when the agent gives its proxy back, leases another, or is gone.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use armada_project::{Capability, Grant, Lendable};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::device::DeviceProfile;
use crate::inventory::{Database, Inventory, Secret, Upstream, VerifyIp};
use crate::{Incarnation, ProtocolError, RunId, RunStore};

/// How long a proxy that has failed is lent only where no other fits.
const REST: Duration = Duration::from_secs(60);

/// What an agent may use for as long as it lives.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Lent {
    /// Databases, by name.
    pub databases: BTreeMap<String, Database>,
    /// Secrets, by name: those that the script may use without seeing them, and those that it may see.
    pub secrets: BTreeMap<String, Secret>,
    /// Where it asks for the address that it is seen at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify_ip: Option<VerifyIp>,
    /// Profiles of devices, beside those that every agent has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub device_profiles: Vec<DeviceProfile>,
}

/// Which upstream proxy an agent wants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// The location; any where it is empty.
    pub location: String,
    /// What it must be tagged with.
    pub tags: Vec<String>,
    /// Whoever asks with the same text gets the same proxy, as long as it is there and free.
    pub sticky: Option<String>,
}

/// Who lends to agents.
#[async_trait]
pub trait Lender: Send + Sync {
    /// What is lent to an agent for as long as it lives.
    async fn lent(&self, run: RunId, by: Incarnation) -> Result<Lent, ProtocolError>;

    /// Leases an upstream proxy to an agent, in place of the one that it had, which it keeps where this fails. Fails
    /// with `NotFound` when the operator has none like it, and with `Unavailable` when all like it are taken.
    async fn lease(&self, run: RunId, by: Incarnation, wanted: Wanted) -> Result<Upstream, ProtocolError>;

    /// The agent is done with the proxy that it had, if it had one; perhaps because it has failed.
    async fn give_back(&self, run: RunId, by: Incarnation, has_failed: bool) -> Result<(), ProtocolError>;
}

/// Lends what is in an inventory.
pub struct InventoryLender {
    inventory: Inventory,
    /// Where the grants of runs are.
    runs: Arc<dyn RunStore>,
    leases: Mutex<Leases>,
}

#[derive(Default)]
struct Leases {
    /// The places, in the inventory, of the proxies that agents have.
    taken: HashMap<(RunId, u32), usize>,
    /// When proxies have failed, by place.
    failed: HashMap<usize, Instant>,
    /// How many leases there were before the last of each proxy, by place: whoever leases anew gets another.
    last: HashMap<usize, u64>,
    leased: u64,
}

impl InventoryLender {
    /// Lends what is in this inventory to agents whose records are in this store.
    pub fn new(inventory: Inventory, runs: Arc<dyn RunStore>) -> Self {
        Self { inventory, runs, leases: Mutex::default() }
    }

    /// Ends the leases of a run, whose agents are gone.
    pub fn forget(&self, run: RunId) {
        self.leases().taken.retain(|(of, _), _| *of != run);
    }

    fn leases(&self) -> MutexGuard<'_, Leases> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The proxies that would do, with their places.
    fn fitting<'a>(&'a self, wanted: &'a Wanted) -> impl Iterator<Item = (usize, &'a Upstream)> {
        self.inventory.upstreams.iter().enumerate().filter(|(_, upstream)| {
            (wanted.location.is_empty() || upstream.location.eq_ignore_ascii_case(&wanted.location))
                && wanted.tags.iter().all(|tag| upstream.tags.contains(tag))
        })
    }

    /// Says that there is none, and what there is.
    fn none_like(&self, wanted: &Wanted) -> ProtocolError {
        let mut what = "an upstream proxy".to_owned();
        if !wanted.location.is_empty() {
            what.push_str(&format!(" in {:?}", wanted.location));
        }
        if !wanted.tags.is_empty() {
            what.push_str(&format!(" with the tags {:?}", wanted.tags));
        }
        let mut locations: Vec<&str> =
            self.inventory.upstreams.iter().map(|upstream| upstream.location.as_str()).collect();
        locations.sort_unstable();
        locations.dedup();
        ProtocolError::NotFound(match locations.as_slice() {
            [] => format!("{what} (the operator's inventory has none)"),
            some => format!("{what} (the operator's inventory has some in {})", some.join(", ")),
        })
    }
}

/// What a grant lets an agent have of these.
fn granted<T: Clone>(all: &BTreeMap<String, T>, grant: &Grant, kinds: &[Lendable]) -> BTreeMap<String, T> {
    let is_granted = |name: &str| kinds.iter().any(|kind| grant.check_name(*kind, name).is_ok());
    all.iter().filter(|(name, _)| is_granted(name)).map(|(name, thing)| (name.clone(), thing.clone())).collect()
}

#[async_trait]
impl Lender for InventoryLender {
    async fn lent(&self, run: RunId, by: Incarnation) -> Result<Lent, ProtocolError> {
        let verify_ip = self.inventory.verify_ip.clone();
        let device_profiles = self.inventory.device_profiles.0.clone();
        if self.inventory.databases.is_empty() && self.inventory.secrets.is_empty() {
            return Ok(Lent { verify_ip, device_profiles, ..Lent::default() });
        }
        let grant = self.runs.agent(run, by.agent).await?.grant;
        Ok(Lent {
            databases: granted(&self.inventory.databases, &grant, &[Lendable::Databases]),
            device_profiles,
            secrets: granted(&self.inventory.secrets, &grant, &[Lendable::Secrets, Lendable::RevealedSecrets]),
            verify_ip,
        })
    }

    async fn lease(&self, run: RunId, by: Incarnation, wanted: Wanted) -> Result<Upstream, ProtocolError> {
        // Whoever has a link can ask, whatever its host would say to a script.
        let grant = self.runs.agent(run, by.agent).await?.grant;
        grant
            .check_capability(Capability::Proxy.name())
            .map_err(|denied| ProtocolError::Invalid(denied.to_string()))?;
        let mut leases = self.leases();
        let before = leases.taken.remove(&(run, by.agent));
        leases.failed.retain(|_, failed| failed.elapsed() < REST);
        let users = |place: usize| leases.taken.values().filter(|taken| **taken == place).count();
        let is_free = |place: usize, upstream: &Upstream| {
            upstream.agents.is_none_or(|most| users(place) < usize::try_from(most).unwrap_or(usize::MAX))
        };
        let stickiness = |upstream: &Upstream| {
            let mut hasher = DefaultHasher::new();
            (&wanted.sticky, &upstream.name).hash(&mut hasher);
            wanted.sticky.as_ref().map(|_| hasher.finish())
        };
        let free = self.fitting(&wanted).filter(|(place, upstream)| is_free(*place, upstream));
        let best = free.min_by_key(|(place, upstream)| {
            let recency = leases.last.get(place);
            (leases.failed.contains_key(place), stickiness(upstream), users(*place), recency, *place)
        });
        let Some((place, upstream)) = best else {
            if let Some(before) = before {
                leases.taken.insert((run, by.agent), before);
            }
            return Err(match self.fitting(&wanted).next() {
                Some(_) => {
                    ProtocolError::Unavailable("every upstream proxy that fits is taken by other agents".to_owned())
                }
                None => self.none_like(&wanted),
            });
        };
        let upstream = upstream.clone();
        leases.taken.insert((run, by.agent), place);
        leases.leased += 1;
        let number = leases.leased;
        leases.last.insert(place, number);
        Ok(upstream)
    }

    async fn give_back(&self, run: RunId, by: Incarnation, has_failed: bool) -> Result<(), ProtocolError> {
        let mut leases = self.leases();
        if let Some(place) = leases.taken.remove(&(run, by.agent))
            && has_failed
        {
            leases.failed.insert(place, Instant::now());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use armada_project::{Ceiling, ComponentRef, Digest, Sandbox};

    use super::*;
    use crate::embedded::EmbeddedRunStore;
    use crate::{AgentRecord, Registry as _};

    fn upstream(name: &str, location: &str, agents: Option<u32>) -> Upstream {
        Upstream {
            name: name.to_owned(),
            url: "http://proxy.example:3128".to_owned().try_into().unwrap(),
            location: location.to_owned(),
            tags: vec!["fast".to_owned()],
            agents,
            resolve: Default::default(),
            exit_addresses: Vec::new(),
        }
    }

    /// A run of four agents, which asks for this.
    async fn run(runs: &EmbeddedRunStore, asked: &Sandbox) -> RunId {
        let run = RunId::new();
        let record = AgentRecord {
            message: Default::default(),
            component: ComponentRef { digest: Digest::of(b""), size: 0 },
            grant: Grant::new(asked, &Ceiling::none()),
            compiled: None,
        };
        for agent in 0..4 {
            runs.put_agent(run, agent, record.clone()).await.unwrap();
        }
        run
    }

    /// A lender, and a run that may lease these.
    async fn lender(upstreams: Vec<Upstream>) -> (InventoryLender, RunId) {
        let (inventory, runs) = (Inventory { upstreams, ..Inventory::default() }, EmbeddedRunStore::default());
        let run = run(&runs, &Sandbox { capabilities: [Capability::Proxy].into(), ..Sandbox::default() }).await;
        (InventoryLender::new(inventory, Arc::new(runs)), run)
    }

    async fn lease(lender: &InventoryLender, run: RunId, agent: u32, wanted: Wanted) -> Result<String, String> {
        let leased = lender.lease(run, Incarnation::new(agent), wanted).await;
        leased.map(|upstream| upstream.name).map_err(|error| error.to_string())
    }

    fn at(location: &str) -> Wanted {
        Wanted { location: location.to_owned(), ..Wanted::default() }
    }

    #[tokio::test]
    async fn the_proxy_that_fits_and_is_used_least_is_leased() {
        let upstreams = vec![upstream("a", "DE", None), upstream("b", "de", Some(1)), upstream("c", "FR", None)];
        let (lender, run) = lender(upstreams).await;
        let agents: Vec<Incarnation> = (0..4).map(Incarnation::new).collect();
        let mut leased = Vec::new();
        for by in &agents[..3] {
            leased.push(lender.lease(run, *by, at("DE")).await.unwrap().name);
        }
        assert_eq!(leased, ["a", "b", "a"]);
        // One that fails rests, and the place of one that is given back is free.
        lender.give_back(run, agents[0], true).await.unwrap();
        lender.give_back(run, agents[1], false).await.unwrap();
        assert_eq!(lender.lease(run, agents[3], at("DE")).await.unwrap().name, "b");
        // Whoever leases again has no two.
        assert_eq!(lender.lease(run, agents[3], at("fr")).await.unwrap().name, "c");
        assert_eq!(lender.lease(run, agents[1], at("DE")).await.unwrap().name, "b");
        assert_eq!(lender.lease(run, agents[0], at("DE")).await.unwrap().name, "a");
        lender.forget(run);
        assert!(lender.leases().taken.is_empty());
    }

    #[tokio::test]
    async fn whoever_leases_anew_gets_another_proxy() {
        let upstreams = ["a", "b", "c"].map(|name| upstream(name, "DE", None));
        let (lender, run) = lender(upstreams.into()).await;
        let by = Incarnation::new(0);
        let mut leased = Vec::new();
        for _ in 0..4 {
            leased.push(lender.lease(run, by, at("DE")).await.unwrap().name);
        }
        assert_eq!(leased, ["a", "b", "c", "a"]);
    }

    #[tokio::test]
    async fn what_there_is_not_is_told_with_what_there_is() {
        let (lender, run) = lender(vec![upstream("a", "DE", Some(1)), upstream("c", "FR", None)]).await;
        let told = lease(&lender, run, 0, at("US")).await.unwrap_err();
        assert_eq!(told, "an upstream proxy in \"US\" (the operator's inventory has some in DE, FR) does not exist");
        let slow = Wanted { tags: vec!["slow".to_owned()], ..at("DE") };
        assert!(lease(&lender, run, 0, slow).await.unwrap_err().contains("with the tags [\"slow\"]"));
        lease(&lender, run, 1, at("DE")).await.unwrap();
        assert!(lease(&lender, run, 0, at("DE")).await.unwrap_err().contains("taken by other agents"));
    }

    #[tokio::test]
    async fn the_same_text_sticks_to_the_same_proxy() {
        let (lender, run) = lender(('a'..='z').map(|name| upstream(&name.to_string(), "DE", None)).collect()).await;
        let sticky = |text: &str| Wanted { sticky: Some(text.to_owned()), ..at("DE") };
        let mut seen = std::collections::BTreeSet::new();
        for text in ["one", "two", "three", "four", "five", "six"] {
            let first = lease(&lender, run, 0, sticky(text)).await.unwrap();
            assert_eq!(lease(&lender, run, 1, sticky(text)).await.unwrap(), first);
            seen.insert(first);
        }
        assert!(seen.len() > 1, "{seen:?}");
    }

    #[tokio::test]
    async fn agents_of_runs_without_the_capability_lease_nothing() {
        let (runs, upstreams) = (EmbeddedRunStore::default(), vec![upstream("a", "DE", None)]);
        let run = run(&runs, &Sandbox::default()).await;
        let lender = InventoryLender::new(Inventory { upstreams, ..Inventory::default() }, Arc::new(runs));
        let told = lease(&lender, run, 0, at("DE")).await.unwrap_err();
        assert!(told.contains("add \"proxy\" to run_message.sandbox.capabilities"), "{told}");
        assert!(lease(&lender, RunId::new(), 0, at("DE")).await.is_err(), "a run that nobody knows");
    }

    #[tokio::test]
    async fn what_a_grant_does_not_name_is_not_lent() {
        let database =
            |url: &str| Database { url: crate::Hidden(url.to_owned()), writable: false, connections_per_agent: 1 };
        let secret = Secret { value: crate::Hidden("hush".to_owned()), origins: Vec::new() };
        let inventory = Inventory {
            databases: [("orders".to_owned(), database("sqlite:a")), ("people".to_owned(), database("sqlite:b"))]
                .into(),
            secrets: ["used", "seen", "other"].map(|name| (name.to_owned(), secret.clone())).into(),
            ..Inventory::default()
        };
        let mut asked = Sandbox::default();
        asked.names.insert(Lendable::Databases, ["orders".to_owned()].into());
        asked.names.insert(Lendable::Secrets, ["used".to_owned()].into());
        asked.names.insert(Lendable::RevealedSecrets, ["seen".to_owned()].into());
        let runs = EmbeddedRunStore::default();
        let run = run(&runs, &asked).await;
        let lent = InventoryLender::new(inventory, Arc::new(runs)).lent(run, Incarnation::new(0)).await.unwrap();
        assert_eq!(lent.databases.keys().collect::<Vec<_>>(), ["orders"]);
        assert_eq!(lent.secrets.keys().collect::<Vec<_>>(), ["seen", "used"]);
    }
}
