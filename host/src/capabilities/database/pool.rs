//! The connections of an agent to one database: few, made when they are needed, and used again.
//!
//! sqlx has a pool of its own, which takes back a connection whatever it is doing, tries again and again to reach a
//! server that is not there, and knows only its own drivers. Here a call that is given up ends its statement on the
//! server and its connection, and a server that cannot be reached is told at once.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use armada_protocol::inventory::Database;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

use super::errors::Clean;
use super::session::{Failed, Room, Server, Session};
use super::statement;
use crate::contract::Error;
use crate::contract::database as wit;

/// How long a connection may take to be made.
const CONNECTING: Duration = Duration::from_secs(20);
/// How long one waits for a connection that others have.
const WAITING: Duration = Duration::from_secs(30);
/// After how long a connection that was not used is asked whether it is still there, and how long it has for an answer.
const IDLE: Duration = Duration::from_secs(5);
const ANSWERING: Duration = Duration::from_secs(5);
/// The most connections that an operator can lend to one agent.
const CONNECTIONS: u32 = 100;

/// The connections to one database.
pub(super) struct Pool {
    name: String,
    /// Where it is; or, in words for scripts, why that makes no sense.
    server: Result<Server, String>,
    writable: bool,
    clean: Clean,
    permits: Arc<Semaphore>,
    connections: u32,
    idle: Mutex<Vec<(Box<dyn Session>, Instant)>>,
    endings: TaskTracker,
}

impl Pool {
    /// The connections to what the operator lends under a name; none is made yet. A statement may take this time.
    pub(super) fn new(name: String, database: Database, time: Duration, endings: TaskTracker) -> Self {
        let server = Server::new(&database.url.0, database.writable, time);
        let server = server.map_err(|problem| format!("the operator's inventory cannot be used: {problem}"));
        let connections = database.connections_per_agent.clamp(1, CONNECTIONS);
        Self {
            clean: Clean::new(&name, &database.url.0),
            name,
            server,
            writable: database.writable,
            permits: Arc::new(Semaphore::new(usize::try_from(connections).unwrap_or(1))),
            connections,
            idle: Mutex::default(),
            endings,
        }
    }

    fn server(&self) -> Result<&Server, Error> {
        let server = self.server.as_ref();
        server.map_err(|problem| Error::Unavailable(format!("the database `{}`: {problem}", self.name)))
    }

    /// What a script may know of it.
    pub(super) fn info(&self) -> Result<wit::Info, Error> {
        Ok(wit::Info { name: self.name.clone(), kind: self.server()?.kind(), writable: self.writable })
    }

    /// Whether it is lent for reading only.
    pub(super) fn reads(&self) -> bool {
        !self.writable
    }

    /// Lets a statement through that is for scripts to make.
    pub(super) fn admit(self: &Arc<Self>, sql: &str) -> Result<&Arc<Self>, Error> {
        statement::check(self.server()?.kind(), sql, self.writable, &self.name)?;
        Ok(self)
    }

    /// A connection for a call or a transaction.
    pub(super) async fn lease(self: &Arc<Self>) -> Result<Lease, Error> {
        let server = self.server()?;
        let permit = match tokio::time::timeout(WAITING, self.permits.clone().acquire_owned()).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_)) => return Err(Error::Closed("the agent is over".to_owned())),
            Err(_) => {
                return Err(Error::Limit(format!(
                    "all {} connections to the database `{}` are in use: end transactions before you begin more, or ask \
                     the operator for a larger connections_per_agent",
                    self.connections, self.name
                )));
            }
        };
        loop {
            let known = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some((mut session, since)) = known else { break };
            let is_there =
                since.elapsed() < IDLE || matches!(tokio::time::timeout(ANSWERING, session.ping()).await, Ok(Ok(())));
            if is_there {
                return Ok(Lease {
                    session: Some(session),
                    work: Work::Done,
                    pool: self.clone(),
                    permit: Some(permit),
                });
            }
        }
        let session = match tokio::time::timeout(CONNECTING, server.connect()).await {
            Ok(connected) => connected.map_err(|failed| self.clean.connecting(&failed))?,
            Err(_) => return Err(self.clean.unreachable("it did not answer in time")),
        };
        Ok(Lease { session: Some(session), work: Work::Done, pool: self.clone(), permit: Some(permit) })
    }

    /// Closes the connections that are not in use, and with them all that was set or locked in their sessions.
    pub(super) async fn close(&self) {
        let idle = std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner));
        futures::future::join_all(idle.into_iter().map(|(session, _)| session.close())).await;
    }
}

/// What a connection is doing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    /// Nothing: it can be used again.
    Done,
    /// A statement, or it is not known what.
    InProgress,
    /// Nothing any more.
    Broken,
}

/// A connection that is in use. Unless it is given back, it is closed, and what it is doing is ended on the server.
pub(super) struct Lease {
    session: Option<Box<dyn Session>>,
    work: Work,
    pool: Arc<Pool>,
    /// Held until the connection is gone.
    permit: Option<OwnedSemaphorePermit>,
}

impl Lease {
    /// Runs a statement and gives its rows; in a transaction of its own, for reading, where that is asked for.
    pub(super) async fn query(
        &mut self,
        sql: &str,
        parameters: Vec<wit::Value>,
        room: Room,
        reading: bool,
    ) -> Result<wit::Rows, Error> {
        let session = self.begun()?;
        let done = match opened(session, reading).await {
            Ok(()) => {
                let rows = session.query(sql, parameters, room).await;
                finished(session, reading, rows).await
            }
            Err(failed) => Err(failed),
        };
        self.ended(done)
    }

    /// Runs a statement and gives how many rows it has changed.
    pub(super) async fn execute(
        &mut self,
        sql: &str,
        parameters: Vec<wit::Value>,
        reading: bool,
    ) -> Result<u64, Error> {
        let session = self.begun()?;
        let done = match opened(session, reading).await {
            Ok(()) => {
                let changed = session.execute(sql, parameters).await;
                finished(session, reading, changed).await
            }
            Err(failed) => Err(failed),
        };
        self.ended(done)
    }

    /// Begins a transaction.
    pub(super) async fn begin(&mut self) -> Result<(), Error> {
        let reading = self.pool.reads();
        let done = self.begun()?.begin(reading).await;
        self.ended(done)
    }

    /// Keeps what the transaction has changed.
    pub(super) async fn commit(&mut self) -> Result<(), Error> {
        let done = self.begun()?.commit().await;
        self.ended(done)
    }

    /// Undoes what the transaction has changed.
    pub(super) async fn rollback(&mut self) -> Result<(), Error> {
        let done = self.begun()?.rollback().await;
        self.ended(done)
    }

    /// The connection, for something that is begun now.
    fn begun(&mut self) -> Result<&mut dyn Session, Error> {
        if self.work != Work::Done {
            return Err(Error::Closed("the connection is closed".to_owned()));
        }
        self.work = Work::InProgress;
        match &mut self.session {
            Some(session) => Ok(&mut **session),
            None => Err(Error::Closed("the connection is closed".to_owned())),
        }
    }

    /// What was begun has come to this.
    fn ended<T>(&mut self, done: Result<T, Failed>) -> Result<T, Error> {
        self.work = match &done {
            Ok(_) | Err(Failed::Statement { .. } | Failed::Refused(_)) => Work::Done,
            Err(Failed::Stopped(_)) => Work::InProgress,
            Err(Failed::Lost(_)) => Work::Broken,
        };
        done.map_err(|failed| self.pool.clean.working(failed))
    }

    /// Whether it can be used again.
    pub(super) fn is_usable(&self) -> bool {
        self.work == Work::Done
    }

    /// Gives it back for the next who needs one.
    pub(super) fn give_back(mut self) {
        if self.is_usable()
            && let Some(session) = self.session.take_if(|session| session.is_reusable())
        {
            self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner).push((session, Instant::now()));
        }
    }
}

/// Begins the transaction that a statement for reading has to itself.
async fn opened(session: &mut dyn Session, reading: bool) -> Result<(), Failed> {
    if reading { session.begin(true).await } else { Ok(()) }
}

/// Ends the transaction that a statement for reading had to itself.
async fn finished<T>(session: &mut dyn Session, reading: bool, done: Result<T, Failed>) -> Result<T, Failed> {
    if reading && matches!(done, Ok(_) | Err(Failed::Statement { .. } | Failed::Refused(_))) {
        session.rollback().await?;
    }
    done
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(session) = self.session.take() else { return };
        if self.work != Work::InProgress {
            return;
        }
        let permit = self.permit.take();
        if let Some(ending) = session.abort()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            self.pool.endings.spawn_on(
                async move {
                    let _permit = permit;
                    ending.await;
                },
                &runtime,
            );
        }
    }
}
