//! Runs that somebody else conducts and reports here, as clients of the system that Armada succeeds do.
//!
//! Nothing is decided about them: what they report is stored. A run that is conducted here is not reported to: its
//! ledger alone says what became of its jobs.

use armada_protocol::RunId;
use futures::FutureExt as _;
use jiff::Timestamp;
use sqlx::Row as _;
use uuid::Uuid;

use super::reports::insert_reports;
use super::runs::{clean, is_conducted, run_view, tell_job, tell_run, whole};
use super::views::{JOB_COLUMNS, JobStatus, JobView, ReportView, RunStatus, RunView};
use super::writer::Book;
use super::{Store, StoreError};

/// A step that somebody else reports.
#[derive(Debug)]
pub(crate) struct ReportedEvent {
    pub(crate) job: Uuid,
    pub(crate) level: &'static str,
    pub(crate) content: String,
    pub(crate) time: Timestamp,
}

impl Store {
    /// Notes a run, unless it is known. Says whether it was new.
    pub(crate) async fn report_run(&self, run: RunId, at: Option<Timestamp>) -> Result<(RunView, bool), StoreError> {
        self.writer
            .write(move |book| {
                async move {
                    refuse_conducted(book, run).await?;
                    let (seq, at) = (book.next_seq(), at.map_or(book.now, Timestamp::as_millisecond));
                    let insert = "INSERT INTO runs (id, seq, project, status, created_at, started_at) VALUES ($1, $2, '', \
                                  'Running', $3, $3) ON CONFLICT (id) DO NOTHING";
                    let insert = sqlx::query(insert).bind(run.to_string()).bind(seq).bind(at);
                    let is_new = insert.execute(book.sql()).await?.rows_affected() > 0;
                    let view = run_view(book, run).await?;
                    if is_new {
                        book.tell_as(seq, run.0, "run", &view)?;
                    }
                    Ok((view, is_new))
                }
                .boxed()
            })
            .await
    }

    /// Notes a job of a run.
    pub(crate) async fn report_job(
        &self,
        run: RunId,
        agent: Option<u32>,
        status: JobStatus,
    ) -> Result<JobView, StoreError> {
        self.writer
            .write(move |book| {
                async move {
                    refuse_conducted(book, run).await?;
                    run_view(book, run).await?;
                    let select = "SELECT COALESCE(MAX(place), -1) + 1 AS place FROM jobs WHERE run_id = $1";
                    let row = sqlx::query(select).bind(run.to_string()).fetch_one(book.sql()).await?;
                    let place: i64 = row.try_get("place")?;
                    let id = Uuid::new_v4().to_string();
                    let (seq, now) = (book.next_seq(), book.now);
                    let insert = "INSERT INTO jobs (id, run_id, place, seq, status, message, attempts, attempts_allowed, \
                                  agent, created_at, started_at, finished_at) VALUES ($1, $2, $3, $4, $5, '{}', 1, 1, \
                                  $6, $7, $7, $8)";
                    sqlx::query(insert)
                        .bind(&id)
                        .bind(run.to_string())
                        .bind(place)
                        .bind(seq)
                        .bind(status.word())
                        .bind(agent.map(i64::from))
                        .bind(now)
                        .bind(status.has_ended().then_some(now))
                        .execute(book.sql())
                        .await?;
                    let update = sqlx::query("UPDATE runs SET jobs = jobs + 1 WHERE id = $1").bind(run.to_string());
                    update.execute(book.sql()).await?;
                    count_job(book, run, status, 1).await?;
                    let view = tell_job(book, &id).await?;
                    settle(book, run).await?;
                    Ok(view)
                }
                .boxed()
            })
            .await
    }

    /// Notes how a job is now.
    pub(crate) async fn report_job_status(&self, job: Uuid, status: JobStatus) -> Result<JobView, StoreError> {
        self.writer
            .write(move |book| {
                async move {
                    let before = reported_job(book, job).await?;
                    let run = RunId(before.run_uuid);
                    let update = "UPDATE jobs SET status = $2, finished_at = $3 WHERE id = $1";
                    sqlx::query(update)
                        .bind(job.to_string())
                        .bind(status.word())
                        .bind(status.has_ended().then_some(book.now))
                        .execute(book.sql())
                        .await?;
                    count_job(book, run, before.job_status, -1).await?;
                    count_job(book, run, status, 1).await?;
                    let view = tell_job(book, &job.to_string()).await?;
                    settle(book, run).await?;
                    Ok(view)
                }
                .boxed()
            })
            .await
    }

    /// Notes a step of a job.
    pub(crate) async fn report_event(&self, event: ReportedEvent) -> Result<ReportView, StoreError> {
        self.writer
            .write(move |book| {
                async move {
                    let job = reported_job(book, event.job).await?;
                    let view = ReportView {
                        event_uuid: Uuid::new_v4(),
                        run_uuid: job.run_uuid,
                        job_uuid: event.job,
                        attempt: 1,
                        kind: "event".to_owned(),
                        event_status: event.level.to_owned(),
                        event_content: clean(&event.content),
                        attachment: None,
                        event_datetime: event.time,
                        cursor: 0,
                    };
                    let told = insert_reports(book, vec![view]).await?;
                    told.into_iter().next().ok_or_else(|| StoreError::NotFound("the event".to_owned()))
                }
                .boxed()
            })
            .await
    }

    /// Stores events as they are. Gives their numbers.
    #[cfg(test)]
    pub(crate) async fn insert_reports(&self, reports: Vec<ReportView>) -> Vec<u64> {
        let stored = self.writer.write(move |book| async move { insert_reports(book, reports).await }.boxed()).await;
        stored.unwrap().iter().map(|report| report.cursor).collect()
    }
}

async fn refuse_conducted(book: &mut Book, run: RunId) -> Result<(), StoreError> {
    if is_conducted(book.sql(), run).await? {
        let message = "the run is conducted here: what becomes of it is not for others to report";
        return Err(StoreError::Conflict(message.to_owned()));
    }
    Ok(())
}

async fn reported_job(book: &mut Book, job: Uuid) -> Result<JobView, StoreError> {
    let select = sqlx::AssertSqlSafe(format!("SELECT {JOB_COLUMNS} FROM jobs WHERE id = $1"));
    let found: Option<JobView> = sqlx::query_as(select).bind(job.to_string()).fetch_optional(book.sql()).await?;
    let found = found.ok_or_else(|| StoreError::NotFound(format!("job {job}")))?;
    refuse_conducted(book, RunId(found.run_uuid)).await?;
    Ok(found)
}

async fn count_job(book: &mut Book, run: RunId, status: JobStatus, by: i64) -> Result<(), StoreError> {
    let update = match status {
        JobStatus::Success => "UPDATE runs SET jobs_succeeded = jobs_succeeded + $2 WHERE id = $1",
        JobStatus::Failed => "UPDATE runs SET jobs_failed = jobs_failed + $2 WHERE id = $1",
        JobStatus::Cancelled => "UPDATE runs SET jobs_cancelled = jobs_cancelled + $2 WHERE id = $1",
        JobStatus::Waiting | JobStatus::Queued | JobStatus::Running => return Ok(()),
    };
    sqlx::query(update).bind(run.to_string()).bind(by).execute(book.sql()).await?;
    Ok(())
}

/// Nobody says when such a run ends: it has for as long as all its jobs have.
async fn settle(book: &mut Book, run: RunId) -> Result<(), StoreError> {
    let view = run_view(book, run).await?;
    let status = match view.jobs_succeeded + view.jobs_failed + view.jobs_cancelled {
        ended if ended < view.jobs => RunStatus::Running,
        _ if view.jobs_failed > 0 => RunStatus::Failed,
        _ if view.jobs_cancelled > 0 => RunStatus::Cancelled,
        _ => RunStatus::Succeeded,
    };
    let agents = "SELECT COALESCE(MAX(agent), -1) + 1 AS agents FROM jobs WHERE run_id = $1";
    let agents: i64 = sqlx::query(agents).bind(run.to_string()).fetch_one(book.sql()).await?.try_get("agents")?;
    let update = "UPDATE runs SET status = $2, finished_at = $3, agents = $4 WHERE id = $1";
    sqlx::query(update)
        .bind(run.to_string())
        .bind(status.word())
        .bind(status.has_ended().then_some(book.now))
        .bind(agents.max(whole(view.agents)))
        .execute(book.sql())
        .await?;
    tell_run(book, run).await.map(drop)
}
