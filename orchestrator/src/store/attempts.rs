//! Attempts at jobs: begun, closed, and given to others when their agent is gone. What becomes of the job, and of its
//! run, is decided in the same transaction.

use std::sync::Arc;
use std::time::Instant;

use armada_protocol::{Attempt, Cause, Incarnation, Job, Next, Outcome, RunId, Status};
use sqlx::Row as _;
use sqlx::any::AnyRow;
use uuid::Uuid;

use super::StoreError;
use super::live::{Live, Retry};
use super::runs::{clean, drain, tell_job, whole};
use super::views::{JobStatus, count, parsed, word};
use super::writer::Book;

/// A job and its run, as far as they decide what becomes of an attempt.
pub(super) struct Found {
    pub(super) status: JobStatus,
    pub(super) place: u64,
    pub(super) attempts: i64,
    pub(super) attempts_allowed: i64,
    pub(super) agent: Option<u32>,
    pub(super) incarnation: Option<Uuid>,
}

impl Found {
    pub(super) fn of(row: &AnyRow) -> Result<Self, StoreError> {
        let incarnation: Option<String> = row.try_get("incarnation")?;
        let agent: Option<i64> = row.try_get("agent")?;
        Ok(Self {
            status: word(row, "status")?,
            place: count(row.try_get("place")?),
            attempts: row.try_get("attempts")?,
            attempts_allowed: row.try_get("attempts_allowed")?,
            agent: agent.and_then(|agent| agent.try_into().ok()),
            incarnation: incarnation.and_then(|id| id.parse().ok()),
        })
    }

    /// Whether this is the attempt that is being made.
    pub(super) fn is_open(&self, attempt: Attempt) -> bool {
        let is_its_agent = self.agent == Some(attempt.agent);
        self.status == JobStatus::Running && is_its_agent && self.attempts == i64::from(attempt.number)
    }

    /// The process that makes the attempt.
    pub(super) fn holder(&self) -> Option<Incarnation> {
        Some(Incarnation { agent: self.agent?, id: self.incarnation? })
    }

    pub(super) fn last_attempt(&self, run: RunId, job: Uuid) -> Attempt {
        let number = self.attempts.try_into().unwrap_or(u32::MAX);
        Attempt { run, job, index: self.place, number, agent: self.agent.unwrap_or_default() }
    }
}

pub(super) const FOUND: &str = "SELECT status, place, attempts, attempts_allowed, agent, incarnation FROM jobs WHERE id = $1 AND \
                     run_id = $2";

/// The process of an agent in a row.
pub(super) fn incarnation(row: &AnyRow) -> Result<Incarnation, StoreError> {
    let agent: i64 = row.try_get("agent")?;
    Ok(Incarnation { agent: agent.try_into().unwrap_or_default(), id: parsed(row, "incarnation")? })
}

pub(super) async fn find(book: &mut Book, run: RunId, job: Uuid) -> Result<Option<Found>, StoreError> {
    let select = sqlx::query(FOUND).bind(job.to_string()).bind(run.to_string());
    select.fetch_optional(book.sql()).await?.as_ref().map(Found::of).transpose()
}

pub(super) fn died(agent: Option<u32>, attempt: i64) -> Outcome {
    let agent = agent.map_or("its agent".to_owned(), |agent| format!("agent {agent}"));
    Outcome::failed(Cause::Agent, format!("{agent} died during attempt {attempt}"))
}

/// Whether a job that this run does not have is one of another run, or will be once that is dispatched: somebody has
/// copied its message, or wants to take its place.
pub(super) async fn is_of_another_run(book: &mut Book, run: RunId, job: Uuid) -> Result<bool, StoreError> {
    let select = sqlx::query("SELECT id FROM jobs WHERE id = $1").bind(job.to_string());
    if select.fetch_optional(book.sql()).await?.is_some() {
        return Ok(true);
    }
    // The names of a run's jobs begin as its own does.
    let (least, greatest) = (job.as_u128() >> 64 << 64, job.as_u128() | u128::from(u64::MAX));
    let select = sqlx::query("SELECT id FROM runs WHERE id BETWEEN $1 AND $2 AND id <> $3");
    let select = select.bind(Uuid::from_u128(least).to_string()).bind(Uuid::from_u128(greatest).to_string());
    Ok(select.bind(run.to_string()).fetch_optional(book.sql()).await?.is_some())
}

/// A job that somebody else has put on the queue. Its name says where it is in the run, whatever the message does; its
/// place is another one if that is taken.
pub(super) async fn insert(book: &mut Book, run: RunId, job: &Job, allowed: i64) -> Result<Found, StoreError> {
    let taken = sqlx::query("SELECT id FROM jobs WHERE run_id = $1 AND place = $2");
    let place = whole(run.place(job.uuid));
    let taken = taken.bind(run.to_string()).bind(place).fetch_optional(book.sql()).await?.is_some();
    let place = if taken {
        let select = sqlx::query("SELECT MAX(place) + 1 AS place FROM jobs WHERE run_id = $1").bind(run.to_string());
        select.fetch_one(book.sql()).await?.try_get("place")?
    } else {
        place
    };
    let (seq, now) = (book.next_seq(), book.now);
    let insert = "INSERT INTO jobs (id, run_id, place, seq, status, message, attempts_allowed, created_at) VALUES ($1, $2, \
                  $3, $4, 'Queued', $5, $6, $7)";
    sqlx::query(insert)
        .bind(job.uuid.to_string())
        .bind(run.to_string())
        .bind(place)
        .bind(seq)
        .bind(clean(job.message.get()))
        .bind(allowed)
        .bind(now)
        .execute(book.sql())
        .await?;
    let update = sqlx::query("UPDATE runs SET jobs = jobs + 1 WHERE id = $1").bind(run.to_string());
    update.execute(book.sql()).await?;
    Ok(Found {
        status: JobStatus::Queued,
        place: count(place),
        attempts: 0,
        attempts_allowed: allowed,
        agent: None,
        incarnation: None,
    })
}

pub(super) async fn begin(
    book: &mut Book,
    run: RunId,
    job: Uuid,
    mut found: Found,
    by: Incarnation,
) -> Result<Attempt, StoreError> {
    found.attempts += 1;
    found.agent = Some(by.agent);
    for statement in [
        "UPDATE jobs SET status = 'Running', delayed = 0, attempts = $2, agent = $3, incarnation = $4, started_at = COALESCE(started_at, $5) \
         WHERE id = $1",
        "INSERT INTO attempts (job_id, attempt, agent, incarnation, status, started_at) VALUES ($1, $2, $3, $4, 'Running', $5)",
    ] {
        sqlx::query(statement)
            .bind(job.to_string())
            .bind(found.attempts)
            .bind(i64::from(by.agent))
            .bind(by.id.to_string())
            .bind(book.now)
            .execute(book.sql())
            .await?;
    }
    tell_job(book, &job.to_string()).await?;
    Ok(found.last_attempt(run, job))
}

/// Closes the attempt that is open at a job, and decides whether the job and the run end with it.
pub(super) async fn close_attempt(
    book: &mut Book,
    run: RunId,
    job: Uuid,
    found: &Found,
    outcome: Outcome,
    live: &Arc<Live>,
    retry: &Retry,
) -> Result<Next, StoreError> {
    let wants_more = matches!(&outcome, Outcome::Failed { error } if error.cause.is_retryable());
    let is_again = wants_more && found.attempts < found.attempts_allowed;
    let (status, result, error) = outcome.into_parts();
    let (status, column) = match status {
        Status::Success => (JobStatus::Success, "jobs_succeeded"),
        Status::Failed => (JobStatus::Failed, "jobs_failed"),
        Status::Cancelled => (JobStatus::Cancelled, "jobs_cancelled"),
    };
    let id = job.to_string();
    let error = error.map(|error| serde_json::to_string(&error)).transpose()?.map(|text| clean(&text));
    let update = "UPDATE attempts SET status = $3, error = $4, finished_at = $5 WHERE job_id = $1 AND attempt = $2";
    let update = sqlx::query(update).bind(&id).bind(found.attempts).bind(status.word()).bind(&error).bind(book.now);
    update.execute(book.sql()).await?;
    if is_again {
        wait(book, &id, true).await?;
        let (live, due) = (live.clone(), Instant::now() + retry.after(found.attempts));
        book.afterwards(move || {
            live.delays().insert(job, due);
            live.wake.notify_one();
        });
        return Ok(Next::Later);
    }
    let update = "UPDATE jobs SET status = $2, result = $3, error = $4, finished_at = $5, incarnation = NULL, progress = \
                  NULL, to_bury = $6 WHERE id = $1";
    sqlx::query(update)
        .bind(&id)
        .bind(status.word())
        .bind(result.map(|result| clean(result.get())))
        .bind(&error)
        .bind(book.now)
        .bind(i64::from(status == JobStatus::Failed))
        .execute(book.sql())
        .await?;
    let update = sqlx::AssertSqlSafe(format!("UPDATE runs SET {column} = {column} + 1 WHERE id = $1"));
    sqlx::query(update).bind(run.to_string()).execute(book.sql()).await?;
    tell_job(book, &id).await?;
    if status == JobStatus::Failed {
        let live = live.clone();
        book.afterwards(move || live.wake.notify_one());
    }
    drain(book, run, live.clone()).await?;
    Ok(Next::Ended)
}

/// Has a job delivered again: now, or when its time has come.
async fn wait(book: &mut Book, id: &str, delayed: bool) -> Result<(), StoreError> {
    let update = "UPDATE jobs SET status = 'Waiting', delayed = $2, incarnation = NULL, progress = NULL WHERE id = $1";
    sqlx::query(update).bind(id).bind(i64::from(delayed)).execute(book.sql()).await?;
    tell_job(book, id).await.map(drop)
}

/// Gives what an agent has to others: as a failed attempt if it died, and as none if it handed its job back.
pub(super) async fn release(
    book: &mut Book,
    run: RunId,
    by: Incarnation,
    has_died: bool,
    live: &Arc<Live>,
    retry: &Retry,
) -> Result<(), StoreError> {
    let select = "SELECT id, status, place, attempts, attempts_allowed, agent, incarnation FROM jobs WHERE run_id = $1 AND \
                  status = 'Running' AND agent = $2";
    let rows = sqlx::query(select).bind(run.to_string()).bind(i64::from(by.agent)).fetch_all(book.sql()).await?;
    for row in &rows {
        let (job, found) = (parsed(row, "id")?, Found::of(row)?);
        if found.incarnation != Some(by.id) {
            continue;
        }
        if has_died {
            let outcome = died(found.agent, found.attempts);
            close_attempt(book, run, job, &found, outcome, live, retry).await?;
            continue;
        }
        let id = job.to_string();
        let update = "UPDATE attempts SET status = 'Cancelled', finished_at = $3 WHERE job_id = $1 AND attempt = $2";
        let update = sqlx::query(update).bind(&id).bind(found.attempts).bind(book.now);
        update.execute(book.sql()).await?;
        // That an agent was told to end is not the job's fault.
        let update = sqlx::query("UPDATE jobs SET attempts_allowed = attempts_allowed + 1 WHERE id = $1").bind(&id);
        update.execute(book.sql()).await?;
        wait(book, &id, false).await?;
        let live = live.clone();
        book.afterwards(move || live.wake.notify_one());
    }
    Ok(())
}
