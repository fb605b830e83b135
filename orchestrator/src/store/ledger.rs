//! The ledger in SQL: attempts, reports and outcomes, as agents ask for them.
//!
//! The queue may deliver a job twice, late or never; what is decided here holds. A job belongs to the process of an agent that
//! began its last attempt, for as long as that process is heard of. What is kept in memory of a run (whom to tell that it is
//! over, who was heard of when, what waits for another attempt) can be made again from the tables, and from silence.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use armada_protocol::outcome::StoredArtifact;
use armada_protocol::report::{Artifact, EventLevel, LogLevel};
use armada_protocol::{
    AgentState, Attempt, Cause, Incarnation, Job, JobStore, Next, Outcome, ProtocolError, Report, RunId, Start, Status,
    Stop,
};
use async_trait::async_trait;
use backon::{BackoffBuilder as _, ExponentialBuilder};
use futures::FutureExt as _;
use sqlx::Row as _;
use sqlx::any::AnyRow;
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use super::runs::{clean, drain, tell_job, whole};
use super::views::{AgentView, JobStatus, count, moment, parsed, word};
use super::writer::{Book, ROWS, insert as insert_rows};
use super::{Store, StoreError};
use crate::http::metrics::EVENT_LAG;

/// When an agent whose run is paused asks again.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// What is known of the runs that go on, beside what is stored.
#[derive(Default)]
pub(super) struct LiveRuns {
    runs: Mutex<HashMap<RunId, Arc<Live>>>,
}

/// What is known of a run.
pub(super) struct Live {
    stop: watch::Sender<Option<Stop>>,
    /// Told when there may be something to put on a queue.
    wake: Notify,
    /// When which process of an agent was last heard of.
    heard: Mutex<HashMap<Incarnation, Instant>>,
    /// Jobs that wait for another attempt, and until when.
    not_before: Mutex<HashMap<Uuid, Instant>>,
}

impl Default for Live {
    fn default() -> Self {
        Self {
            stop: watch::Sender::new(None),
            wake: Notify::new(),
            heard: Mutex::default(),
            not_before: Mutex::default(),
        }
    }
}

impl LiveRuns {
    pub(super) fn of(&self, run: RunId) -> Arc<Live> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner).entry(run).or_default().clone()
    }

    pub(super) fn forget(&self, run: RunId) {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner).remove(&run);
    }
}

impl Live {
    /// Has the agents told to stop, unless they were.
    pub(super) fn stop(&self, stop: Stop) {
        self.stop.send_if_modified(|told| {
            let is_first = told.is_none();
            told.get_or_insert(stop);
            is_first
        });
        self.wake.notify_one();
    }

    /// The run has ended: nothing of it is waited for any more.
    pub(super) fn end(&self, stop: Stop) {
        self.stop(stop);
        self.not_before().clear();
        self.heard().clear();
    }

    /// Takes back that the agents are to stop: the run goes on.
    pub(super) fn go_on(&self) {
        self.stop.send_replace(None);
        self.not_before().clear();
        self.heard().clear();
        self.wake.notify_one();
    }

    fn heard(&self) -> MutexGuard<'_, HashMap<Incarnation, Instant>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn not_before(&self) -> MutexGuard<'_, HashMap<Uuid, Instant>> {
        self.not_before.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, by: Incarnation) {
        self.heard().insert(by, Instant::now());
    }
}

/// A job and its run, as far as they decide what becomes of an attempt.
struct Found {
    status: JobStatus,
    place: u64,
    attempts: i64,
    attempts_allowed: i64,
    agent: Option<u32>,
    incarnation: Option<Uuid>,
}

impl Found {
    fn of(row: &AnyRow) -> Result<Self, StoreError> {
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
    fn is_open(&self, attempt: Attempt) -> bool {
        self.status == JobStatus::Running && self.attempts == i64::from(attempt.number)
    }

    /// The process that makes the attempt.
    fn holder(&self) -> Option<Incarnation> {
        Some(Incarnation { agent: self.agent?, id: self.incarnation? })
    }

    fn last_attempt(&self, run: RunId, job: Uuid) -> Attempt {
        let number = self.attempts.try_into().unwrap_or(u32::MAX);
        Attempt { run, job, index: self.place, number, agent: self.agent.unwrap_or_default() }
    }
}

const FOUND: &str = "SELECT status, place, attempts, attempts_allowed, agent, incarnation FROM jobs WHERE id = $1 AND \
                     run_id = $2";

/// The process of an agent in a row.
fn incarnation(row: &AnyRow) -> Result<Incarnation, StoreError> {
    let agent: i64 = row.try_get("agent")?;
    Ok(Incarnation { agent: agent.try_into().unwrap_or_default(), id: parsed(row, "incarnation")? })
}

async fn find(book: &mut Book, run: RunId, job: Uuid) -> Result<Option<Found>, StoreError> {
    let select = sqlx::query(FOUND).bind(job.to_string()).bind(run.to_string());
    select.fetch_optional(book.sql()).await?.as_ref().map(Found::of).transpose()
}

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
            .write(move |book| {
                async move {
                    let death = match &state {
                        AgentState::Died { message } => Some(message.clone()),
                        _ => None,
                    };
                    let (state, message) = match state {
                        AgentState::Opening => ("Opening", None),
                        AgentState::Open => ("Open", None),
                        AgentState::Closed => ("Closed", None),
                        AgentState::Failed { message } => ("Failed", Some(clean(&message))),
                        AgentState::Died { message } => ("Lost", Some(clean(&message))),
                    };
                    note_agent(book, run, by, state, message).await?;
                    if is_over {
                        release(book, run, by, death, &live, &retry).await?;
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
            .write(move |book| {
                async move {
                    let select =
                        sqlx::query("SELECT status, paused, cancelled, attempts_per_job FROM runs WHERE id = $1");
                    let row = select.bind(run.to_string()).fetch_optional(book.sql()).await?;
                    let row = row.ok_or_else(|| StoreError::NotFound(format!("run {run}")))?;
                    let status: super::views::RunStatus = word(&row, "status")?;
                    let is_over = status.has_ended() || row.try_get::<i64, _>("cancelled")? != 0;
                    let found = match find(book, run, job.uuid).await? {
                        Some(found) => found,
                        None if is_over => return Ok(Start::Ended),
                        None if is_of_another_run(book, job.uuid).await? => {
                            tracing::warn!(%run, job = %job.uuid, "a job of another run is on the queue: it is not done here");
                            return Ok(Start::Ended);
                        }
                        // Somebody else has put it on the queue.
                        None => insert(book, run, &job, row.try_get("attempts_per_job")?).await?,
                    };
                    if found.status.has_ended() || is_over {
                        return Ok(Start::Ended);
                    }
                    if found.status == JobStatus::Running {
                        if found.incarnation == Some(by.id) {
                            return Ok(Start::Attempt(found.last_attempt(run, job.uuid)));
                        }
                        let holder = found.holder().filter(|holder| holder.agent != by.agent);
                        // One that was not heard of since this process began may still be, for as long as it may be silent.
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
                    live.not_before().remove(&job.uuid);
                    begin(book, run, job.uuid, found, by).await.map(Start::Attempt)
                }
                .boxed()
            })
            .await?)
    }

    async fn report(&self, attempt: Attempt, first: u64, reports: Vec<Report>) -> Result<(), ProtocolError> {
        let Some(place) = self.open_place(attempt).await? else { return Ok(()) };
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
            .write(move |book| {
                async move {
                    let Some(found) = find(book, attempt.run, attempt.job).await? else {
                        return Err(StoreError::NotFound(format!("job {}", attempt.job)));
                    };
                    if !found.is_open(attempt) {
                        // Said before, or too late: another attempt was begun, or the job has ended. What was decided then holds.
                        let is_again = !found.status.has_ended() && found.attempts == i64::from(attempt.number);
                        return Ok(if is_again { Next::Later } else { Next::Ended });
                    }
                    close_attempt(book, attempt.run, attempt.job, &found, outcome, &live, &retry).await
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

impl Store {
    /// Waits until there may be something to put on the run's queue, or for as long as this.
    pub(crate) async fn wait_for_work(&self, run: RunId, longest: Duration) {
        let live = self.live.of(run);
        let next = {
            let (mut not_before, now) = (live.not_before(), Instant::now());
            let all = not_before.len();
            not_before.retain(|_, due| *due > now);
            // Those whose time has come are no more waited for: they are work.
            if not_before.len() < all {
                return;
            }
            not_before.values().min().map(|due| due.saturating_duration_since(now))
        };
        let longest = next.map_or(longest, |next| next.min(longest));
        // Running out of time is one way to find out.
        let _ = tokio::time::timeout(longest, live.wake.notified()).await;
    }

    /// Whether a job that waits for another attempt has waited long enough.
    pub(crate) fn is_due(&self, run: RunId, job: Uuid) -> bool {
        self.live.of(run).not_before().get(&job).is_none_or(|due| *due <= Instant::now())
    }

    /// How many jobs wait for their time.
    pub(crate) fn delayed_jobs(&self, run: RunId) -> i64 {
        whole(self.live.of(run).not_before().len() as u64)
    }

    /// Whether any agent of the run is alive.
    pub(crate) fn has_agents(&self, run: RunId) -> bool {
        !self.live.of(run).heard().is_empty()
    }

    /// Why the run's agents are to stop, as it is stored.
    async fn stored_stop(&self, run: RunId) -> Result<Option<Stop>, StoreError> {
        let view = self.run(run).await?;
        if view.status.has_ended() || view.status == super::views::RunStatus::Draining {
            return Ok(Some(Stop::Drained));
        }
        Ok(self.is_cancelled(run).await?.then_some(Stop::Cancelled))
    }

    /// Has the run's agents told to stop if that is stored: a database that goes away while it commits may have done so
    /// without anybody hearing of it.
    pub(crate) async fn tell_stop(&self, run: RunId) -> Result<(), StoreError> {
        if let Some(stop) = self.stored_stop(run).await? {
            self.live.of(run).stop(stop);
        }
        Ok(())
    }

    /// The agents of a run that have not been heard of for longer than they may be silent. Who has a job and was not heard of
    /// since this process began, or since another process took its number, has as long from now on.
    pub(crate) async fn silent_agents(&self, run: RunId) -> Result<Vec<Incarnation>, StoreError> {
        let select = "SELECT DISTINCT agent, incarnation FROM jobs WHERE run_id = $1 AND status = 'Running'";
        let rows = sqlx::query(select).bind(run.to_string()).fetch_all(self.pool()).await?;
        let live = self.live.of(run);
        let mut heard = live.heard();
        for row in &rows {
            heard.entry(incarnation(row)?).or_insert_with(Instant::now);
        }
        let silent = heard.iter().filter(|(_, when)| when.elapsed() >= self.lease);
        Ok(silent.map(|(by, _)| *by).collect())
    }

    /// Takes an agent for dead: the job that it had goes to another. Nothing is known of its process if that was not this
    /// one's child.
    pub(crate) async fn agent_is_gone(&self, run: RunId, by: Incarnation, reason: String) -> Result<(), StoreError> {
        let (live, retry) = (self.live.of(run), self.retry.clone());
        live.heard().remove(&by);
        self.writer.write(move |book| {
            async move {
                let update = "UPDATE agents SET state = 'Lost', message = $4, updated_at = $5 WHERE run_id = $1 AND agent \
                              = $2 AND incarnation = $3 AND state IN ('Opening', 'Open')";
                let update = sqlx::query(update).bind(run.to_string()).bind(i64::from(by.agent));
                let update = update.bind(by.id.to_string()).bind(clean(&reason)).bind(book.now);
                if update.execute(book.sql()).await?.rows_affected() > 0 {
                    tell_agent(book, run, by.agent).await?;
                }
                release(book, run, by, Some(reason), &live, &retry).await
            }
            .boxed()
        }).await
    }

    /// Takes for dead whoever has a job of this run and was not heard of since this process began.
    pub(crate) async fn forget_agents(&self, run: RunId) -> Result<(), StoreError> {
        let select = "SELECT agent, incarnation FROM jobs WHERE run_id = $1 AND status = 'Running' UNION SELECT agent, \
                      incarnation FROM agents WHERE run_id = $1 AND state IN ('Opening', 'Open')";
        let rows = sqlx::query(select).bind(run.to_string()).fetch_all(self.pool()).await?;
        for row in &rows {
            let by = incarnation(row)?;
            if !self.live.of(run).heard().contains_key(&by) {
                self.agent_is_gone(run, by, "the orchestrator was started again".to_owned()).await?;
            }
        }
        Ok(())
    }

    /// The place of a job of which this attempt is the one that is open.
    async fn open_place(&self, attempt: Attempt) -> Result<Option<u64>, StoreError> {
        let select = sqlx::query(FOUND).bind(attempt.job.to_string()).bind(attempt.run.to_string());
        let found = select.fetch_optional(self.pool()).await?.as_ref().map(Found::of).transpose()?;
        Ok(found.filter(|found| found.is_open(attempt)).map(|found| found.place))
    }

    /// Writes an artifact to its file, which replaces an earlier one of the same name.
    async fn keep(&self, run: RunId, place: u64, artifact: Artifact) -> Result<StoredArtifact, ProtocolError> {
        if !Artifact::is_allowed_name(&artifact.name) {
            return Err(ProtocolError::Invalid(format!("an artifact cannot be named {:?}", artifact.name)));
        }
        let folder = self.artifacts_of(run.0, place);
        let path = folder.join(&artifact.name);
        let size = artifact.bytes.len() as u64;
        let written = async {
            tokio::fs::create_dir_all(&folder).await?;
            // Its name belongs to a whole file only: a full disk leaves the one before.
            let part = folder.join(format!(".{}", Uuid::new_v4()));
            if let Err(error) = tokio::fs::write(&part, &artifact.bytes).await {
                let _ = tokio::fs::remove_file(&part).await;
                return Err(error);
            }
            tokio::fs::rename(&part, &path).await
        };
        let unavailable = |error| ProtocolError::Unavailable(format!("an artifact could not be kept: {error}"));
        written.await.map_err(unavailable)?;
        Ok(StoredArtifact {
            name: artifact.name,
            media_type: artifact.media_type,
            size,
            path: path.display().to_string(),
        })
    }
}

/// How long jobs wait for their next attempts: twice as long each time, and never quite the same.
#[derive(Clone, Debug)]
pub struct Retry {
    /// Before the second attempt.
    pub first: Duration,
    /// Before any.
    pub longest: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { first: Duration::from_millis(500), longest: Duration::from_secs(30) }
    }
}

impl Retry {
    fn after(&self, attempts: i64) -> Duration {
        let delays = ExponentialBuilder::new().with_min_delay(self.first).with_max_delay(self.longest).with_jitter();
        let before = usize::try_from(attempts.saturating_sub(1)).unwrap_or_default().min(64);
        delays.without_max_times().build().nth(before).unwrap_or(self.longest)
    }
}

fn died(agent: Option<u32>, attempt: i64) -> Outcome {
    let agent = agent.map_or("its agent".to_owned(), |agent| format!("agent {agent}"));
    Outcome::failed(Cause::Agent, format!("{agent} died during attempt {attempt}"))
}

/// Whether a job that this run does not have is in another one: somebody has copied its message.
async fn is_of_another_run(book: &mut Book, job: Uuid) -> Result<bool, StoreError> {
    let select = sqlx::query("SELECT id FROM jobs WHERE id = $1").bind(job.to_string());
    Ok(select.fetch_optional(book.sql()).await?.is_some())
}

/// A job that somebody else has put on the queue. Its name says where it is in the run, whatever the message does; its place
/// is another one if that is taken.
async fn insert(book: &mut Book, run: RunId, job: &Job, allowed: i64) -> Result<Found, StoreError> {
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

async fn begin(
    book: &mut Book,
    run: RunId,
    job: Uuid,
    mut found: Found,
    by: Incarnation,
) -> Result<Attempt, StoreError> {
    found.attempts += 1;
    found.agent = Some(by.agent);
    let update = "UPDATE jobs SET status = 'Running', attempts = $2, agent = $3, incarnation = $4, started_at = \
                  COALESCE(started_at, $5) WHERE id = $1";
    sqlx::query(update)
        .bind(job.to_string())
        .bind(found.attempts)
        .bind(i64::from(by.agent))
        .bind(by.id.to_string())
        .bind(book.now)
        .execute(book.sql())
        .await?;
    let insert = "INSERT INTO attempts (job_id, attempt, agent, incarnation, status, started_at) VALUES ($1, $2, $3, $4, \
                  'Running', $5)";
    sqlx::query(insert)
        .bind(job.to_string())
        .bind(found.attempts)
        .bind(i64::from(by.agent))
        .bind(by.id.to_string())
        .bind(book.now)
        .execute(book.sql())
        .await?;
    tell_job(book, &job.to_string()).await?;
    Ok(found.last_attempt(run, job))
}

/// Closes the attempt that is open at a job, and decides whether the job and the run end with it.
async fn close_attempt(
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
        wait(book, &id).await?;
        let (live, due) = (live.clone(), Instant::now() + retry.after(found.attempts));
        book.afterwards(move || {
            live.not_before().insert(job, due);
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

/// Has a job delivered again.
async fn wait(book: &mut Book, id: &str) -> Result<(), StoreError> {
    let update = "UPDATE jobs SET status = 'Waiting', incarnation = NULL, progress = NULL WHERE id = $1";
    sqlx::query(update).bind(id).execute(book.sql()).await?;
    tell_job(book, id).await.map(drop)
}

/// Gives what an agent has to others: as a failed attempt if it died, for this reason, and as none if it handed its job back.
async fn release(
    book: &mut Book,
    run: RunId,
    by: Incarnation,
    death: Option<String>,
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
        if death.is_some() {
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
        wait(book, &id).await?;
        let live = live.clone();
        book.afterwards(move || live.wake.notify_one());
    }
    Ok(())
}

async fn note_agent(
    book: &mut Book,
    run: RunId,
    by: Incarnation,
    state: &str,
    message: Option<String>,
) -> Result<(), StoreError> {
    let insert = "INSERT INTO agents (run_id, agent, state, message, incarnation, starts, updated_at) VALUES ($1, $2, $3, \
                  $4, $5, 1, $6) ON CONFLICT (run_id, agent) DO UPDATE SET state = excluded.state, message = \
                  excluded.message, starts = agents.starts + CASE WHEN agents.incarnation = excluded.incarnation THEN 0 \
                  ELSE 1 END, incarnation = excluded.incarnation, updated_at = excluded.updated_at WHERE \
                  agents.incarnation = excluded.incarnation OR excluded.state IN ('Opening', 'Open')";
    sqlx::query(insert)
        .bind(run.to_string())
        .bind(i64::from(by.agent))
        .bind(state)
        .bind(message)
        .bind(by.id.to_string())
        .bind(book.now)
        .execute(book.sql())
        .await?;
    tell_agent(book, run, by.agent).await
}

async fn tell_agent(book: &mut Book, run: RunId, agent: u32) -> Result<(), StoreError> {
    let select =
        "SELECT run_id, agent, state, message, starts, updated_at FROM agents WHERE run_id = $1 AND agent = $2";
    let select = sqlx::query_as(select).bind(run.to_string()).bind(i64::from(agent));
    let view: AgentView = select.fetch_one(book.sql()).await?;
    book.tell(run.0, "agent", &view).map(drop)
}

/// Adds to what is known of an attempt, if it is still the one that is open.
async fn store_reports(
    book: &mut Book,
    attempt: Attempt,
    after: u64,
    reports: Vec<(u64, Report)>,
    artifacts: Vec<StoredArtifact>,
) -> Result<(), StoreError> {
    let found = find(book, attempt.run, attempt.job).await?;
    if !found.is_some_and(|found| found.is_open(attempt)) {
        return Ok(());
    }
    let (run, job) = (attempt.run.0, attempt.job.to_string());
    let select = sqlx::query("SELECT reports FROM attempts WHERE job_id = $1 AND attempt = $2");
    let row = select.bind(&job).bind(i64::from(attempt.number)).fetch_one(book.sql()).await?;
    let before = count(row.try_get("reports")?);
    let update = sqlx::query("UPDATE attempts SET reports = $3 WHERE job_id = $1 AND attempt = $2");
    let update = update.bind(&job).bind(i64::from(attempt.number)).bind(whole(before.max(after)));
    update.execute(book.sql()).await?;
    for artifact in artifacts {
        let insert = "INSERT INTO artifacts (job_id, name, attempt, media_type, size, created_at) VALUES ($1, $2, $3, $4, \
                      $5, $6) ON CONFLICT (job_id, name) DO UPDATE SET attempt = excluded.attempt, media_type = \
                      excluded.media_type, size = excluded.size, created_at = excluded.created_at";
        sqlx::query(insert)
            .bind(&job)
            .bind(&artifact.name)
            .bind(i64::from(attempt.number))
            .bind(clean(&artifact.media_type))
            .bind(whole(artifact.size))
            .bind(book.now)
            .execute(book.sql())
            .await?;
        let told = serde_json::json!({
            "run_uuid": run, "job_uuid": attempt.job, "name": artifact.name, "media_type": artifact.media_type,
            "size": artifact.size,
        });
        book.tell(run, "artifact", &told)?;
    }
    let mut rows = Vec::new();
    for (_, report) in reports.into_iter().filter(|(number, _)| *number >= before) {
        let (time, kind, level, content, attachment) = match report {
            Report::Event(event) => (event.time, "event", event_level(event.level), event.content, event.attachment),
            Report::Log(line) => (line.time, "log", log_level(line.level), line.text, None),
            Report::Progress(progress) => {
                let update = sqlx::query("UPDATE jobs SET progress = $2 WHERE id = $1").bind(&job);
                update.bind(clean(&serde_json::to_string(&progress)?)).execute(book.sql()).await?;
                tell_job(book, &job).await?;
                continue;
            }
            Report::Artifact(_) => continue,
        };
        let view = super::views::ReportView {
            event_uuid: Uuid::new_v4(),
            run_uuid: run,
            job_uuid: attempt.job,
            attempt: attempt.number.into(),
            kind: kind.to_owned(),
            event_status: level.to_owned(),
            event_content: clean(&content),
            attachment: attachment.map(|name| clean(&name)),
            event_datetime: time,
            cursor: 0,
        };
        rows.push(view);
    }
    insert_reports(book, rows).await.map(drop)
}

/// Stores events and lines of logs, and tells them.
pub(super) async fn insert_reports(
    book: &mut Book,
    mut rows: Vec<super::views::ReportView>,
) -> Result<Vec<super::views::ReportView>, StoreError> {
    for row in &mut rows {
        row.cursor = count(book.next_seq());
        // Who is told of it now and who reads it later see the same.
        row.event_datetime = moment(row.event_datetime.as_millisecond());
        book.tell_as(whole(row.cursor), row.run_uuid, "report", row)?;
    }
    let oldest = rows.iter().map(|row| row.event_datetime.as_millisecond()).min();
    if let Ok(lag) = u64::try_from(book.now - oldest.unwrap_or(book.now)) {
        let lag = Duration::from_millis(lag).as_secs_f64();
        book.afterwards(move || metrics::histogram!(EVENT_LAG).record(lag));
    }
    for rows in rows.chunks(ROWS) {
        let into = "reports (seq, id, run_id, job_id, attempt, kind, level, content, attachment, reported_at)";
        let mut insert = sqlx::query(insert_rows(into, 10, rows.len(), ""));
        for row in rows {
            insert = insert
                .bind(whole(row.cursor))
                .bind(row.event_uuid.to_string())
                .bind(row.run_uuid.to_string())
                .bind(row.job_uuid.to_string())
                .bind(whole(row.attempt))
                .bind(row.kind.clone())
                .bind(row.event_status.clone())
                .bind(row.event_content.clone())
                .bind(row.attachment.clone())
                .bind(row.event_datetime.as_millisecond());
        }
        insert.execute(book.sql()).await?;
    }
    Ok(rows)
}

fn event_level(level: EventLevel) -> &'static str {
    match level {
        EventLevel::Info => "info",
        EventLevel::Success => "success",
        EventLevel::Warning => "warning",
        EventLevel::Failure => "failure",
    }
}

fn log_level(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warning => "warning",
        LogLevel::Error => "error",
    }
}
