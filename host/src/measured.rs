//! Instances without an agent, a queue or a browser: what `benches/` measures, and no part of the interface.

use std::sync::Arc;
use std::time::Duration;

use armada_project::{AgentSettings, Grant};
use armada_protocol::embedded::EmbeddedRunStore;
use armada_protocol::{Incarnation, Inventory, InventoryLender, Lent, RunId};
use serde_json::Map;
use tokio_util::sync::CancellationToken;

use crate::capabilities::browser::BrowserOptions;
use crate::capabilities::{Capabilities, Means};
use crate::engine::{ComponentError, Sandbox};
use crate::instance::{Answer, Budget, Instance, Template};

const BUDGET: Budget =
    Budget { cpu: Duration::from_secs(60), wall: Duration::from_secs(120), limit: "seconds_per_job" };

/// A component that can be instantiated.
pub struct Runner {
    template: Template,
    capabilities: Arc<Capabilities>,
}

impl Runner {
    /// Compiles a component, and grants it this.
    pub fn new(sandbox: &Sandbox, component: &[u8], grant: Grant) -> Result<Self, ComponentError> {
        let component = wasmtime::component::Component::new(sandbox.engine(), component)
            .map_err(|error| ComponentError::Engine(format!("{error:#}")))?;
        let template = Template::new(sandbox, &component)?;
        let options = BrowserOptions { executable: None, headed: false, temp: std::env::temp_dir() };
        let (settings, _notes) = AgentSettings::from_message(&Map::new()).map_err(|problems| {
            ComponentError::Engine(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
        })?;
        let (inventory, runs) = (Inventory::default(), Arc::new(EmbeddedRunStore::default()));
        let means = Means {
            run: RunId::new(),
            by: Incarnation::new(0),
            grant: Arc::new(grant),
            settings: &settings,
            options: &options,
            lent: Lent::default(),
            lender: Arc::new(InventoryLender::new(inventory, runs)),
        };
        Ok(Self { template, capabilities: Arc::new(Capabilities::new(&means)) })
    }

    /// Makes an instance.
    pub async fn instantiate(&self) -> Result<Running, String> {
        let instance = Instance::new(&self.template, self.capabilities.clone(), BUDGET).await;
        instance.map(Running).map_err(|fault| fault.0.message)
    }
}

/// An instance.
pub struct Running(Instance);

impl Running {
    /// Opens the agent context.
    pub async fn open_agent(&mut self, message: &str) -> Result<(), String> {
        flat(self.0.open_agent(message.to_owned(), BUDGET).await)
    }

    /// Runs a job; gives its result.
    pub async fn run_job(&mut self, message: &str) -> Result<String, String> {
        flat(self.0.run_job(message.to_owned(), BUDGET, CancellationToken::new()).await)
    }
}

/// One reason for whatever went wrong.
fn flat<T>(answer: Answer<T>) -> Result<T, String> {
    answer.map_err(|fault| fault.0.message)?.map_err(|failure| failure.message)
}
