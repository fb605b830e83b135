//! The store: what happened, in SQL, and who is told of it.
//!
//! One process writes, through one writer that puts what waits into one transaction (`writer`): so `seq` numbers what
//! happens without gaps that fill later, and a reader who has seen up to a number has missed nothing below it.
//! Decisions (does this job get another attempt, is the run drained) are made in the transaction that stores what they
//! follow from. SQLite needs nothing installed; PostgreSQL is taken by URL; the statements are the same.

mod agents;
mod attempts;
mod bounds;
pub(crate) mod foreign_runs;
mod ledger;
mod live;
pub(crate) mod queries;
pub(crate) mod reports;
mod retention;
pub(crate) mod runs;
mod statement;
#[cfg(test)]
pub(crate) mod tests;
pub mod views;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use armada_protocol::ProtocolError;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AnyPool, ConnectOptions as _, SqlSafeStr as _};
use tokio::sync::broadcast;

pub use self::live::Retry;
pub(crate) use self::runs::Ending;
pub use self::runs::{NewRun, Stored};
use self::writer::Writer;

/// How many characters PostgreSQL's codes have; those of SQLite are numbers of at most four.
const SQLSTATE: usize = 5;
/// How long a statement may wait for a connection, or for SQLite's lock.
const BUSY: Duration = Duration::from_secs(5);
/// How many connections read at the same time.
const CONNECTIONS: u32 = 8;
/// How many changes a watcher may be behind before it has to read what it missed from the store.
const WATCHED: usize = 4_096;

/// The tables, from one release to the next. What a release has brought never changes.
const MIGRATIONS: [(&str, &str); 1] = [("runs", include_str!("../migrations/0001_runs.sql"))];

fn migrations() -> Migrator {
    let migration = |(version, (name, sql)): (i64, &(&'static str, &'static str))| {
        Migration::new(version, (*name).into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations((1..).zip(&MIGRATIONS).map(migration).collect())
}

/// Why something was not stored or found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Its address is none.
    #[error("the address of the store is not one: it looks like postgres://user:password@host/database or sqlite:FILE")]
    Address,
    /// The database does not do as it is told, and would not the next time.
    #[error("the store refuses it: {0}")]
    Refused(String),
    /// Its tables could not be made.
    #[error("the store's tables: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// There is no such thing.
    #[error("{0} does not exist")]
    NotFound(String),
    /// What was asked for does not go with how things are.
    #[error("{0}")]
    Conflict(String),
    /// The store ends, or is away, or is too busy or full.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// A file could not be read or written.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// What was stored cannot be read.
    #[error("what is stored cannot be read: {0}")]
    Json(#[from] serde_json::Error),
}

impl From<sqlx::Error> for StoreError {
    /// What it is caused by is in its own words already.
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error::*;
        let may_pass = match &error {
            Io(_) | Tls(_) | Protocol(_) | PoolTimedOut | PoolClosed | WorkerCrashed | BeginFailed => true,
            Database(error) => error.code().is_none_or(|code| may_pass(&code)),
            _ => false,
        };
        let told = error.to_string();
        if may_pass { Self::Unavailable(told) } else { Self::Refused(told) }
    }
}

impl StoreError {
    /// Whether it may go well the next time.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Io(_))
    }
}

/// Whether what a database says with this code may pass: it ends, it is full or busy, others were faster. What breaks a
/// rule of the tables does so the next time, too.
fn may_pass(code: &str) -> bool {
    if code.len() == SQLSTATE {
        // <https://www.postgresql.org/docs/current/errcodes-appendix.html>
        const CLASSES: [&str; 5] = ["08", "40", "53", "57", "58"];
        const LOCKED: [&str; 3] = ["25006", "25P03", "55P03"];
        return CLASSES.iter().any(|class| code.starts_with(class)) || LOCKED.contains(&code);
    }
    // <https://sqlite.org/rescode.html>: the lowest byte says of which kind it is. BUSY, LOCKED, NOMEM, READONLY,
    // INTERRUPT, IOERR, FULL, CANTOPEN, PROTOCOL, SCHEMA.
    const KINDS: [u32; 10] = [5, 6, 7, 8, 9, 10, 13, 14, 15, 17];
    code.parse::<u32>().is_ok_and(|code| KINDS.contains(&(code & 0xff)))
}

impl From<StoreError> for ProtocolError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound(what) => Self::NotFound(what),
            StoreError::Conflict(message) => Self::Invalid(message),
            StoreError::Json(error) => Self::Json(error),
            // A full disk may have room again, and a database come back.
            other if other.may_pass() => Self::Unavailable(other.to_string()),
            other => Self::Invalid(other.to_string()),
        }
    }
}

/// Something that happened, as it is stored.
#[derive(Clone, Debug)]
pub struct StoredChange {
    /// Its number.
    pub seq: u64,
    /// The run that it belongs to.
    pub run: uuid::Uuid,
    /// What it is about: `run`, `agent`, `job`, `report`, `artifact`, `run_deleted`.
    pub kind: &'static str,
    /// The thing as the API shows it: the text of a JSON object.
    pub body: Arc<str>,
}

/// The store.
#[derive(Clone)]
pub struct Store {
    pool: AnyPool,
    writer: Writer,
    changes: broadcast::Sender<StoredChange>,
    live: Arc<live::LiveRuns>,
    /// Where artifacts are kept, in a folder per run and job.
    artifacts: Arc<Path>,
    /// How long an agent may be silent.
    lease: Duration,
    retry: Retry,
}

/// How the store is kept.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Where: `sqlite:…` or `postgres://…`.
    pub url: String,
    /// The folder of artifacts.
    pub artifacts: PathBuf,
    /// How long an agent may be silent before it is taken for dead.
    pub lease: Duration,
    /// How long jobs wait for further attempts.
    pub retry: Retry,
}

impl Store {
    /// Opens the store, and makes or updates its tables.
    pub async fn open(options: StoreOptions) -> Result<Self, StoreError> {
        let StoreOptions { url, artifacts, lease, retry } = options;
        sqlx::any::install_default_drivers();
        let is_sqlite = url.starts_with("sqlite:");
        if !is_sqlite && !["postgres:", "postgresql:"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err(StoreError::Address);
        }
        let options = AnyPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(BUSY)
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    if is_sqlite {
                        // WAL lets readers read while the writer writes.
                        let settings = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
                                        PRAGMA busy_timeout = 5000";
                        sqlx::raw_sql(settings).execute(connection).await?;
                    }
                    Ok(())
                })
            });
        // Statements are ours: they say nothing to an operator, and some have thousands of values.
        let address = url.parse::<AnyConnectOptions>()?.disable_statement_logging();
        let pool = options.connect_with(address).await.map_err(|error| match error {
            sqlx::Error::PoolTimedOut => StoreError::Unavailable(format!(
                "it could not be connected to within {BUSY:?}: is it running, and is this its address?"
            )),
            error => error.into(),
        })?;
        migrations().run(&pool).await?;
        let (changes, _) = broadcast::channel(WATCHED);
        let writer = Writer::start(pool.clone(), is_sqlite, changes.clone()).await?;
        Ok(Self { pool, writer, changes, live: Arc::default(), artifacts: artifacts.into(), lease, retry })
    }

    /// The URL of a store in a file.
    pub fn file_url(path: &Path) -> String {
        format!("sqlite:{}?mode=rwc", path.display())
    }

    /// What happens from now on. Whoever is slow is told how much was missed, and reads it from the store.
    pub fn watch(&self) -> broadcast::Receiver<StoredChange> {
        self.changes.subscribe()
    }

    /// The number of the last change that is stored.
    pub fn last_seq(&self) -> u64 {
        self.writer.last_seq()
    }

    /// For reading.
    pub(crate) fn pool(&self) -> &AnyPool {
        &self.pool
    }

    /// Where the artifacts of a job are.
    pub(crate) fn artifacts_of(&self, run: uuid::Uuid, place: u64) -> std::path::PathBuf {
        self.artifacts.join(run.to_string()).join(format!("job-{place}"))
    }

    /// Stores what waits, and closes every connection.
    pub async fn close(&self) {
        self.writer.close().await;
        self.pool.close().await;
    }
}
