//! The one writer: what waits to be written goes into one transaction, and is answered once that is committed.
//!
//! A commit costs the same for one write as for a hundred, so under load writes wait for each other and share one. A
//! write that fails is undone by itself (a savepoint); when the transaction fails, all of them have. When only the
//! answer to a commit was lost, the database is asked.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use jiff::Timestamp;
use sqlx::{Any, AnyConnection, AnyPool, AssertSqlSafe, Row as _, Transaction};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::JoinHandle;

use super::{StoreError, StoredChange};

/// How many writes may wait, and share a transaction.
const WAITING: usize = 256;
/// How long a transaction may take.
const TRANSACTION: Duration = Duration::from_secs(30);
/// How long a database that has gone away during a commit is waited for, to ask whether it has done it, and how often
/// it is asked.
const UNKNOWN: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// How many rows one statement inserts: more make it costly to read, and SQLite takes 32,766 values at most.
pub(super) const ROWS: usize = 100;

/// A statement that inserts so many rows of so many values at once.
pub(super) fn insert(into: &str, columns: usize, rows: usize, conflict: &str) -> AssertSqlSafe<String> {
    let row = |row: usize| {
        let values = (1..=columns).map(|column| format!("${}", row * columns + column));
        format!("({})", values.collect::<Vec<_>>().join(", "))
    };
    let rows = (0..rows).map(row).collect::<Vec<_>>().join(", ");
    AssertSqlSafe(format!("INSERT INTO {into} VALUES {rows} {conflict}"))
}

/// Writes, one transaction after the other.
#[derive(Clone)]
pub(super) struct Writer {
    shared: Arc<Shared>,
}

struct Shared {
    waiting: Mutex<Option<mpsc::Sender<Box<dyn Write>>>>,
    seq: AtomicU64,
    writing: Mutex<Option<JoinHandle<()>>>,
}

/// What is being written: a connection within a transaction, and what is to be told of it.
pub(crate) struct Book {
    transaction: Transaction<'static, Any>,
    seq: i64,
    /// When this is, in milliseconds since 1970.
    pub(super) now: i64,
    pub(super) changes: Vec<StoredChange>,
    /// What is done once all this is stored.
    after: Vec<Box<dyn FnOnce() + Send>>,
}

impl Book {
    /// For a statement.
    pub(super) fn sql(&mut self) -> &mut AnyConnection {
        &mut self.transaction
    }

    /// The next number.
    pub(super) fn next_seq(&mut self) -> i64 {
        self.seq += 1;
        self.seq
    }

    /// Has a change stored and told. Gives its number.
    pub(super) fn tell(
        &mut self,
        run: uuid::Uuid,
        kind: &'static str,
        body: &impl serde::Serialize,
    ) -> Result<i64, StoreError> {
        let seq = self.next_seq();
        self.tell_as(seq, run, kind, body)?;
        Ok(seq)
    }

    /// The same for a change that has its number already.
    pub(super) fn tell_as(
        &mut self,
        seq: i64,
        run: uuid::Uuid,
        kind: &'static str,
        body: &impl serde::Serialize,
    ) -> Result<(), StoreError> {
        let body = serde_json::to_string(body)?.into();
        self.changes.push(StoredChange { seq: u64::try_from(seq).unwrap_or_default(), run, kind, body });
        Ok(())
    }

    /// Has something done once this is stored.
    pub(super) fn afterwards(&mut self, act: impl FnOnce() + Send + 'static) {
        self.after.push(Box::new(act));
    }

    async fn store_changes(&mut self) -> Result<(), StoreError> {
        for rows in self.changes.chunks(ROWS) {
            let insert = insert("changes (seq, run_id, kind, body, at)", 5, rows.len(), "");
            let mut insert = sqlx::query(insert);
            for change in rows {
                // Of a report everything else is in its own row.
                let body = (change.kind != "report").then(|| change.body.to_string());
                insert = insert
                    .bind(i64::try_from(change.seq).unwrap_or(i64::MAX))
                    .bind(change.run.to_string())
                    .bind(change.kind)
                    .bind(body)
                    .bind(self.now);
            }
            insert.execute(&mut *self.transaction).await?;
        }
        Ok(())
    }
}

/// A write that waits.
trait Write: Send {
    /// Whether it is to be on the disk before it is answered.
    fn is_durable(&self) -> bool;
    /// Writes. Says whether that succeeded.
    fn write<'b>(&'b mut self, book: &'b mut Book) -> BoxFuture<'b, bool>;
    /// Answers whoever asked for it, alone or with others.
    fn answer(self: Box<Self>, committed: &Result<(), StoreError>, is_alone: bool);
}

impl StoreError {
    /// What each write of a transaction that failed is told. That it is refused is only known of one that was alone:
    /// others may go well the next time.
    fn of_all(&self, is_alone: bool) -> Self {
        match self {
            Self::Refused(told) if is_alone => Self::Refused(told.clone()),
            Self::Refused(told) | Self::Unavailable(told) => Self::Unavailable(told.clone()),
            other => Self::Unavailable(other.to_string()),
        }
    }
}

struct Asked<F, T> {
    is_durable: bool,
    act: Option<F>,
    outcome: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<F, T> Write for Asked<F, T>
where
    F: for<'b> FnOnce(&'b mut Book) -> BoxFuture<'b, Result<T, StoreError>> + Send,
    T: Send,
{
    fn is_durable(&self) -> bool {
        self.is_durable
    }

    fn write<'b>(&'b mut self, book: &'b mut Book) -> BoxFuture<'b, bool> {
        Box::pin(async move {
            let Some(act) = self.act.take() else { return false };
            let outcome = act(book).await;
            let has_written = outcome.is_ok();
            self.outcome = Some(outcome);
            has_written
        })
    }

    fn answer(self: Box<Self>, committed: &Result<(), StoreError>, is_alone: bool) {
        let answer = match (committed, self.outcome) {
            (Ok(()), Some(outcome)) => outcome,
            // What was refused was refused for its own reason.
            (Err(_), Some(Err(error))) => Err(error),
            (Err(error), _) => Err(error.of_all(is_alone)),
            (Ok(()), None) => Err(StoreError::Unavailable("it was not written".to_owned())),
        };
        // Whoever asked may be gone.
        let _ = self.reply.send(answer);
    }
}

impl Writer {
    /// Begins to write.
    pub(super) async fn start(
        pool: AnyPool,
        is_sqlite: bool,
        changes: broadcast::Sender<StoredChange>,
    ) -> Result<Self, StoreError> {
        let greatest = "SELECT COALESCE(MAX(seq), 0) AS seq FROM (SELECT MAX(seq) AS seq FROM changes UNION ALL \
                        SELECT MAX(seq) AS seq FROM jobs UNION ALL SELECT MAX(seq) AS seq FROM reports UNION ALL \
                        SELECT MAX(seq) AS seq FROM runs) AS all_of_them";
        let seq: i64 = sqlx::query(greatest).fetch_one(&pool).await?.try_get("seq")?;
        let (waiting, asked) = mpsc::channel(WAITING);
        let shared = Arc::new(Shared {
            waiting: Mutex::new(Some(waiting)),
            seq: AtomicU64::new(u64::try_from(seq).unwrap_or_default()),
            writing: Mutex::default(),
        });
        let writing = tokio::spawn(write_all(pool, is_sqlite, changes, asked, shared.clone(), seq));
        *shared.writing.lock().unwrap_or_else(PoisonError::into_inner) = Some(writing);
        Ok(Self { shared })
    }

    pub(super) fn last_seq(&self) -> u64 {
        self.shared.seq.load(Ordering::Acquire)
    }

    /// Has something written. It is, or is not, whatever becomes of whoever waits for it. Once this answers, it is on
    /// the disk.
    pub(super) async fn write<T, F>(&self, act: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'b> FnOnce(&'b mut Book) -> BoxFuture<'b, Result<T, StoreError>> + Send + 'static,
    {
        self.ask(true, act).await
    }

    /// The same for what agents say of their jobs, which need not wait for the disk: it survives whatever becomes of
    /// this process, and is on the disk a moment later. With SQLite, a power cut in between takes it back, agents and
    /// all, as if their machine had ended a moment earlier: the ledger has the jobs done again.
    pub(super) async fn note<T, F>(&self, act: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'b> FnOnce(&'b mut Book) -> BoxFuture<'b, Result<T, StoreError>> + Send + 'static,
    {
        self.ask(false, act).await
    }

    async fn ask<T, F>(&self, is_durable: bool, act: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'b> FnOnce(&'b mut Book) -> BoxFuture<'b, Result<T, StoreError>> + Send + 'static,
    {
        let ends = || StoreError::Unavailable("it ends".to_owned());
        let waiting = self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(ends)?;
        let (reply, answer) = oneshot::channel();
        let asked = Asked { is_durable, act: Some(act), outcome: None, reply };
        waiting.send(Box::new(asked)).await.map_err(|_| ends())?;
        answer.await.map_err(|_| ends())?
    }

    /// Writes what waits, and ends.
    pub(super) async fn close(&self) {
        self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        let writing = self.shared.writing.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writing) = writing {
            // It does not panic; if it did, there is nothing left to end.
            let _ = writing.await;
        }
    }
}

async fn write_all(
    pool: AnyPool,
    is_sqlite: bool,
    changes: broadcast::Sender<StoredChange>,
    mut asked: mpsc::Receiver<Box<dyn Write>>,
    shared: Arc<Shared>,
    mut seq: i64,
) {
    let mut writes: Vec<Box<dyn Write>> = Vec::new();
    while asked.recv_many(&mut writes, WAITING).await > 0 {
        let mut written = Written::default();
        let committing = transact(&pool, is_sqlite, &mut writes, &mut seq, &mut written);
        let mut committed = match tokio::time::timeout(TRANSACTION, committing).await {
            Ok(committed) => committed,
            Err(_) => Err(StoreError::Unavailable(format!("a transaction took longer than {TRANSACTION:?}"))),
        };
        let last = written.changes.last().filter(|_| written.is_committing).map(|change| change.seq);
        if let (Err(_), Some(last)) = (&committed, last)
            && was_committed(&pool, last).await
        {
            committed = Ok(());
        }
        match &committed {
            Ok(()) => {
                shared.seq.store(u64::try_from(seq).unwrap_or_default(), Ordering::Release);
                for change in written.changes {
                    // Nobody may be watching.
                    let _ = changes.send(change);
                }
                written.after.into_iter().for_each(|act| act());
            }
            Err(error) => tracing::warn!(%error, writes = writes.len(), "a transaction failed"),
        }
        let is_alone = writes.len() == 1;
        for write in writes.drain(..) {
            write.answer(&committed, is_alone);
        }
    }
}

/// What a transaction has written.
#[derive(Default)]
struct Written {
    changes: Vec<StoredChange>,
    after: Vec<Box<dyn FnOnce() + Send>>,
    /// Whether the database was told to commit it.
    is_committing: bool,
}

/// Whether a transaction that seems to have failed was committed, and only the answer was lost: then the last of its
/// changes is there. A database that is away is waited for.
async fn was_committed(pool: &AnyPool, last: u64) -> bool {
    let last = i64::try_from(last).unwrap_or(i64::MAX);
    let begun = Instant::now();
    let mut looked = 0;
    // It may be being committed still at the first look.
    while looked < 2 && begun.elapsed() < UNKNOWN {
        tokio::time::sleep(LOOK_AGAIN).await;
        let select = sqlx::query("SELECT seq FROM changes WHERE seq = $1").bind(last);
        match select.fetch_optional(pool).await {
            Ok(Some(_)) => return true,
            Ok(None) => looked += 1,
            Err(error) => tracing::debug!(%error, "whether a transaction was committed is not known yet"),
        }
    }
    false
}

async fn transact(
    pool: &AnyPool,
    is_sqlite: bool,
    writes: &mut [Box<dyn Write>],
    seq: &mut i64,
    written: &mut Written,
) -> Result<(), StoreError> {
    // FULL has what is committed survive a power cut; NORMAL, the end of this process only.
    let is_durable = writes.iter().any(|write| write.is_durable());
    let transaction = match is_durable {
        _ if !is_sqlite => pool.begin().await?,
        true => pool.begin_with("PRAGMA synchronous = FULL; BEGIN").await?,
        false => pool.begin_with("PRAGMA synchronous = NORMAL; BEGIN").await?,
    };
    let is_shared = writes.len() > 1;
    let mut book = Book { transaction, seq: *seq, now: 0, changes: Vec::new(), after: Vec::new() };
    for write in writes {
        book.now = Timestamp::now().as_millisecond();
        if is_shared {
            sqlx::raw_sql("SAVEPOINT one").execute(book.sql()).await?;
        }
        let has_written = write.write(&mut book).await;
        // A number is never given twice, even of what is undone.
        *seq = book.seq;
        if has_written {
            book.store_changes().await?;
            written.changes.append(&mut book.changes);
            written.after.append(&mut book.after);
        } else {
            book.changes.clear();
            book.after.clear();
        }
        match (is_shared, has_written) {
            (true, true) => {
                sqlx::raw_sql("RELEASE SAVEPOINT one").execute(book.sql()).await?;
            }
            (true, false) => {
                sqlx::raw_sql("ROLLBACK TO SAVEPOINT one").execute(book.sql()).await?;
            }
            (false, true) => {}
            (false, false) => return Ok(book.transaction.rollback().await?),
        }
    }
    written.is_committing = true;
    Ok(book.transaction.commit().await?)
}
