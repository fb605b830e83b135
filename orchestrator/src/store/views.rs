//! What the store shows of what happened: the same JSON in the API's answers and in the stream of changes.
//!
//! Names follow the system that Armada succeeds where it has the thing (`run_uuid`, `job_status`, `event_content`, …),
//! so that what reads its API can read this one. Moments are RFC 3339 in UTC, to the millisecond.

use armada_protocol::timestamp;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sqlx::any::AnyRow;
use sqlx::{FromRow, Row as _};
use utoipa::ToSchema;
use uuid::Uuid;

/// Where a run is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub enum RunStatus {
    /// It was accepted, and its component is being prepared.
    Pending,
    /// Its jobs are being put on the queue, and its agents begin.
    Dispatching,
    /// All its jobs are known.
    Running,
    /// Every job has ended, and its agents end.
    Draining,
    /// Every job succeeded.
    Succeeded,
    /// A job failed, or the run could not go on.
    Failed,
    /// It was cancelled.
    Cancelled,
}

impl RunStatus {
    /// Its word, as it is stored and shown.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Dispatching => "Dispatching",
            Self::Running => "Running",
            Self::Draining => "Draining",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Cancelled => "Cancelled",
        }
    }

    /// Whether the run is over.
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// Whether a run may go from here to there.
    pub fn may_become(self, next: Self) -> bool {
        use RunStatus::*;
        match (self, next) {
            (Pending, Dispatching) | (Dispatching, Running | Draining) | (Running, Draining) => true,
            (Draining, Succeeded | Failed | Cancelled) => true,
            // Whatever happens, a run may end; and one that has ended may have its failed jobs made again.
            (Pending | Dispatching | Running, Failed | Cancelled) => true,
            (Succeeded | Failed | Cancelled, Dispatching) => true,
            _ => false,
        }
    }
}

/// Where a job is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub enum JobStatus {
    /// It is to be put on the queue: now, or after a pause before another attempt.
    Waiting,
    /// It is on the queue.
    Queued,
    /// An agent makes an attempt.
    Running,
    /// It succeeded.
    Success,
    /// It failed.
    Failed,
    /// Its run was cancelled before it ended.
    Cancelled,
}

impl JobStatus {
    /// Its word, as it is stored and shown.
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "Waiting",
            Self::Queued => "Queued",
            Self::Running => "Running",
            Self::Success => "Success",
            Self::Failed => "Failed",
            Self::Cancelled => "Cancelled",
        }
    }

    /// Whether the job is over.
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Success | Self::Failed | Self::Cancelled)
    }
}

/// A run.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RunView {
    /// Names the run.
    pub run_uuid: Uuid,
    /// When it was accepted.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "timestamp::serialize")]
    pub run_datetime: Timestamp,
    /// The project's name.
    pub project: String,
    /// Where it is in its life.
    pub status: RunStatus,
    /// Why it failed, where that is not its jobs' doing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether no new attempts are begun.
    pub paused: bool,
    /// The component's digest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component_digest: Option<String>,
    /// The run whose inputs this one was launched with again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay_of: Option<Uuid>,
    /// How many agents it has.
    pub agents: u64,
    /// How many jobs are known.
    pub jobs: u64,
    /// How many of them succeeded.
    pub jobs_succeeded: u64,
    /// How many of them failed.
    pub jobs_failed: u64,
    /// How many of them were cancelled.
    pub jobs_cancelled: u64,
    /// When its first agent was to begin.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(serialize_with = "timestamp::serialize_option")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(serialize_with = "timestamp::serialize_option")]
    pub finished_at: Option<Timestamp>,
    /// Its place in lists: see `after` and `before`.
    pub cursor: u64,
}

/// An agent of a run.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AgentView {
    /// The run.
    pub run_uuid: Uuid,
    /// The agent's number, from 0.
    pub agent: u64,
    /// `Opening`, `Open`, `Closed`, `Failed` or `Lost`.
    pub state: String,
    /// Why it could not go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// How often it was started.
    pub starts: u64,
    /// When this was so.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "timestamp::serialize")]
    pub updated_at: Timestamp,
}

/// A job.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct JobView {
    /// Names the job.
    pub job_uuid: Uuid,
    /// Its run.
    pub run_uuid: Uuid,
    /// When it became known.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "timestamp::serialize")]
    pub job_datetime: Timestamp,
    /// The agent that makes its attempt, or made the last one.
    pub job_associated_agent: Option<u64>,
    /// Where it is in its life.
    pub job_status: JobStatus,
    /// Its place in the run, from 0.
    pub index: u64,
    /// How many attempts were begun.
    pub attempts: u64,
    /// What the script returned.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub result: Option<Box<RawValue>>,
    /// Why it failed: `{cause, message, traceback}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub error: Option<Box<RawValue>>,
    /// How far it has come: `{done, total, message}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub progress: Option<Box<RawValue>>,
    /// When its first attempt began.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(serialize_with = "timestamp::serialize_option")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(serialize_with = "timestamp::serialize_option")]
    pub finished_at: Option<Timestamp>,
    /// Its place in lists: see `after` and `before`.
    pub cursor: u64,
}

/// An event of a job, or a line of its log.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ReportView {
    /// Names it.
    pub event_uuid: Uuid,
    /// The run.
    pub run_uuid: Uuid,
    /// The job.
    pub job_uuid: Uuid,
    /// The attempt that reported it, from 1.
    pub attempt: u64,
    /// `event` or `log`.
    pub kind: String,
    /// `info`, `success`, `warning` or `failure`; of a line of the log `debug`, `info`, `warning` or `error`.
    pub event_status: String,
    /// What happened.
    pub event_content: String,
    /// The artifact that was reported with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attachment: Option<String>,
    /// When it was reported.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "timestamp::serialize")]
    pub event_datetime: Timestamp,
    /// Its place in lists: see `after` and `before`.
    pub cursor: u64,
}

/// An attempt at a job.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AttemptView {
    /// The job.
    pub job_uuid: Uuid,
    /// Which attempt it is, from 1.
    pub attempt: u64,
    /// The agent that made it.
    pub agent: u64,
    /// `Running`, `Success`, `Failed` or `Cancelled`.
    pub status: JobStatus,
    /// Why it failed: `{cause, message, traceback}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub error: Option<Box<RawValue>>,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "timestamp::serialize")]
    pub started_at: Timestamp,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(serialize_with = "timestamp::serialize_option")]
    pub finished_at: Option<Timestamp>,
}

/// A file that a job kept.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ArtifactView {
    /// The job.
    pub job_uuid: Uuid,
    /// Its name.
    pub name: String,
    /// The attempt that kept it, from 1.
    pub attempt: u64,
    /// What the job says that it is.
    pub media_type: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was kept.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "timestamp::serialize")]
    pub created_at: Timestamp,
}

/// The columns of [`JobView`], in the order that does not matter.
pub(crate) const JOB_COLUMNS: &str = "id, run_id, place, seq, status, attempts, agent, result, error, progress, created_at, \
                                      started_at, finished_at";
/// The columns of [`RunView`].
pub(crate) const RUN_COLUMNS: &str = "id, seq, project, status, reason, paused, replay_of, component, agents, jobs, \
                                      jobs_succeeded, jobs_failed, jobs_cancelled, created_at, started_at, finished_at";
/// The columns of [`AgentView`].
pub(crate) const AGENT_COLUMNS: &str = "run_id, agent, state, message, starts, updated_at";
/// The columns of [`ReportView`].
pub(crate) const REPORT_COLUMNS: &str =
    "seq, id, run_id, job_id, attempt, kind, level, content, attachment, reported_at";
/// The columns of [`AttemptView`].
pub(crate) const ATTEMPT_COLUMNS: &str = "job_id, attempt, agent, status, error, started_at, finished_at";
/// The columns of [`ArtifactView`].
pub(crate) const ARTIFACT_COLUMNS: &str = "job_id, name, attempt, media_type, size, created_at";

impl FromRow<'_, AnyRow> for JobView {
    fn from_row(row: &AnyRow) -> sqlx::Result<Self> {
        Ok(Self {
            job_uuid: parsed(row, "id")?,
            run_uuid: parsed(row, "run_id")?,
            job_datetime: moment(row.try_get("created_at")?),
            job_associated_agent: row.try_get::<Option<i64>, _>("agent")?.map(count),
            job_status: word(row, "status")?,
            index: count(row.try_get("place")?),
            attempts: count(row.try_get("attempts")?),
            result: raw(row, "result")?,
            error: raw(row, "error")?,
            progress: raw(row, "progress")?,
            started_at: row.try_get::<Option<i64>, _>("started_at")?.map(moment),
            finished_at: row.try_get::<Option<i64>, _>("finished_at")?.map(moment),
            cursor: count(row.try_get("seq")?),
        })
    }
}

impl FromRow<'_, AnyRow> for RunView {
    fn from_row(row: &AnyRow) -> sqlx::Result<Self> {
        let replay_of: Option<String> = row.try_get("replay_of")?;
        Ok(Self {
            run_uuid: parsed(row, "id")?,
            run_datetime: moment(row.try_get("created_at")?),
            project: row.try_get("project")?,
            status: word(row, "status")?,
            reason: row.try_get("reason")?,
            paused: row.try_get::<i64, _>("paused")? != 0,
            component_digest: row.try_get("component")?,
            replay_of: replay_of.and_then(|id| id.parse().ok()),
            agents: count(row.try_get("agents")?),
            jobs: count(row.try_get("jobs")?),
            jobs_succeeded: count(row.try_get("jobs_succeeded")?),
            jobs_failed: count(row.try_get("jobs_failed")?),
            jobs_cancelled: count(row.try_get("jobs_cancelled")?),
            started_at: row.try_get::<Option<i64>, _>("started_at")?.map(moment),
            finished_at: row.try_get::<Option<i64>, _>("finished_at")?.map(moment),
            cursor: count(row.try_get("seq")?),
        })
    }
}

impl FromRow<'_, AnyRow> for AgentView {
    fn from_row(row: &AnyRow) -> sqlx::Result<Self> {
        Ok(Self {
            run_uuid: parsed(row, "run_id")?,
            agent: count(row.try_get("agent")?),
            state: row.try_get("state")?,
            message: row.try_get("message")?,
            starts: count(row.try_get("starts")?),
            updated_at: moment(row.try_get("updated_at")?),
        })
    }
}

impl FromRow<'_, AnyRow> for ReportView {
    fn from_row(row: &AnyRow) -> sqlx::Result<Self> {
        Ok(Self {
            event_uuid: parsed(row, "id")?,
            job_uuid: parsed(row, "job_id")?,
            run_uuid: parsed(row, "run_id")?,
            event_datetime: moment(row.try_get("reported_at")?),
            kind: row.try_get("kind")?,
            event_status: row.try_get("level")?,
            event_content: row.try_get("content")?,
            attempt: count(row.try_get("attempt")?),
            attachment: row.try_get("attachment")?,
            cursor: count(row.try_get("seq")?),
        })
    }
}

impl FromRow<'_, AnyRow> for AttemptView {
    fn from_row(row: &AnyRow) -> sqlx::Result<Self> {
        Ok(Self {
            job_uuid: parsed(row, "job_id")?,
            attempt: count(row.try_get("attempt")?),
            agent: count(row.try_get("agent")?),
            status: word(row, "status")?,
            error: raw(row, "error")?,
            started_at: moment(row.try_get("started_at")?),
            finished_at: row.try_get::<Option<i64>, _>("finished_at")?.map(moment),
        })
    }
}

impl FromRow<'_, AnyRow> for ArtifactView {
    fn from_row(row: &AnyRow) -> sqlx::Result<Self> {
        Ok(Self {
            job_uuid: parsed(row, "job_id")?,
            name: row.try_get("name")?,
            attempt: count(row.try_get("attempt")?),
            media_type: row.try_get("media_type")?,
            size: count(row.try_get("size")?),
            created_at: moment(row.try_get("created_at")?),
        })
    }
}

/// A moment as it is stored.
pub(crate) fn moment(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// A number that is never negative, as it is stored.
pub(crate) fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

pub(crate) fn parsed(row: &AnyRow, column: &'static str) -> sqlx::Result<Uuid> {
    let text: String = row.try_get(column)?;
    text.parse().map_err(|error| sqlx::Error::ColumnDecode { index: column.to_owned(), source: Box::new(error) })
}

/// A word of an enum.
pub(crate) fn word<T: for<'de> Deserialize<'de>>(row: &AnyRow, column: &'static str) -> sqlx::Result<T> {
    let text: String = row.try_get(column)?;
    serde_json::from_value(text.into())
        .map_err(|error| sqlx::Error::ColumnDecode { index: column.to_owned(), source: Box::new(error) })
}

/// JSON that is passed on as it was written.
pub(crate) fn raw(row: &AnyRow, column: &'static str) -> sqlx::Result<Option<Box<RawValue>>> {
    let text: Option<String> = row.try_get(column)?;
    text.map(RawValue::from_string)
        .transpose()
        .map_err(|error| sqlx::Error::ColumnDecode { index: column.to_owned(), source: Box::new(error) })
}
