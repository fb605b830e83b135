//! What a server conducts runs with, for tests: each has a store in a file, and a folder, of its own.
//!
//! What it conducts is in its folder, and another one finds it there.

use std::sync::Arc;
use std::time::Duration;

use armada_host::Sandbox;
use armada_protocol::embedded::{EmbeddedQueue, EmbeddedRunStore};
use armada_protocol::{Broker, Registry};
use tempfile::TempDir;

use crate::conductor::Conductor;
use crate::credentials::Credentials;
use crate::settings::{AgentMode, Settings};
use crate::store::{Store, StoreOptions};

/// A conductor, and what it is given.
pub(crate) struct Rig {
    pub(crate) conductor: Conductor,
    pub(crate) store: Store,
    pub(crate) queue: Arc<dyn Broker>,
    pub(crate) credentials: Credentials,
    pub(crate) settings: Arc<Settings>,
    pub(crate) folder: TempDir,
}

impl Rig {
    /// With everything in this process, and agents that somebody else would start.
    pub(crate) async fn embedded() -> Self {
        Self::with_queue(EmbeddedQueue::default()).await
    }

    /// The same with this queue.
    pub(crate) async fn with_queue(queue: impl Broker + 'static) -> Self {
        let (folder, runs) = (tempfile::tempdir().unwrap(), Arc::new(EmbeddedRunStore::default()));
        Self::open(folder, Arc::new(queue), runs, |_| {}).await
    }

    /// With settings that are set like this.
    pub(crate) async fn open(
        folder: TempDir,
        queue: Arc<dyn Broker>,
        runs: Arc<dyn Registry>,
        set: impl FnOnce(&mut Settings),
    ) -> Self {
        let data = folder.path();
        let mut settings = Settings::new(data.into(), data.join("cache"), AgentMode::External);
        // What a test leaves going is not waited for.
        settings.grace = Duration::from_millis(10);
        set(&mut settings);
        let store = Store::open(StoreOptions {
            url: Store::file_url(&data.join("store.db")),
            artifacts: data.join("artifacts"),
            lease: settings.agent_silence,
            retry: settings.retry.clone(),
        });
        let (store, credentials) = (store.await.unwrap(), Credentials::open(data).unwrap());
        let (sandbox, settings) = (Sandbox::new().unwrap(), Arc::new(settings));
        let conductor =
            Conductor::new(store.clone(), queue.clone(), runs, sandbox, credentials.clone(), settings.clone());
        Self { conductor, store, queue, credentials, settings, folder }
    }

    /// Ends it, with its folder.
    pub(crate) async fn close(self) {
        self.conductor.close().await;
        self.store.close().await;
    }
}
