//! Instances without an agent, a queue or a browser, and a browser's proxy without the browser: what `benches/` measures, and no
//! part of the interface.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use armada_project::{AgentSettings, Grant};
use armada_protocol::embedded::EmbeddedRunStore;
use armada_protocol::{Incarnation, Inventory, InventoryLender, Lent, RunId};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::ring;
use serde_json::Map;
use tokio_util::sync::CancellationToken;

use crate::capabilities::browser::BrowserOptions;
use crate::capabilities::monitoring::Monitoring;
use crate::capabilities::proxy::{Lease, Peers, Proxy};
use crate::capabilities::{Capabilities, Means};
use crate::egress::{Egress, Trust};
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
        let capabilities = with_means(grant, Capabilities::new).map_err(ComponentError::Engine)?;
        Ok(Self { template, capabilities: Arc::new(capabilities) })
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

/// The proxy of a browser, for the processes of this one's group.
pub struct InterceptingProxy(Proxy);

impl InterceptingProxy {
    /// Opens it on a free port, for what is granted. It trusts servers of this certificate (DER) and no others.
    pub async fn open(grant: Grant, certificate: Vec<u8>) -> Result<Self, String> {
        let egress = with_means(grant, |means| {
            let monitoring = Arc::new(Monitoring::new(means.grant.clone(), means.options.temp.clone()));
            Egress::through(means.grant.clone(), Arc::new(Lease::new(means, monitoring)))
        })?;
        let proxy = Proxy::open(Arc::new(egress), trust(certificate)?, Arc::new(|_| ())).await;
        let proxy = proxy.map_err(|error| error.to_string())?;
        proxy.serve(Peers::group(rustix::process::getpgrp()));
        Ok(Self(proxy))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.0.address()
    }

    /// Closes it, with every connection.
    pub async fn close(&self) {
        self.0.close().await;
    }
}

fn trust(certificate: Vec<u8>) -> Result<Trust, String> {
    let (mut roots, provider) = (RootCertStore::empty(), Arc::new(ring::default_provider()));
    roots.add(certificate.into()).map_err(|error| error.to_string())?;
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
    Trust::new(provider, Ok(verifier.map_err(|error| error.to_string())?)).map_err(|error| error.to_string())
}

/// Makes something of what an agent's capabilities are made of, with nothing configured and nothing lent.
fn with_means<T>(grant: Grant, make: impl FnOnce(&Means<'_>) -> T) -> Result<T, String> {
    let options = BrowserOptions { executable: None, headed: false, temp: std::env::temp_dir() };
    let (settings, _notes) = AgentSettings::from_message(&Map::new())
        .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
    let (inventory, runs) = (Inventory::default(), Arc::new(EmbeddedRunStore::default()));
    Ok(make(&Means {
        run: RunId::new(),
        by: Incarnation::new(0),
        grant: Arc::new(grant),
        message: &Map::new(),
        settings: &settings,
        options: &options,
        lent: Lent::default(),
        lender: Arc::new(InventoryLender::new(inventory, runs)),
    }))
}

/// One reason for whatever went wrong.
fn flat<T>(answer: Answer<T>) -> Result<T, String> {
    answer.map_err(|fault| fault.0.message)?.map_err(|failure| failure.message)
}
