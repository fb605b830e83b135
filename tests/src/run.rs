//! Runs in this process: the same agents, queue and ledger as `armada run` has, without processes of their own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use armada_host::agent::{AgentError, AgentOptions};
use armada_host::{ComponentCache, Sandbox};
use armada_project::{Capability, Ceiling, ComponentRef, Configuration, Digest, Grant, Mode, Overrides};
use armada_protocol::embedded::{EmbeddedJobStore, EmbeddedQueue, EmbeddedRunStore};
use armada_protocol::{
    AgentRecord, Broker as _, Change, Connections, Incarnation, Inventory, InventoryLender, Job, JobRecord,
    Ledger as _, Registry as _, RunId, RunOptions,
};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{PRIVATE_HOSTS, target_folder};

/// How long a run of a test may take.
const PATIENCE: Duration = Duration::from_secs(240);

/// A run to be made.
pub struct TestRun {
    component: Vec<u8>,
    sandbox: Value,
    ceiling: Value,
    private_hosts: String,
    agent_message: Value,
    jobs: Vec<Value>,
    agents: u32,
    inventory: Inventory,
    temp: tempfile::TempDir,
}

/// What came of a run.
pub struct Finished {
    /// The jobs that have ended, by index.
    pub jobs: Vec<JobRecord>,
    /// How each agent ended.
    pub agents: Vec<Result<(), AgentError>>,
    /// The folder of artifacts.
    pub artifacts: tempfile::TempDir,
    /// Every change, in order.
    pub changes: Vec<Change>,
}

impl TestRun {
    /// A run of a component that may use every capability and visit this machine.
    pub fn of(component: Vec<u8>) -> Self {
        let sandbox = json!({"capabilities": Capability::ALL, "allowed_hosts": ["127.0.0.1:*", "localhost:*"]});
        Self {
            component,
            sandbox,
            ceiling: json!({}),
            private_hosts: PRIVATE_HOSTS.to_owned(),
            agent_message: json!({}),
            jobs: vec![json!({})],
            agents: 1,
            inventory: Inventory::default(),
            temp: tempfile::tempdir().unwrap(),
        }
    }

    /// Replaces the whole of `run_message.sandbox`.
    pub fn sandbox(mut self, sandbox: Value) -> Self {
        self.sandbox = sandbox;
        self
    }

    /// Sets the operator's ceiling, to which the hosts of this machine are added.
    pub fn ceiling(mut self, ceiling: Value) -> Self {
        self.ceiling = ceiling;
        self
    }

    /// Sets limits of `run_message.sandbox.limits`.
    pub fn limits(mut self, limits: Value) -> Self {
        self.sandbox["limits"] = limits;
        self
    }

    /// Sets the hosts that pages may request.
    pub fn allowed_hosts(mut self, hosts: &[&str]) -> Self {
        self.sandbox["allowed_hosts"] = json!(hosts);
        self
    }

    /// Has the operator's ceiling allow every capability but this.
    pub fn withholding(mut self, capability: &str) -> Self {
        let others = Capability::ALL.iter().map(|one| one.name()).filter(|name| *name != capability);
        self.ceiling["capabilities"] = others.collect();
        self
    }

    /// Sets which hosts of this machine the operator lets pages request; those of every test, where nothing is said.
    pub fn private_hosts(mut self, hosts: &str) -> Self {
        self.private_hosts = hosts.to_owned();
        self
    }

    /// Sets what the operator lends.
    pub fn inventory(mut self, inventory: Inventory) -> Self {
        self.inventory = inventory;
        self
    }

    /// Sets the agent message.
    pub fn agent_message(mut self, message: Value) -> Self {
        self.agent_message = message;
        self
    }

    /// Sets the jobs, by their messages.
    pub fn jobs(mut self, jobs: impl IntoIterator<Item = Value>) -> Self {
        self.jobs = jobs.into_iter().collect();
        self
    }

    /// The folder that its browsers have their folders in.
    pub fn temp(&self) -> &Path {
        self.temp.path()
    }

    /// Sets how many agents there are.
    pub fn agents(mut self, agents: u32) -> Self {
        self.agents = agents;
        self
    }

    fn grant(&self) -> Grant {
        // Through the pipeline that projects go through, so that a mistake in a test's sandbox is told as theirs are.
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("config")).unwrap();
        let template = json!({"run_message": {"sandbox": self.sandbox}}).to_string();
        std::fs::write(folder.path().join("config/config_template.json"), template).unwrap();
        let configuration = Configuration::resolve(folder.path(), Mode::Local, &Overrides::default());
        let configuration = configuration.unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let private_hosts = self.private_hosts.split(',').map(|host| host.parse().unwrap()).collect();
        let ceiling = Ceiling::from_json("the ceiling", &self.ceiling.to_string());
        let ceiling = ceiling.unwrap_or_else(|mistakes| panic!("{mistakes}"));
        Grant::new(configuration.sandbox(), &Ceiling { private_hosts, ..ceiling })
    }

    /// Makes the run and waits until it is over.
    ///
    /// # Panics
    ///
    /// When it takes too long.
    pub fn finish(self) -> Finished {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let finished = runtime.block_on(async { tokio::time::timeout(PATIENCE, self.drive()).await });
        finished.expect("the run should be over by now")
    }

    async fn drive(self) -> Finished {
        let (run, grant) = (RunId::new(), self.grant());
        let (queue, runs) = (Arc::new(EmbeddedQueue::default()), Arc::new(EmbeddedRunStore::default()));
        let jobs = Arc::new(EmbeddedJobStore::default());
        let lender = Arc::new(InventoryLender::new(self.inventory.clone(), runs.clone()));
        let artifacts = tempfile::tempdir().unwrap();
        let (changes, mut heard) = mpsc::channel(10_000);
        let hearing = tokio::spawn(async move {
            let mut all = Vec::new();
            while let Some(change) = heard.recv().await {
                all.push(change);
            }
            all
        });
        let options = RunOptions {
            attempts_per_job: grant.limits().attempts_per_job,
            artifacts: Some(artifacts.path().to_owned()),
            changes,
        };
        jobs.open(run, options).await.unwrap();
        queue.declare(run).await.unwrap();
        let digest = Digest::of(&self.component);
        let component = ComponentRef { digest, size: self.component.len() as u64 };
        runs.put_component(run, digest, self.component.clone()).await.unwrap();
        let message: Map<String, Value> = self.agent_message.as_object().cloned().unwrap_or_default();
        for index in 0..self.agents {
            let record = AgentRecord { message: message.clone(), component, grant: grant.clone(), compiled: None };
            runs.put_agent(run, index, record).await.unwrap();
        }
        for (index, message) in (0..).zip(&self.jobs) {
            let message = RawValue::from_string(message.to_string()).unwrap();
            queue.publish(run, vec![Job { uuid: run.job(index), index, message }]).await.unwrap();
        }
        jobs.dispatched(run, self.jobs.len() as u64).await.unwrap();
        let sandbox = Sandbox::new().unwrap();
        let mut agents = JoinSet::new();
        for index in 0..self.agents {
            let options = AgentOptions {
                run,
                by: Incarnation::new(index),
                cache: cache(),
                key: None,
                chromium: None,
                headed: false,
                temp: self.temp.path().to_owned(),
            };
            let connections =
                Connections { queue: queue.clone(), runs: runs.clone(), jobs: jobs.clone(), lender: lender.clone() };
            let sandbox = sandbox.clone();
            agents.spawn(async move {
                let lived = armada_host::agent::run(&sandbox, options, connections, CancellationToken::new()).await;
                (index, lived.ended)
            });
        }
        let mut ended = agents.join_all().await;
        ended.sort_by_key(|(index, _)| *index);
        jobs.close(run).await.unwrap();
        let left = std::fs::read_dir(self.temp.path()).unwrap().count();
        assert_eq!(left, 0, "an agent has left something behind in its temporary folder");
        let changes = hearing.await.unwrap();
        let mut records: Vec<JobRecord> = changes
            .iter()
            .filter_map(|change| match change {
                Change::Ended(record) => Some((**record).clone()),
                _ => None,
            })
            .collect();
        records.sort_by_key(|record| record.index);
        Finished { jobs: records, agents: ended.into_iter().map(|(_, ended)| ended).collect(), artifacts, changes }
    }
}

/// The components that tests have compiled, kept between test runs.
fn cache() -> ComponentCache {
    ComponentCache::new(cache_folder().join("components"))
}

/// The folder that tests give as `--cache-dir`.
pub fn cache_folder() -> PathBuf {
    target_folder().join("test-cache")
}
