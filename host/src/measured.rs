//! Instances without an agent, a queue or a browser, and a browser's proxy without the browser: what `benches/`
//! measures, and no part of the interface.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use armada_project::{AgentSettings, Grant};
use armada_protocol::embedded::EmbeddedRunStore;
use armada_protocol::{Incarnation, Inventory, InventoryLender, Lent, RunId};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::ring;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use crate::capabilities::browser::BrowserOptions;
use crate::capabilities::proxy::{Peers, Proxy};
use crate::capabilities::{Capabilities, Means};
use crate::egress::{Egress, Trust};
use crate::engine::{ComponentError, Sandbox};
use crate::instance::{Answer, Budget, Instance, Role, Template};

const BUDGET: Budget =
    Budget { cpu: Duration::from_secs(60), wall: Duration::from_secs(120), limit: "seconds_per_job" };

/// A component that can be instantiated.
pub struct Runner {
    template: Template,
    capabilities: Arc<Capabilities>,
}

impl Runner {
    /// Compiles a component, grants it this, and configures its agent so.
    pub fn new(
        sandbox: &Sandbox,
        component: &[u8],
        grant: Grant,
        agent_message: &Map<String, Value>,
    ) -> Result<Self, ComponentError> {
        let component = wasmtime::component::Component::new(sandbox.engine(), component)
            .map_err(|error| ComponentError::Engine(format!("{error:#}")))?;
        let template = Template::new(sandbox, &component)?;
        let capabilities = with_means(grant, agent_message, Capabilities::new).map_err(ComponentError::Engine)?;
        let capabilities = Arc::new(capabilities);
        capabilities.traffic.use_template(&template, &capabilities).map_err(ComponentError::Engine)?;
        Ok(Self { template, capabilities })
    }

    /// Makes an instance.
    pub async fn instantiate(&self) -> Result<Running, String> {
        let instance = Instance::new(&self.template, self.capabilities.clone(), Role::Script, BUDGET).await;
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

/// The proxy of a browser, for the processes of this one's group.
pub struct InterceptingProxy {
    proxy: Proxy,
    _of: Arc<Capabilities>,
}

impl InterceptingProxy {
    /// Opens it on a free port, as an agent's browser has it. It trusts servers of this certificate (DER) and no
    /// others.
    pub async fn open(of: &Runner, certificate: Vec<u8>) -> Result<Self, String> {
        let of = of.capabilities.clone();
        let egress = Arc::new(Egress::through(of.grant.clone(), of.proxy.clone()));
        let proxy = Proxy::open(egress, trust(certificate)?, of.traffic.clone(), None, Arc::new(|_| ())).await;
        let proxy = proxy.map_err(|error| error.to_string())?;
        proxy.serve(Peers::group(rustix::process::getpgrp()));
        Ok(Self { proxy, _of: of })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.proxy.address()
    }

    /// Closes it, with every connection.
    pub async fn close(&self) {
        self.proxy.close().await;
    }
}

fn trust(certificate: Vec<u8>) -> Result<Trust, String> {
    let (mut roots, provider) = (RootCertStore::empty(), Arc::new(ring::default_provider()));
    roots.add(certificate.into()).map_err(|error| error.to_string())?;
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
    Trust::new(provider, Ok(verifier.map_err(|error| error.to_string())?)).map_err(|error| error.to_string())
}

/// Makes something of what an agent's capabilities are made of, with nothing lent.
fn with_means<T>(
    grant: Grant,
    message: &Map<String, Value>,
    make: impl FnOnce(&Means<'_>) -> Result<T, String>,
) -> Result<T, String> {
    let options = BrowserOptions { executable: None, headed: false, temp: std::env::temp_dir() };
    let (settings, _notes) = AgentSettings::from_message(message)
        .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
    let (inventory, runs) = (Inventory::default(), Arc::new(EmbeddedRunStore::default()));
    make(&Means {
        run: RunId::new(),
        by: Incarnation::new(0),
        grant: Arc::new(grant),
        settings: &settings,
        options: &options,
        lent: Lent::default(),
        lender: Arc::new(InventoryLender::new(inventory, runs)),
    })
}

/// One reason for whatever went wrong.
fn flat<T>(answer: Answer<T>) -> Result<T, String> {
    answer.map_err(|fault| fault.0.message)?.map_err(|failure| failure.message)
}
