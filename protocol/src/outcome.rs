//! How an attempt at a job ended.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::report::{Event, LogLine};

/// How an attempt ended. The last attempt's outcome is the job's.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The script returned a result.
    Success {
        /// The text of a JSON value.
        result: Box<RawValue>,
    },
    /// The attempt failed.
    Failed {
        /// Why.
        error: JobError,
    },
    /// The run was cancelled while the attempt was being made.
    Cancelled,
}

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobError {
    /// What kind of failure it was.
    pub cause: Cause,
    /// What happened, for people; the first line is what failures are grouped by.
    pub message: String,
    /// Where in the author's source, innermost place first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub traceback: Vec<String>,
}

/// What kind of failure ended an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The script returned a failure.
    Failed,
    /// The script returned a failure and asked for another attempt.
    Retry,
    /// The script returned a failure and gave up the agent.
    Fatal,
    /// The component trapped: a panic, or an error that its language does not catch.
    Trap,
    /// The component asked for more memory than it was granted.
    Memory,
    /// The component used up its stack.
    Stack,
    /// The component computed for longer than it was granted.
    CpuTime,
    /// The job took longer than it was granted.
    WallTime,
    /// The script's result was no JSON.
    Result,
    /// The script passed the host more at once than it was granted: as its result, or to a function.
    TooLarge,
    /// The browser died.
    Browser,
    /// The agent died.
    Agent,
    /// No agent could be opened to take the job.
    NoAgent,
}

impl Cause {
    /// Whether the job gets another attempt, up to the run's limit: when the script asked for it, or when what died was
    /// not the script.
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::Retry | Self::Fatal | Self::Browser | Self::Agent)
    }

    /// The cause, in words that follow "job".
    pub fn describe(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Retry => "failed, retries exhausted",
            Self::Fatal => "fatal for the agent",
            Self::Trap => "trapped",
            Self::Memory => "out of memory",
            Self::Stack => "stack overflow",
            Self::CpuTime => "out of CPU time",
            Self::WallTime => "out of time",
            Self::Result => "unusable result",
            Self::TooLarge => "passed too much at once",
            Self::Browser => "lost its browser",
            Self::Agent => "lost its agent",
            Self::NoAgent => "without an agent",
        }
    }
}

impl Outcome {
    /// A failure.
    pub fn failed(cause: Cause, message: impl Into<String>) -> Self {
        Self::Failed { error: JobError { cause, message: message.into(), traceback: Vec::new() } }
    }

    /// Whether the job gets another attempt, up to the run's limit.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Failed { error } if error.cause.is_retryable())
    }
}

/// How a job ended, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Status {
    /// The script returned a result.
    Success,
    /// The last attempt failed.
    Failed,
    /// The run was cancelled.
    Cancelled,
}

impl Outcome {
    /// The outcome in parts, as records have it.
    pub fn into_parts(self) -> (Status, Option<Box<RawValue>>, Option<JobError>) {
        match self {
            Self::Success { result } => (Status::Success, Some(result), None),
            Self::Failed { error } => (Status::Failed, None, Some(error)),
            Self::Cancelled => (Status::Cancelled, None, None),
        }
    }
}

/// A job that has ended: what is known of it in the end. One line of `results.jsonl`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JobRecord {
    /// The job's place in the run, from 0.
    pub index: u64,
    /// Names the job.
    pub uuid: Uuid,
    /// How it ended.
    pub status: Status,
    /// The script's result, when it succeeded: the text of a JSON value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Box<RawValue>>,
    /// Why it failed, when it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<JobError>,
    /// How many attempts were made.
    pub attempts: u32,
    /// The agent that made the last attempt; none when no agent took the job.
    pub agent: Option<u32>,
    /// When the first attempt began; none when no agent took the job.
    #[serde(serialize_with = "crate::timestamp::serialize_option")]
    pub started: Option<Timestamp>,
    /// When the job ended.
    #[serde(serialize_with = "crate::timestamp::serialize")]
    pub finished: Timestamp,
    /// The steps that it reported, in all attempts.
    pub events: Vec<Attempted<Event>>,
    /// The lines that it logged, in all attempts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<Attempted<LogLine>>,
    /// The files that it kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<StoredArtifact>,
}

/// Something reported, with the attempt that reported it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempted<T> {
    /// The attempt, from 1.
    pub attempt: u32,
    /// What was reported.
    #[serde(flatten)]
    pub report: T,
}

/// A file that a job kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredArtifact {
    /// Its name.
    pub name: String,
    /// Its media type.
    pub media_type: String,
    /// Its size in bytes.
    pub size: u64,
    /// Where it is kept.
    pub path: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{EventLevel, LogLevel};

    #[test]
    fn a_record_is_written_as_before() {
        let record = JobRecord {
            index: 7,
            uuid: Uuid::from_u128(2),
            status: Status::Failed,
            result: None,
            error: Some(JobError {
                cause: Cause::NoAgent,
                message: "no agent".to_owned(),
                traceback: vec!["ctx_script.rs:3".to_owned()],
            }),
            attempts: 2,
            agent: None,
            started: None,
            finished: Timestamp::UNIX_EPOCH,
            events: vec![Attempted {
                attempt: 1,
                report: Event {
                    time: Timestamp::UNIX_EPOCH,
                    level: EventLevel::Info,
                    content: "seen".to_owned(),
                    attachment: None,
                },
            }],
            log: vec![Attempted {
                attempt: 2,
                report: LogLine { time: Timestamp::UNIX_EPOCH, level: LogLevel::Debug, text: "odd".to_owned() },
            }],
            artifacts: vec![StoredArtifact {
                name: "page.png".to_owned(),
                media_type: "image/png".to_owned(),
                size: 3,
                path: "artifacts/job-7/page.png".to_owned(),
            }],
        };
        let done = JobRecord {
            status: Status::Success,
            result: Some(RawValue::from_string("1.10".to_owned()).unwrap()),
            error: None,
            agent: Some(3),
            started: Some(Timestamp::UNIX_EPOCH),
            events: Vec::new(),
            log: Vec::new(),
            artifacts: Vec::new(),
            ..record.clone()
        };
        let lines = [record, done].map(|record| serde_json::to_string(&record).unwrap()).join("\n");
        insta::assert_snapshot!("records", lines);
    }

    #[test]
    fn every_cause_is_written_as_before() {
        use Cause::*;
        let causes =
            [Failed, Retry, Fatal, Trap, Memory, Stack, CpuTime, WallTime, Result, TooLarge, Browser, Agent, NoAgent];
        insta::assert_snapshot!("causes", serde_json::to_string(&causes).unwrap());
    }
}
