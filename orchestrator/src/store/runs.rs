//! What the conductor writes of a run: that it exists, its jobs, where it is in its life, and how it ended.

use armada_project::{ComponentRef, Grant};
use armada_protocol::{Job, Outcome, RunId, Stop};
use futures::FutureExt as _;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sqlx::any::AnyRow;
use sqlx::{Any, AssertSqlSafe, Executor, Row as _};
use uuid::Uuid;

use super::views::{JOB_COLUMNS, JobStatus, JobView, RUN_COLUMNS, RunStatus, RunView, count, parsed};
use super::writer::{Book, ROWS, insert};
use super::{Store, StoreError};

/// The metric of how many jobs became known to the store in order to be dispatched.
pub(crate) const DISPATCHED: &str = "armada_jobs_dispatched_total";
/// How many jobs one write ends, when a run is given up.
const ABANDONED_AT_ONCE: i64 = 500;

/// A run that is to be.
#[derive(Debug)]
pub struct NewRun {
    /// Its id.
    pub run: RunId,
    /// The project's name.
    pub project: String,
    /// Its component.
    pub component: ComponentRef,
    /// What it is allowed.
    pub grant: Grant,
    /// What of the project's wishes that grants: JSON.
    pub capabilities: serde_json::Value,
    /// How many agents it has.
    pub agents: u32,
    /// The request that launches it, as its client calls it.
    pub idempotency_key: Option<String>,
    /// The run whose inputs it is launched with.
    pub replay_of: Option<RunId>,
}

/// What became of a run that was to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is new.
    New,
    /// The same request had launched this one before.
    Before(RunId),
}

/// How a run ends that does so before its jobs have.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Ending {
    /// Why it failed; nothing if somebody has cancelled it.
    pub(crate) reason: Option<String>,
    /// What becomes of its jobs that have not ended.
    pub(crate) outcome: Outcome,
}

impl Ending {
    pub(crate) fn status(&self) -> RunStatus {
        if self.reason.is_some() { RunStatus::Failed } else { RunStatus::Cancelled }
    }
}

impl Store {
    /// Stores a run as pending, unless the same request has been made before.
    pub async fn create_run(&self, new: NewRun) -> Result<Stored, StoreError> {
        let granted = serde_json::to_string(&new.grant)?;
        let capabilities = new.capabilities.to_string();
        self.writer
            .write(move |book| {
                async move {
                    if let Some(key) = &new.idempotency_key {
                        let before = sqlx::query("SELECT id FROM runs WHERE idempotency_key = $1").bind(key);
                        if let Some(row) = before.fetch_optional(book.sql()).await? {
                            return Ok(Stored::Before(RunId(parsed(&row, "id")?)));
                        }
                    }
                    let seq = book.next_seq();
                    let insert = "INSERT INTO runs (id, seq, project, status, idempotency_key, replay_of, component, \
                              component_size, granted, capabilities, attempts_per_job, agents, created_at) \
                              VALUES ($1, $2, $3, 'Pending', $4, $5, $6, $7, $8, $9, $10, $11, $12)";
                    sqlx::query(insert)
                        .bind(new.run.to_string())
                        .bind(seq)
                        .bind(clean(&new.project))
                        .bind(new.idempotency_key)
                        .bind(new.replay_of.map(|run| run.to_string()))
                        .bind(new.component.digest.to_string())
                        .bind(whole(new.component.size))
                        .bind(granted)
                        .bind(capabilities)
                        .bind(i64::from(new.grant.limits().attempts_per_job))
                        .bind(i64::from(new.agents))
                        .bind(book.now)
                        .execute(book.sql())
                        .await?;
                    let view = run_view(book, new.run).await?;
                    book.tell_as(seq, new.run.0, "run", &view)?;
                    Ok(Stored::New)
                }
                .boxed()
            })
            .await
    }

    /// A run.
    pub async fn run(&self, run: RunId) -> Result<RunView, StoreError> {
        let select = AssertSqlSafe(format!("SELECT {RUN_COLUMNS} FROM runs WHERE id = $1"));
        let found = sqlx::query_as(select).bind(run.to_string()).fetch_optional(self.pool()).await?;
        found.ok_or_else(|| StoreError::NotFound(format!("run {run}")))
    }

    /// The runs that have not ended and are conducted here, in the order in which they were accepted.
    pub async fn unfinished_runs(&self) -> Result<Vec<RunId>, StoreError> {
        let select = "SELECT id FROM runs WHERE granted IS NOT NULL AND status IN ('Pending', 'Dispatching', 'Running', \
                      'Draining') ORDER BY seq";
        let rows = sqlx::query(select).fetch_all(self.pool()).await?;
        rows.iter().map(|row| Ok(RunId(parsed(row, "id")?))).collect()
    }

    /// Brings a run to its next state.
    pub async fn set_status(&self, run: RunId, next: RunStatus, reason: Option<String>) -> Result<RunView, StoreError> {
        let live = self.live.of(run);
        self.writer
            .write(move |book| {
                async move {
                    let view = become_status(book, run, next, reason).await?;
                    if next.has_ended() {
                        let stop = if next == RunStatus::Cancelled { Stop::Cancelled } else { Stop::Drained };
                        book.afterwards(move || live.end(stop));
                    }
                    Ok(view)
                }
                .boxed()
            })
            .await
    }

    /// Adds jobs to a run, in their order; those that are there already stay as they are.
    pub async fn add_jobs(&self, run: RunId, jobs: Vec<Job>) -> Result<(), StoreError> {
        self.writer
            .write(move |book| {
                async move {
                    let allowed = attempts_per_job(book, run).await?;
                    let mut added = 0;
                    for rows in jobs.chunks(ROWS) {
                        let into = "jobs (id, run_id, place, seq, status, message, attempts_allowed, created_at)";
                        let mut insert = sqlx::query(insert(into, 8, rows.len(), "ON CONFLICT DO NOTHING"));
                        for (job, seq) in rows.iter().zip(book.take_seqs(rows.len())..) {
                            insert = insert
                                .bind(job.uuid.to_string())
                                .bind(run.to_string())
                                .bind(whole(job.index))
                                .bind(seq)
                                .bind("Waiting")
                                .bind(clean(job.message.get()))
                                .bind(allowed)
                                .bind(book.now);
                        }
                        added += insert.execute(book.sql()).await?.rows_affected();
                    }
                    book.afterwards(move || metrics::counter!(DISPATCHED).increment(added));
                    let update = "UPDATE runs SET jobs = jobs + $2 WHERE id = $1";
                    sqlx::query(update).bind(run.to_string()).bind(whole(added)).execute(book.sql()).await?;
                    tell_run(book, run).await
                }
                .boxed()
            })
            .await
            .map(drop)
    }

    /// Says that the jobs of these places are on the queue. Those that an agent has already are further than that.
    pub async fn queued(&self, run: RunId, places: Vec<u64>) -> Result<(), StoreError> {
        let (Some(first), Some(last)) = (places.iter().min().copied(), places.iter().max().copied()) else {
            return Ok(());
        };
        let is_range = last - first + 1 == places.len() as u64;
        self.writer.write(move |book| {
            async move {
                if is_range {
                    let update = "UPDATE jobs SET status = 'Queued' WHERE run_id = $1 AND status = 'Waiting' AND place \
                                  BETWEEN $2 AND $3";
                    let update = sqlx::query(update).bind(run.to_string()).bind(whole(first)).bind(whole(last));
                    update.execute(book.sql()).await?;
                    return Ok(());
                }
                let update = "UPDATE jobs SET status = 'Queued' WHERE run_id = $1 AND status = 'Waiting' AND place = $2";
                for place in places {
                    let update = sqlx::query(update).bind(run.to_string()).bind(whole(place));
                    update.execute(book.sql()).await?;
                }
                Ok(())
            }
            .boxed()
        }).await
    }

    /// Whether any job of the run is, or should be, on the queue.
    pub(crate) async fn has_queued_jobs(&self, run: RunId) -> Result<bool, StoreError> {
        let select = "SELECT id FROM jobs WHERE run_id = $1 AND status = 'Queued' LIMIT 1";
        Ok(sqlx::query(select).bind(run.to_string()).fetch_optional(self.pool()).await?.is_some())
    }

    /// Says that what is on the queue may have been lost: those jobs are to be put on it again. Gives how many.
    pub async fn unqueue(&self, run: RunId) -> Result<u64, StoreError> {
        self.writer
            .write(move |book| {
                async move {
                    let update = "UPDATE jobs SET status = 'Waiting' WHERE run_id = $1 AND status = 'Queued'";
                    Ok(sqlx::query(update).bind(run.to_string()).execute(book.sql()).await?.rows_affected())
                }
                .boxed()
            })
            .await
    }

    /// The next jobs that are to be put on the queue, without those that wait for their time. While the run is
    /// dispatched, only those that were there before.
    pub(crate) async fn waiting_jobs(
        &self,
        run: RunId,
        only_retries: bool,
        limit: i64,
    ) -> Result<Vec<Job>, StoreError> {
        let select = "SELECT id, place, message FROM jobs WHERE run_id = $1 AND status = 'Waiting' AND delayed = 0 AND \
                      attempts >= $2 ORDER BY seq LIMIT $3";
        let least: i64 = only_retries.into();
        let select = sqlx::query(select).bind(run.to_string()).bind(least).bind(limit);
        let rows = select.fetch_all(self.pool()).await?;
        if whole(rows.len() as u64) == limit {
            // There may be more, which are not to wait for a second.
            self.live.of(run).wake.notify_one();
        }
        rows.iter().map(job).collect()
    }

    /// The jobs that have failed for good and whose messages are not on the queue of dead jobs yet.
    pub(crate) async fn jobs_to_bury(&self, run: RunId, limit: i64) -> Result<Vec<Job>, StoreError> {
        let select = "SELECT id, place, message FROM jobs WHERE run_id = $1 AND to_bury = 1 ORDER BY seq LIMIT $2";
        let rows = sqlx::query(select).bind(run.to_string()).bind(limit).fetch_all(self.pool()).await?;
        rows.iter().map(job).collect()
    }

    /// Says that the messages of these jobs are on the queue of dead jobs.
    pub(crate) async fn buried(&self, jobs: Vec<Uuid>) -> Result<(), StoreError> {
        self.writer
            .write(move |book| {
                async move {
                    for job in jobs {
                        let update = sqlx::query("UPDATE jobs SET to_bury = 0 WHERE id = $1").bind(job.to_string());
                        update.execute(book.sql()).await?;
                    }
                    Ok(())
                }
                .boxed()
            })
            .await
    }

    /// The place after the last one that was dispatched.
    pub(crate) async fn next_place(&self, run: RunId, number_of_jobs: u64) -> Result<u64, StoreError> {
        let select = "SELECT COALESCE(MAX(place), -1) + 1 AS next FROM jobs WHERE run_id = $1 AND place < $2";
        let row = sqlx::query(select).bind(run.to_string()).bind(whole(number_of_jobs)).fetch_one(self.pool()).await?;
        Ok(count(row.try_get("next")?))
    }

    /// Says that every job of the run is known: it is drained once all of them have ended.
    pub async fn dispatched(&self, run: RunId) -> Result<(), StoreError> {
        let live = self.live.of(run);
        self.writer
            .write(move |book| {
                async move {
                    let update = "UPDATE runs SET dispatched = 1 WHERE id = $1";
                    sqlx::query(update).bind(run.to_string()).execute(book.sql()).await?;
                    let view = run_view(book, run).await?;
                    if view.status == RunStatus::Dispatching {
                        become_status(book, run, RunStatus::Running, None).await?;
                    }
                    drain(book, run, live).await
                }
                .boxed()
            })
            .await
    }

    /// Asks a run to end: its agents end their jobs now. One that has ended has.
    pub async fn cancel_run(&self, run: RunId) -> Result<RunView, StoreError> {
        self.stop_run(run, Ending { reason: None, outcome: Outcome::Cancelled }).await
    }

    /// Has a run end before its jobs have, and its agents told so. The first ending that is stored stays: whoever sees
    /// to it, also after a restart, finds it.
    pub(crate) async fn stop_run(&self, run: RunId, ending: Ending) -> Result<RunView, StoreError> {
        let live = self.live.of(run);
        let ending = serde_json::to_string(&ending)?;
        self.writer
            .write(move |book| {
                async move {
                    let view = run_view(book, run).await?;
                    if view.status.has_ended() || view.status == RunStatus::Draining {
                        return Ok(view);
                    }
                    let update = "UPDATE runs SET ending = COALESCE(ending, $2) WHERE id = $1";
                    sqlx::query(update).bind(run.to_string()).bind(clean(&ending)).execute(book.sql()).await?;
                    book.afterwards(move || live.stop(Stop::Cancelled));
                    tell_run(book, run).await
                }
                .boxed()
            })
            .await
    }

    /// Has no new attempts begun, or again.
    pub async fn pause_run(&self, run: RunId, paused: bool) -> Result<RunView, StoreError> {
        self.writer
            .write(move |book| {
                async move {
                    let view = run_view(book, run).await?;
                    if view.status.has_ended() {
                        return Err(StoreError::Conflict(format!("the run has ended: it is {}", view.status.word())));
                    }
                    let update = "UPDATE runs SET paused = $2 WHERE id = $1";
                    sqlx::query(update).bind(run.to_string()).bind(i64::from(paused)).execute(book.sql()).await?;
                    tell_run(book, run).await
                }
                .boxed()
            })
            .await
    }

    /// How the run ends, where that was decided before its jobs have ended.
    pub(crate) async fn ending(&self, run: RunId) -> Result<Option<Ending>, StoreError> {
        let select = sqlx::query("SELECT ending FROM runs WHERE id = $1").bind(run.to_string());
        Ok(select.fetch_optional(self.pool()).await?.as_ref().map(ending).transpose()?.flatten())
    }

    /// Ends every job of a run that has not ended: no agent will take it any more.
    pub(crate) async fn abandon(&self, run: RunId, outcome: Outcome) -> Result<(), StoreError> {
        loop {
            let outcome = outcome.clone();
            if self.writer.write(move |book| async move { abandon_some(book, run, outcome).await }.boxed()).await? == 0
            {
                return Ok(());
            }
        }
    }

    /// Gives the failed jobs of a run that has ended further attempts. Says how many there are.
    pub async fn retry_failed(&self, run: RunId) -> Result<u64, StoreError> {
        let live = self.live.of(run);
        self.writer
            .write(move |book| {
                async move {
                let view = run_view(book, run).await?;
                if !view.status.has_ended() {
                    return Err(StoreError::Conflict(format!(
                        "the run goes on (it is {}): wait until it has ended, or cancel it",
                        view.status.word()
                    )));
                }
                if view.jobs_failed == 0 {
                    return Err(StoreError::Conflict("no job of the run has failed".to_owned()));
                }
                let select = "SELECT COUNT(*) AS jobs FROM jobs WHERE run_id = $1";
                let row = sqlx::query(select).bind(run.to_string()).fetch_one(book.sql()).await?;
                if count(row.try_get("jobs")?) < view.jobs {
                    return Err(StoreError::Conflict("the run is being removed: launch it again".to_owned()));
                }
                let allowed = attempts_per_job(book, run).await?;
                let update = "UPDATE jobs SET status = 'Waiting', delayed = 0, attempts_allowed = attempts + $2, error = NULL, \
                              finished_at = NULL, to_bury = 0 WHERE run_id = $1 AND status = 'Failed'";
                let update = sqlx::query(update).bind(run.to_string()).bind(allowed);
                let retried = update.execute(book.sql()).await?.rows_affected();
                let update = "UPDATE runs SET jobs_failed = 0, ending = NULL, paused = 0, reason = NULL, finished_at = \
                              NULL WHERE id = $1";
                sqlx::query(update).bind(run.to_string()).execute(book.sql()).await?;
                become_status(book, run, RunStatus::Dispatching, None).await?;
                book.afterwards(move || live.go_on());
                Ok(retried)
            }
            .boxed()
            })
            .await
    }

    /// Removes a run that has ended, with its jobs and what they reported.
    pub async fn delete_run(&self, run: RunId) -> Result<(), StoreError> {
        self.empty_run(run).await?;
        self.writer
            .write(move |book| {
                async move {
                    refuse_live(book, run).await?;
                    // Told without a foreign key: who watches the run is to hear that it is gone.
                    for delete in ["DELETE FROM changes WHERE run_id = $1", "DELETE FROM runs WHERE id = $1"] {
                        sqlx::query(delete).bind(run.to_string()).execute(book.sql()).await?;
                    }
                    book.tell(run.0, "run_deleted", &serde_json::json!({ "run_uuid": run }))?;
                    Ok(())
                }
                .boxed()
            })
            .await?;
        self.live.forget(run);
        match tokio::fs::remove_dir_all(self.artifacts.join(run.to_string())).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}

impl Book {
    /// As many numbers as this, from the first one.
    fn take_seqs(&mut self, numbers: usize) -> i64 {
        let first = self.next_seq();
        for _ in 1..numbers {
            self.next_seq();
        }
        first
    }
}

/// How the run of a row ends, where that was decided before its jobs have ended.
pub(super) fn ending(row: &AnyRow) -> Result<Option<Ending>, StoreError> {
    let ending: Option<String> = row.try_get("ending")?;
    Ok(ending.map(|ending| serde_json::from_str(&ending)).transpose()?)
}

/// Ends a job that no agent has taken.
pub(super) async fn end_untaken(
    book: &mut Book,
    run: RunId,
    job: Uuid,
    outcome: Outcome,
    live: std::sync::Arc<super::live::Live>,
) -> Result<(), StoreError> {
    abandon_jobs(book, run, &[job.to_string()], outcome).await?;
    book.afterwards(move || live.wake.notify_one());
    Ok(())
}

async fn abandon_some(book: &mut Book, run: RunId, outcome: Outcome) -> Result<u64, StoreError> {
    let select = "SELECT id FROM jobs WHERE run_id = $1 AND status IN ('Waiting', 'Queued', 'Running') ORDER BY seq \
                  LIMIT $2";
    let rows = sqlx::query(select).bind(run.to_string()).bind(ABANDONED_AT_ONCE).fetch_all(book.sql()).await?;
    let jobs = rows.iter().map(|row| row.try_get("id")).collect::<Result<Vec<String>, _>>()?;
    abandon_jobs(book, run, &jobs, outcome).await?;
    Ok(jobs.len() as u64)
}

async fn abandon_jobs(book: &mut Book, run: RunId, jobs: &[String], outcome: Outcome) -> Result<(), StoreError> {
    let (status, _, error) = outcome.into_parts();
    let (status, column) = match status {
        armada_protocol::Status::Cancelled => (JobStatus::Cancelled, "jobs_cancelled"),
        _ => (JobStatus::Failed, "jobs_failed"),
    };
    let error = error.map(|error| serde_json::to_string(&error)).transpose()?.map(|text| clean(&text));
    for id in jobs {
        let update = "UPDATE attempts SET status = $2, error = $3, finished_at = $4 WHERE job_id = $1 AND status = \
                      'Running'";
        let update = sqlx::query(update).bind(id).bind(status.word()).bind(&error).bind(book.now);
        update.execute(book.sql()).await?;
        let update = "UPDATE jobs SET status = $2, error = $3, finished_at = $4, incarnation = NULL, to_bury = $5 \
                      WHERE id = $1";
        let update = sqlx::query(update).bind(id).bind(status.word()).bind(&error).bind(book.now);
        update.bind(i64::from(status == JobStatus::Failed)).execute(book.sql()).await?;
        tell_job(book, id).await?;
    }
    let update = AssertSqlSafe(format!("UPDATE runs SET {column} = {column} + $2 WHERE id = $1"));
    sqlx::query(update).bind(run.to_string()).bind(whole(jobs.len() as u64)).execute(book.sql()).await?;
    tell_run(book, run).await.map(drop)
}

/// Lets the run's agents end if every job has ended.
pub(super) async fn drain(
    book: &mut Book,
    run: RunId,
    live: std::sync::Arc<super::live::Live>,
) -> Result<(), StoreError> {
    let select = "SELECT id FROM runs WHERE id = $1 AND dispatched = 1 AND status = 'Running' AND jobs_succeeded + \
                  jobs_failed + jobs_cancelled >= jobs";
    if sqlx::query(select).bind(run.to_string()).fetch_optional(book.sql()).await?.is_some() {
        become_status(book, run, RunStatus::Draining, None).await?;
        book.afterwards(move || live.stop(Stop::Drained));
    }
    Ok(())
}

async fn become_status(
    book: &mut Book,
    run: RunId,
    next: RunStatus,
    reason: Option<String>,
) -> Result<RunView, StoreError> {
    let view = run_view(book, run).await?;
    if view.status == next {
        return Ok(view);
    }
    if !view.status.may_become(next) {
        return Err(StoreError::Conflict(format!(
            "the run is {}: it cannot become {}",
            view.status.word(),
            next.word()
        )));
    }
    // A clock that was put back does not make a run look as if it had ended long ago: it would be forgotten too early.
    let now = book.now.max(view.started_at.unwrap_or(view.run_datetime).as_millisecond());
    let update = "UPDATE runs SET status = $2, reason = COALESCE($3, reason), started_at = COALESCE(started_at, $4), \
                  finished_at = $5, paused = CASE WHEN $6 = 1 THEN 0 ELSE paused END WHERE id = $1";
    sqlx::query(update)
        .bind(run.to_string())
        .bind(next.word())
        .bind(reason.map(|reason| clean(&reason)))
        .bind((next == RunStatus::Dispatching).then_some(now))
        .bind(next.has_ended().then_some(now))
        .bind(i64::from(next.has_ended()))
        .execute(book.sql())
        .await?;
    tell_run(book, run).await
}

/// What goes on is not removed.
pub(super) async fn refuse_live(book: &mut Book, run: RunId) -> Result<(), StoreError> {
    let view = run_view(book, run).await?;
    if !view.status.has_ended() && is_conducted(book.sql(), run).await? {
        let message = format!("the run goes on (it is {}): cancel it first", view.status.word());
        return Err(StoreError::Conflict(message));
    }
    Ok(())
}

/// Whether a run is conducted here, and not reported by somebody else.
pub(super) async fn is_conducted(sql: impl Executor<'_, Database = Any>, run: RunId) -> Result<bool, StoreError> {
    let select = sqlx::query("SELECT id FROM runs WHERE id = $1 AND granted IS NOT NULL").bind(run.to_string());
    Ok(select.fetch_optional(sql).await?.is_some())
}

async fn attempts_per_job(book: &mut Book, run: RunId) -> Result<i64, StoreError> {
    let select = sqlx::query("SELECT attempts_per_job FROM runs WHERE id = $1").bind(run.to_string());
    let row = select.fetch_optional(book.sql()).await?;
    let row = row.ok_or_else(|| StoreError::NotFound(format!("run {run}")))?;
    Ok(row.try_get("attempts_per_job")?)
}

pub(super) async fn run_view(book: &mut Book, run: RunId) -> Result<RunView, StoreError> {
    let select = AssertSqlSafe(format!("SELECT {RUN_COLUMNS} FROM runs WHERE id = $1"));
    let view = sqlx::query_as(select).bind(run.to_string()).fetch_optional(book.sql()).await?;
    view.ok_or_else(|| StoreError::NotFound(format!("run {run}")))
}

/// Tells how a run is now.
pub(super) async fn tell_run(book: &mut Book, run: RunId) -> Result<RunView, StoreError> {
    let view = run_view(book, run).await?;
    book.tell(run.0, "run", &view)?;
    Ok(view)
}

/// Tells how a job is now.
pub(super) async fn tell_job(book: &mut Book, id: &str) -> Result<JobView, StoreError> {
    let select = AssertSqlSafe(format!("SELECT {JOB_COLUMNS} FROM jobs WHERE id = $1"));
    let view: JobView = sqlx::query_as(select).bind(id).fetch_one(book.sql()).await?;
    book.tell(view.run_uuid, "job", &view)?;
    Ok(view)
}

fn job(row: &AnyRow) -> Result<Job, StoreError> {
    let message: String = row.try_get("message")?;
    Ok(Job { uuid: parsed(row, "id")?, index: count(row.try_get("place")?), message: RawValue::from_string(message)? })
}

/// A number as it is stored.
pub(super) fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A text as PostgreSQL takes it: without the one character that it does not.
pub(super) fn clean(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
