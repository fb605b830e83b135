//! What an agent reports while it makes an attempt.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One thing reported.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "report", rename_all = "snake_case")]
pub enum Report {
    /// A step of the job.
    Event(Event),
    /// A line of the job's log.
    Log(LogLine),
    /// How far the job has come.
    Progress(Progress),
    /// A file that belongs to the job.
    Artifact(Artifact),
}

/// A step of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When it was reported.
    #[serde(serialize_with = "crate::timestamp::serialize")]
    pub time: Timestamp,
    /// How the step went.
    pub level: EventLevel,
    /// What happened.
    pub content: String,
    /// The name of the artifact that was reported with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attachment: Option<String>,
}

/// How a step went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventLevel {
    /// Worth showing.
    Info,
    /// It succeeded.
    Success,
    /// Something is off.
    Warning,
    /// It failed.
    Failure,
}

/// A line of a job's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When it was written.
    #[serde(serialize_with = "crate::timestamp::serialize")]
    pub time: Timestamp,
    /// How important it is.
    pub level: LogLevel,
    /// The line, without its end.
    pub text: String,
}

/// How important a line of a log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// For whoever looks for a mistake.
    Debug,
    /// What was printed.
    Info,
    /// What was printed as an error.
    Warning,
    /// Something went wrong.
    Error,
}

/// How far a job has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Units done.
    pub done: u64,
    /// Units in all, where known.
    pub total: Option<u64>,
    /// What is being worked on.
    pub message: String,
}

/// A file that belongs to a job. Its name is one path component of at most 200 bytes: [`Artifact::is_allowed_name`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Its name.
    pub name: String,
    /// Its media type.
    pub media_type: String,
    /// Its content, which travels beside the JSON.
    #[serde(skip)]
    pub bytes: Vec<u8>,
}

impl Artifact {
    /// Whether a file may have this name: one path component of 1 to 200 bytes, that no shell takes for an option or
    /// hides, and that shows all its characters in their order.
    pub fn is_allowed_name(name: &str) -> bool {
        let invisible = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
        let forbidden = |c: char| matches!(c, '/' | '\\') || c.is_control() || invisible(c);
        let awkward = |c: char| matches!(c, '.' | '-') || c.is_whitespace();
        (1..=200).contains(&name.len())
            && !name.starts_with(awkward)
            && !name.ends_with(char::is_whitespace)
            && !name.contains(forbidden)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_artifact_cannot_leave_its_folder() {
        for name in [
            "",
            ".",
            "..",
            "a/b",
            "/etc/passwd",
            "..\\x",
            "a\0b",
            "line\nbreak",
            "-rf",
            ".bashrc",
            " ",
            "a ",
            "a\u{202e}gnp.exe",
            &"x".repeat(201),
        ] {
            assert!(!Artifact::is_allowed_name(name), "{name:?}");
        }
        for name in ["page.png", "Überblick 1.pdf", &"x".repeat(200)] {
            assert!(Artifact::is_allowed_name(name), "{name:?}");
        }
    }
}
