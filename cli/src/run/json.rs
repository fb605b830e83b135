//! A run for machines: JSON lines on standard output. Each says first what it is, by its `type`.

use std::io::{self, Write as _};
use std::time::Duration;

use armada_protocol::Change;
use serde_json::{Value, json};

use super::summary::{Summary, duration};
use super::{About, Show};

/// JSON lines on standard output.
pub(super) struct Json;

pub(crate) fn print(value: &Value) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{value}")
}

/// A duration in seconds, to the millisecond.
pub(crate) fn in_seconds(duration: Duration) -> Value {
    ((duration.as_secs_f64() * 1e3).round() / 1e3).into()
}

/// An object, and after its members those of another.
pub(crate) fn with(mut first: Value, second: Value) -> Value {
    if let (Some(first), Value::Object(second)) = (first.as_object_mut(), second) {
        first.extend(second);
    }
    first
}

fn told(change: &Change) -> Option<Value> {
    Some(match change {
        Change::Agent { index, state } => {
            with(json!({"type": "agent", "agent": index}), serde_json::to_value(state).unwrap_or_default())
        }
        Change::Started(attempt) => json!({"type": "started", "attempt": attempt}),
        Change::Event(attempt, event) => json!({"type": "event", "attempt": attempt, "event": event}),
        Change::Log(attempt, line) => json!({"type": "log", "attempt": attempt, "line": line}),
        Change::Progress(attempt, progress) => json!({"type": "progress", "attempt": attempt, "progress": progress}),
        Change::Retried(attempt, outcome) => json!({"type": "retried", "attempt": attempt, "outcome": outcome}),
        Change::Ended(record) => {
            json!({"type": "ended", "seconds": duration(record).map(in_seconds), "job": record})
        }
        _ => return None,
    })
}

impl Show for Json {
    fn begin(&mut self, about: &About) -> io::Result<()> {
        print(&json!({
            "type": "run", "run_id": about.run, "project": about.project, "jobs": about.jobs, "agents": about.agents,
        }))
    }

    fn change(&mut self, change: &Change, _summary: &Summary) -> io::Result<()> {
        told(change).map_or(Ok(()), |told| print(&told))
    }

    fn ending(&mut self, reason: &str) -> io::Result<()> {
        print(&json!({"type": "ending", "reason": reason}))
    }

    fn end(&mut self, summary: &Summary, about: &About) -> io::Result<()> {
        let about = json!({"type": "summary", "run_id": about.run, "results": about.results});
        print(&with(about, summary.to_json()))
    }
}

#[cfg(test)]
mod tests {
    use armada_protocol::AgentState;

    use super::*;

    #[test]
    fn what_an_agent_does_is_said_once_and_its_type_first() {
        let told = |state| told(&Change::Agent { index: 1, state }).unwrap().to_string();
        assert_eq!(told(AgentState::Open), r#"{"type":"agent","agent":1,"state":"open"}"#);
        let failed = told(AgentState::Failed { message: "no browser".to_owned() });
        assert_eq!(failed, r#"{"type":"agent","agent":1,"state":"failed","message":"no browser"}"#);
    }

    #[test]
    fn durations_are_rounded_to_milliseconds() {
        assert_eq!(in_seconds(Duration::from_micros(1_234_567)).to_string(), "1.235");
    }
}
