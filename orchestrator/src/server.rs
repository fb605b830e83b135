//! The server: store, queue, conductor and API put together, started in order and ended in the reverse.
//!
//! Whatever is there already is found again: runs go on where they were. When it ends, it takes no more launches, has
//! agents hand back their jobs, answers what was asked, tells those who watch what happened last, and closes the store.

use std::fs::{File, TryLockError};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use armada_host::{ComponentError, Sandbox};
use armada_protocol::embedded::{EmbeddedQueue, EmbeddedRunStore};
use armada_protocol::rabbitmq::RabbitQueue;
use armada_protocol::redis::{self, RedisRunStore};
use armada_protocol::{Broker, Hidden, ProtocolError, Registry};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::conductor::{Conductor, ConductorError};
use crate::connections::{Bounds, Connections};
use crate::credentials::Credentials;
use crate::http::health::Check;
use crate::http::{self, Api};
use crate::inputs::{self, InputsError};
use crate::retention;
use crate::settings::Settings;
use crate::store::{Store, StoreError, StoreOptions};

/// Why a server is not there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// Its folder cannot be used.
    #[error("the data folder {folder}: {error}")]
    Data {
        /// Which one.
        folder: String,
        /// Why.
        error: std::io::Error,
    },
    /// Another server uses its folder.
    #[error("another armada serve uses the data folder {0}: end that one, or give another --data")]
    InUse(String),
    /// It cannot listen.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        error: std::io::Error,
    },
    /// What a server before it left could not be removed.
    #[error(transparent)]
    Inputs(#[from] InputsError),
    /// Its store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Redis or RabbitMQ cannot be used.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// Its runs cannot be gone on with.
    #[error(transparent)]
    Conductor(#[from] ConductorError),
    /// There is no engine.
    #[error(transparent)]
    Engine(#[from] ComponentError),
}

/// A server that listens.
pub struct Server {
    listener: TcpListener,
    connections: Connections,
    api: Api,
    grace: Duration,
    /// Held as long as the folder is used.
    _lock: File,
}

impl Server {
    /// Opens everything that it needs, and goes on with the runs that it finds.
    pub async fn start(settings: Settings) -> Result<Self, ServerError> {
        let lock = lock(&settings.data)?;
        inputs::sweep(&settings.data)?;
        // Before anything is opened that many files are needed for.
        let connections = Connections::new(Bounds::of_this_process());
        let settings = Arc::new(settings);
        let credentials = Credentials::open(&settings.data)
            .map_err(|error| ServerError::Data { folder: settings.data.display().to_string(), error })?;
        let listener = TcpListener::bind(settings.listen)
            .await
            .map_err(|error| ServerError::Listen { address: settings.listen, error })?;
        let url = match &settings.store_url {
            Some(Hidden(url)) => url.clone(),
            None => Store::file_url(&settings.data.join("armada.db")),
        };
        let artifacts = settings.data.join("artifacts");
        let options = StoreOptions { url, artifacts, lease: settings.agent_silence, retry: settings.retry.clone() };
        let store = Store::open(options).await?;
        let mut checks = Vec::new();
        let queue: Arc<dyn Broker> = match &settings.amqp_url {
            Some(Hidden(url)) => {
                let queue = Arc::new(RabbitQueue::new(url, "armada serve")?);
                wait_for(queue.check().await)?;
                let asked = queue.clone();
                checks.push(Check::new("rabbitmq", move || {
                    let asked = asked.clone();
                    Box::pin(async move { asked.check().await.map_err(|error| error.to_string()) })
                }));
                queue
            }
            None => Arc::new(EmbeddedQueue::default()),
        };
        let runs: Arc<dyn Registry> = match &settings.redis_url {
            Some(Hidden(url)) => {
                let runs = Arc::new(RedisRunStore::new(url, redis::EXPIRY)?);
                wait_for(runs.check().await)?;
                let asked = runs.clone();
                checks.push(Check::new("redis", move || {
                    let asked = asked.clone();
                    Box::pin(async move { asked.check().await.map_err(|error| error.to_string()) })
                }));
                runs
            }
            None => Arc::new(EmbeddedRunStore::default()),
        };
        let conductor =
            Conductor::new(store.clone(), queue, runs, Sandbox::new()?, credentials.clone(), settings.clone());
        let resumed = conductor.resume_all().await?;
        if resumed > 0 {
            tracing::info!(runs = resumed, "going on with the runs that had not ended");
        }
        let grace = settings.grace;
        let api = Api::new(store, conductor, settings, credentials, checks);
        Ok(Self { listener, connections, api, grace, _lock: lock })
    }

    /// Where it listens.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until it is told to end; then ends in order.
    pub async fn serve(self, shutdown: CancellationToken) {
        let Self { listener, connections, api, grace, _lock } = self;
        let router = http::router(api.clone());
        let tidying = CancellationToken::new();
        let (data, keep) = (api.settings.data.clone(), api.settings.keep_runs);
        let tidied =
            tokio::spawn(retention::keep(api.store.clone(), api.conductor.clone(), data, keep, tidying.clone()));
        let ending = async {
            shutdown.cancelled().await;
            api.close_links().await;
            tokio::time::sleep(grace).await;
        };
        tokio::select! {
            () = connections.serve(listener, router, shutdown.clone()) => {}
            // A client that does not let go is let go.
            () = ending => {}
        }
        tidying.cancel();
        if let Err(error) = tidied.await {
            tracing::error!(%error, "the task that removes what is not kept failed");
        }
        api.close_links().await;
        api.conductor.close().await;
        api.close_watchers().await;
        connections.close().await;
        api.store.close().await;
    }
}

/// What is away may come: runs wait for it, and until then the server is not ready. What is wrong stays so.
fn wait_for(checked: Result<(), ProtocolError>) -> Result<(), ProtocolError> {
    match checked {
        Err(error @ ProtocolError::Unavailable(_)) => {
            tracing::warn!("{error}: runs wait for it");
            Ok(())
        }
        checked => checked,
    }
}

/// Makes the data folder, and sees to it that no other server uses it.
fn lock(folder: &Path) -> Result<File, ServerError> {
    let data = |error| ServerError::Data { folder: folder.display().to_string(), error };
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(data)?;
    let file = File::options().create(true).truncate(false).write(true).open(folder.join("lock")).map_err(data)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(ServerError::InUse(folder.display().to_string())),
        Err(TryLockError::Error(error)) => Err(data(error)),
    }
}
