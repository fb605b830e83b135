//! The ledger in SQL: attempts, reports and outcomes, as agents ask for them.
//!
//! The queue may deliver a job twice, late or never; what is decided here holds. A job belongs to the process of an
//! agent that began its last attempt, for as long as that process is heard of.

use std::time::{Duration, Instant};

use armada_protocol::{
    AgentState, Attempt, Cause, Incarnation, Job, JobStore, Next, Outcome, ProtocolError, Report, RunId, Start, Stop,
};
use async_trait::async_trait;
use futures::FutureExt as _;
use sqlx::Row as _;

use super::agents::note_agent;
use super::attempts::{begin, close_attempt, died, find, insert, is_of_another_run, release};
use super::bounds::TEXT_BYTES;
use super::reports::store_reports;
use super::runs::{clean, end_untaken, ending};
use super::views::{JobStatus, RunStatus, word};
use super::{Store, StoreError};

/// Why a job is not done that somebody else has put on the queue, and that comes from there when all others have ended.
const TOO_LATE: &str =
    "it was taken from the queue when the run's other jobs had ended: have it done with a retry of the run";

/// How many jobs one write says of that their time has come.
const DUE_AT_ONCE: usize = 500;
/// When an agent whose run is paused asks again.
const ASK_AGAIN: Duration = Duration::from_millis(500);

#[async_trait]
impl JobStore for Store {
    async fn agent(&self, run: RunId, by: Incarnation, state: AgentState) -> Result<(), ProtocolError> {
        let live = self.live.of(run);
        let retry = self.retry.clone();
        let is_over = !matches!(state, AgentState::Opening | AgentState::Open);
        if is_over {
            live.heard().remove(&by);
        } else {
            live.hear(by);
        }
        Ok(self
            .writer
            .note(move |book| {
                async move {
                    let has_died = matches!(state, AgentState::Died { .. });
                    let (state, message) = match state {
                        AgentState::Opening => ("Opening", None),
                        AgentState::Open => ("Open", None),
                        AgentState::Closed => ("Closed", None),
                        AgentState::Failed { message } => ("Failed", Some(clean(cut(&message)))),
                        AgentState::Died { message } => ("Lost", Some(clean(cut(&message)))),
                    };
                    note_agent(book, run, by, state, message).await?;
                    if is_over {
                        release(book, run, by, has_died, &live, &retry).await?;
                    }
                    Ok(())
                }
                .boxed()
            })
            .await?)
    }

    async fn alive(&self, run: RunId, by: Incarnation) -> Result<(), ProtocolError> {
        self.live.of(run).hear(by);
        Ok(())
    }

    async fn start(&self, run: RunId, job: &Job, by: Incarnation) -> Result<Start, ProtocolError> {
        let (job, live, lease, retry) = (job.clone(), self.live.of(run), self.lease, self.retry.clone());
        live.hear(by);
        Ok(self
            .writer
            .note(move |book| {
                async move {
                    let select =
                        sqlx::query("SELECT status, paused, ending, attempts_per_job FROM runs WHERE id = $1");
                    let row = select.bind(run.to_string()).fetch_optional(book.sql()).await?;
                    let row = row.ok_or_else(|| StoreError::NotFound(format!("run {run}")))?;
                    let status: RunStatus = word(&row, "status")?;
                    let ending = ending(&row)?;
                    let is_over = status.has_ended() || ending.is_some();
                    let found = match find(book, run, job.uuid).await? {
                        Some(found) => found,
                        None if status.has_ended() => return Ok(Start::Ended),
                        None if is_of_another_run(book, run, job.uuid).await? => {
                            tracing::warn!(%run, job = %job.uuid, "a job of another run is on the queue: it is not done here");
                            return Ok(Start::Ended);
                        }
                        // Somebody else has put it on the queue.
                        None => {
                            let found = insert(book, run, &job, row.try_get("attempts_per_job")?).await?;
                            let too_late = (status == RunStatus::Draining).then_some(TOO_LATE);
                            let too_late = too_late.map(|told| Outcome::failed(Cause::NoAgent, told));
                            if let Some(outcome) = ending.map(|ending| ending.outcome).or(too_late) {
                                end_untaken(book, run, job.uuid, outcome, live).await?;
                                return Ok(Start::Ended);
                            }
                            found
                        }
                    };
                    if found.status.has_ended() || is_over {
                        return Ok(Start::Ended);
                    }
                    if found.status == JobStatus::Running {
                        if found.incarnation == Some(by.id) {
                            return Ok(Start::Attempt(found.last_attempt(run, job.uuid)));
                        }
                        let holder = found.holder().filter(|holder| holder.agent != by.agent);
                        // One that was not heard of since this process began may still be, for as long as it may be
                        // silent.
                        let is_alive = |holder| {
                            live.heard().entry(holder).or_insert_with(Instant::now).elapsed() < lease
                        };
                        if holder.is_some_and(is_alive) {
                            return Ok(Start::Elsewhere);
                        }
                        let lost = died(found.agent, found.attempts);
                        if close_attempt(book, run, job.uuid, &found, lost, &live, &retry).await? == Next::Ended {
                            return Ok(Start::Ended);
                        }
                    }
                    if row.try_get::<i64, _>("paused")? != 0 {
                        return Ok(Start::Paused {
                            ask_again_ms: ASK_AGAIN.as_millis().try_into().unwrap_or(u64::MAX),
                        });
                    }
                    let attempt = begin(book, run, job.uuid, found, by).await?;
                    book.afterwards(move || live.delays().remove(job.uuid));
                    Ok(Start::Attempt(attempt))
                }
                .boxed()
            })
            .await?)
    }

    async fn report(&self, attempt: Attempt, first: u64, reports: Vec<Report>) -> Result<(), ProtocolError> {
        let Some(place) = self.open_place(attempt).await? else { return Ok(()) };
        self.check_bounds(attempt, first, &reports).await?;
        let mut artifacts = Vec::new();
        let mut others = Vec::new();
        let after = first.saturating_add(reports.len() as u64);
        for (number, report) in (first..).zip(reports) {
            match report {
                // The file is written first: once an artifact is in the store, it is on the disk.
                Report::Artifact(artifact) => artifacts.push(self.keep(attempt.run, place, artifact).await?),
                other => others.push((number, other)),
            }
        }
        Ok(self
            .writer
            .write(move |book| async move { store_reports(book, attempt, after, others, artifacts).await }.boxed())
            .await?)
    }

    async fn finish(&self, attempt: Attempt, outcome: Outcome) -> Result<Next, ProtocolError> {
        let (live, retry) = (self.live.of(attempt.run), self.retry.clone());
        Ok(self
            .writer
            .note(move |book| {
                async move {
                    let Some(found) = find(book, attempt.run, attempt.job).await? else {
                        return Err(StoreError::NotFound(format!("job {}", attempt.job)));
                    };
                    if !found.is_open(attempt) {
                        // Said before, or too late: another attempt was begun, or the job has ended. What was decided
                        // then holds.
                        let is_again = !found.status.has_ended() && found.attempts == i64::from(attempt.number);
                        return Ok(if is_again { Next::Later } else { Next::Ended });
                    }
                    let next = close_attempt(book, attempt.run, attempt.job, &found, outcome, &live, &retry).await?;
                    book.afterwards(move || live.bounds.forget(attempt.job));
                    Ok(next)
                }
                .boxed()
            })
            .await?)
    }

    async fn stopped(&self, run: RunId) -> Result<Stop, ProtocolError> {
        let live = self.live.of(run);
        let mut told = live.stop.subscribe();
        if told.borrow().is_none()
            // It may have been told before this process began.
            && let Some(stop) = self.stored_stop(run).await?
        {
            return Ok(stop);
        }
        let stop = told.wait_for(Option::is_some).await.map_err(|_| ProtocolError::Closed)?;
        stop.ok_or(ProtocolError::Closed)
    }
}

/// As much of a text as an agent may say of itself.
fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(TEXT_BYTES)).unwrap_or_default()
}

impl Store {
    /// Waits until there may be something to put on the run's queue, or for as long as this.
    pub(crate) async fn wait_for_work(&self, run: RunId, longest: Duration) {
        let live = self.live.of(run);
        let next = live.delays().next().map(|due| due.saturating_duration_since(Instant::now()));
        let longest = next.map_or(longest, |next| next.min(longest));
        // Running out of time is one way to find out.
        let _ = tokio::time::timeout(longest, live.wake.notified()).await;
    }

    /// Has those jobs put on the queue that have waited long enough for another attempt.
    pub(crate) async fn end_delays(&self, run: RunId) -> Result<(), StoreError> {
        let live = self.live.of(run);
        loop {
            let due = live.delays().due(Instant::now(), DUE_AT_ONCE);
            if due.is_empty() {
                return Ok(());
            }
            let live = live.clone();
            self.writer
                .write(move |book| {
                    async move {
                        for (_, job) in &due {
                            let update = sqlx::query("UPDATE jobs SET delayed = 0 WHERE id = $1").bind(job.to_string());
                            update.execute(book.sql()).await?;
                        }
                        book.afterwards(move || due.into_iter().for_each(|(due, job)| live.delays().end(due, job)));
                        Ok(())
                    }
                    .boxed()
                })
                .await?;
        }
    }

    /// Forgets that jobs wait for their time if nothing here does: whoever knew of it is gone.
    pub(crate) async fn forget_lost_delays(&self, run: RunId) -> Result<(), StoreError> {
        if self.live.of(run).delays().is_empty() { self.forget_delays(run).await } else { Ok(()) }
    }

    /// Forgets that jobs wait for their time: in which process they did is not known any more.
    pub(crate) async fn forget_delays(&self, run: RunId) -> Result<(), StoreError> {
        self.writer
            .write(move |book| {
                async move {
                    let update = "UPDATE jobs SET delayed = 0 WHERE run_id = $1 AND delayed = 1";
                    sqlx::query(update).bind(run.to_string()).execute(book.sql()).await?;
                    Ok(())
                }
                .boxed()
            })
            .await
    }

    /// Why the run's agents are to stop, as it is stored.
    async fn stored_stop(&self, run: RunId) -> Result<Option<Stop>, StoreError> {
        let view = self.run(run).await?;
        if view.status.has_ended() || view.status == RunStatus::Draining {
            return Ok(Some(Stop::Drained));
        }
        Ok(self.ending(run).await?.map(|_| Stop::Cancelled))
    }

    /// Has the run's agents told to stop if that is stored: a database that goes away while it commits may have done so
    /// without anybody hearing of it.
    pub(crate) async fn tell_stop(&self, run: RunId) -> Result<(), StoreError> {
        if let Some(stop) = self.stored_stop(run).await? {
            self.live.of(run).stop(stop);
        }
        Ok(())
    }
}
