//! Databases of the operator: `wit/deps/database.wit`.
//!
//! An agent connects to a database when a script first asks it something, and keeps a few connections until its job
//! ends. The address is the operator's own: no egress policy is asked, and no upstream proxy lies between. What a
//! script says goes to the server as one prepared statement with its parameters apart. Whatever is lent for reading is
//! held to that by the server's own read-only transactions (or a file that is opened for reading), and never by a look at
//! the statement alone. Addresses and credentials are known here and in nothing that a script is told.

mod errors;
mod guest;
mod mysql;
mod pool;
mod postgresql;
mod session;
mod sqlite;
mod sqlserver;
mod statement;
mod values;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use armada_project::{Grant, Lendable};
use armada_protocol::Attempt;
use async_trait::async_trait;
use tokio_util::task::TaskTracker;

use self::pool::{Lease, Pool};
use self::session::Room;
use crate::capabilities::{Life, Means};
use crate::contract::Error;
use crate::contract::database as wit;

#[allow(unreachable_pub, reason = "the generated contract re-exports it")]
pub use self::guest::TransactionHandle;

/// How long what is left of a job or an agent may take to end.
const ENDING: Duration = Duration::from_secs(10);

/// The databases of an agent.
pub(crate) struct Databases {
    grant: Arc<Grant>,
    /// Those that are lent, by name.
    pools: BTreeMap<String, Arc<Pool>>,
    /// What ends statements that nobody waits for any more.
    endings: TaskTracker,
    scope: Mutex<Scope>,
}

/// Whose the transactions are that are begun now.
#[derive(Default)]
struct Scope {
    in_job: bool,
    /// How many jobs there were.
    jobs: u64,
    begun_in_job: Vec<Weak<Transaction>>,
}

impl Scope {
    fn owner(&self) -> Option<u64> {
        self.in_job.then_some(self.jobs)
    }
}

impl Databases {
    /// What the operator lends to this agent; nothing is connected to yet.
    pub(crate) fn new(means: &Means<'_>) -> Self {
        let endings = TaskTracker::new();
        let seconds = means.grant.limits().seconds_per_call;
        let time = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        let pools = means.lent.databases.iter();
        let pools = pools.map(|(name, database)| {
            (name.clone(), Arc::new(Pool::new(name.clone(), database.clone(), time, endings.clone())))
        });
        Self { grant: means.grant.clone(), pools: pools.collect(), endings, scope: Mutex::default() }
    }

    fn scope(&self) -> MutexGuard<'_, Scope> {
        self.scope.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the connections that are not in use.
    async fn close_idle(&self) {
        futures::future::join_all(self.pools.values().map(|pool| pool.close())).await;
    }

    /// The database of this name, if the run may use it.
    fn named(&self, name: &str) -> Result<Arc<Pool>, Error> {
        self.grant.check_name(Lendable::Databases, name).map_err(|denied| Error::Denied(denied.to_string()))?;
        self.pools.get(name).cloned().ok_or_else(|| {
            Error::NotFound(format!("the operator's inventory has no database `{name}`: it needs a [databases.{name}]"))
        })
    }

    /// Those that the run may use and that there are.
    fn list(&self) -> Vec<wit::Info> {
        self.pools.values().filter_map(|pool| pool.info().ok()).collect()
    }

    /// How much one query may give.
    fn room(&self) -> Room {
        let limits = self.grant.limits();
        Room::new(limits.rows_per_query, limits.bytes_per_call)
    }

    async fn query(&self, name: &str, sql: &str, parameters: Vec<wit::Value>) -> Result<wit::Rows, Error> {
        let pool = self.named(name)?;
        let mut lease = pool.admit(sql)?.lease().await?;
        let rows = lease.query(sql, parameters, self.room(), pool.reads()).await?;
        lease.give_back();
        Ok(rows)
    }

    async fn execute(&self, name: &str, sql: &str, parameters: Vec<wit::Value>) -> Result<u64, Error> {
        let pool = self.named(name)?;
        let mut lease = pool.admit(sql)?.lease().await?;
        let changed = lease.execute(sql, parameters, pool.reads()).await?;
        lease.give_back();
        Ok(changed)
    }

    async fn begin(&self, name: &str) -> Result<Arc<Transaction>, Error> {
        let pool = self.named(name)?;
        let owner = self.scope().owner();
        let mut lease = pool.lease().await?;
        lease.begin().await?;
        let mut scope = self.scope();
        if scope.owner() != owner {
            return Err(Error::Closed("the job is over".to_owned()));
        }
        let transaction =
            Arc::new(Transaction { pool, lease: tokio::sync::Mutex::new(Some(lease)), room: self.room() });
        if scope.in_job {
            scope.begun_in_job.retain(|begun| begun.strong_count() > 0);
            scope.begun_in_job.push(Arc::downgrade(&transaction));
        }
        Ok(transaction)
    }
}

#[async_trait]
impl Life for Databases {
    fn begin_job(&self, _attempt: Attempt) {
        let mut scope = self.scope();
        scope.in_job = true;
        scope.jobs += 1;
    }

    /// A job is over: its transactions are rolled back, and the connections that it leaves are closed, as they may have
    /// been told what the next one is not to find. What the agent context has begun goes with what holds it, after a
    /// fault too.
    async fn end_job(&self, _after_fault: bool) -> bool {
        let begun = {
            let mut scope = self.scope();
            scope.in_job = false;
            std::mem::take(&mut scope.begun_in_job)
        };
        let ended = async {
            futures::future::join_all(begun.iter().filter_map(Weak::upgrade).map(Transaction::end)).await;
            self.close_idle().await;
        };
        // A transaction that does not end in time is in the hands of a call, and ends with it.
        let _ = tokio::time::timeout(ENDING, ended).await;
        true
    }

    /// The agent is over: every connection is closed.
    async fn close(&self) {
        let closed = async {
            self.close_idle().await;
            self.endings.close();
            self.endings.wait().await;
        };
        if tokio::time::timeout(ENDING, closed).await.is_err() {
            tracing::warn!("connections to databases did not close in time");
        }
        self.endings.reopen();
    }
}

/// A transaction that has been begun. It is over when it has no connection any more.
pub(crate) struct Transaction {
    pool: Arc<Pool>,
    lease: tokio::sync::Mutex<Option<Lease>>,
    room: Room,
}

impl Transaction {
    async fn query(&self, sql: &str, parameters: Vec<wit::Value>) -> Result<wit::Rows, Error> {
        self.pool.admit(sql)?;
        let mut taken = self.take().await?;
        let rows = taken.lease.query(sql, parameters, self.room, false).await;
        taken.put_back();
        rows
    }

    async fn execute(&self, sql: &str, parameters: Vec<wit::Value>) -> Result<u64, Error> {
        self.pool.admit(sql)?;
        let mut taken = self.take().await?;
        let changed = taken.lease.execute(sql, parameters, false).await;
        taken.put_back();
        changed
    }

    /// Takes the connection out, for one statement at a time. Whoever stops waiting for it, or exceeds a limit, ends
    /// the transaction: it goes with the connection.
    async fn take(&self) -> Result<Taken<'_>, Error> {
        let mut place = self.lease.lock().await;
        let lease = place.take().ok_or_else(over)?;
        Ok(Taken { place, lease })
    }

    async fn commit(&self) -> Result<(), Error> {
        let mut lease = self.take().await?.lease;
        lease.commit().await?;
        lease.give_back();
        Ok(())
    }

    async fn rollback(&self) -> Result<(), Error> {
        let mut lease = self.take().await?.lease;
        lease.rollback().await?;
        lease.give_back();
        Ok(())
    }

    /// Rolls it back, unless it is over.
    async fn end(self: Arc<Self>) {
        if let Err(error) = self.rollback().await {
            tracing::debug!("a transaction ended with its connection: {error:?}");
        }
    }
}

/// The connection of a transaction, and where it belongs.
struct Taken<'a> {
    place: tokio::sync::MutexGuard<'a, Option<Lease>>,
    lease: Lease,
}

impl Taken<'_> {
    fn put_back(mut self) {
        if self.lease.is_usable() {
            *self.place = Some(self.lease);
        }
    }
}

fn over() -> Error {
    Error::Closed("the transaction is over: begin another".to_owned())
}
