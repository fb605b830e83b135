//! Every message that crosses a link, as it is written: a change of format is seen in review.

use std::fmt::Debug;

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::frame::{Answer, Ask, Reply, Request};
use super::tests::{RUN, inventory, record};
use crate::inventory::{Database, Secret, VerifyIp};
use crate::report::{Artifact, Event, EventLevel, LogLevel, LogLine, Progress};
use crate::{
    AgentState, Attempt, Cause, Delivery, Hidden, Job, JobError, Lent, Next, Outcome, Report, Start, Stop, Wanted,
};

const JOB: Uuid = Uuid::from_u128(2);
const ATTEMPT: Attempt = Attempt { run: RUN, job: JOB, index: 7, number: 1, agent: 3 };

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).unwrap()
}

/// One message a line, each of which reads back as what it was.
fn lines<T: Serialize + DeserializeOwned + Debug>(messages: impl IntoIterator<Item = T>) -> String {
    let mut lines = String::new();
    for message in messages {
        let line = serde_json::to_string(&message).unwrap();
        let read: T = serde_json::from_str(&line).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), line);
        lines.push_str(&line);
        lines.push('\n');
    }
    lines
}

#[test]
fn requests_are_written_as_before() {
    let reports = vec![
        Report::Event(Event {
            time: Timestamp::UNIX_EPOCH,
            level: EventLevel::Success,
            content: "seen".to_owned(),
            attachment: Some("page.png".to_owned()),
        }),
        Report::Log(LogLine { time: Timestamp::UNIX_EPOCH, level: LogLevel::Warning, text: "odd".to_owned() }),
        Report::Progress(Progress { done: 1, total: Some(2), message: "pages".to_owned() }),
        Report::Artifact(Artifact {
            name: "page.png".to_owned(),
            media_type: "image/png".to_owned(),
            bytes: vec![0; 3],
        }),
    ];
    let error = JobError {
        cause: Cause::CpuTime,
        message: "out of CPU time".to_owned(),
        traceback: vec!["ctx_script.rs:3".to_owned()],
    };
    let asks = [
        Ask::Component { digest: record().component.digest },
        Ask::Compiled { digest: record().component.digest, engine: "5e0f".to_owned() },
        Ask::AgentRecord,
        Ask::AgentState { state: AgentState::Opening },
        Ask::AgentState { state: AgentState::Open },
        Ask::AgentState { state: AgentState::Closed },
        Ask::AgentState { state: AgentState::Failed { message: "no browser".to_owned() } },
        Ask::AgentState { state: AgentState::Died { message: "killed".to_owned() } },
        Ask::NextJob,
        Ask::Acknowledge { tag: 5 },
        Ask::Requeue { tag: 5 },
        Ask::Start { job: Job { uuid: JOB, index: 7, message: raw(r#"{"page": "1"}"#) } },
        Ask::Alive,
        Ask::Report { attempt: ATTEMPT, first: 4, reports, sizes: vec![3] },
        Ask::Finish { attempt: ATTEMPT, outcome: Outcome::Success { result: raw(r#"{"exact": 1.10}"#) } },
        Ask::Finish { attempt: ATTEMPT, outcome: Outcome::Failed { error } },
        Ask::Finish { attempt: ATTEMPT, outcome: Outcome::Cancelled },
        Ask::Stopped,
        Ask::Lent,
        Ask::Lease {
            wanted: Wanted {
                location: "DE".to_owned(),
                tags: vec!["residential".to_owned()],
                sticky: Some("agent 3".to_owned()),
            },
        },
        Ask::GiveBack { has_failed: true },
    ];
    insta::assert_snapshot!("requests", lines(asks.map(|ask| Request { id: 1, ask })));
}

fn lent() -> Lent {
    let database = Database { url: Hidden("sqlite:orders".to_owned()), writable: true, connections_per_agent: 2 };
    let secret = Secret { value: Hidden("correct horse".to_owned()), origins: vec!["https://shop.example".to_owned()] };
    Lent {
        databases: [("orders".to_owned(), database)].into(),
        secrets: [("password".to_owned(), secret)].into(),
        verify_ip: Some(VerifyIp { url: "https://ip.example/".to_owned().try_into().unwrap() }),
        ..Lent::default()
    }
}

#[test]
fn replies_are_written_as_before() {
    let job = Job { uuid: JOB, index: 7, message: raw(r#"{"page": "1", "big": 12345678901234567890}"#) };
    let answers = [
        Answer::Done,
        Answer::Component,
        Answer::Compiled,
        Answer::AgentRecord { record: Box::new(record()) },
        Answer::Job { delivery: Some(Delivery { tag: 5, job }) },
        Answer::Job { delivery: None },
        Answer::Start { start: Start::Attempt(ATTEMPT) },
        Answer::Start { start: Start::Ended },
        Answer::Start { start: Start::Elsewhere },
        Answer::Start { start: Start::Paused { ask_again_ms: 500 } },
        Answer::Next { next: Next::Ended },
        Answer::Next { next: Next::Again },
        Answer::Next { next: Next::Later },
        Answer::Stop { stop: Stop::Drained },
        Answer::Stop { stop: Stop::Cancelled },
        Answer::Lent { lent: Box::new(lent()) },
        Answer::Upstream { upstream: Box::new(inventory().upstreams.remove(0)) },
        Answer::NotFound { what: "component".to_owned() },
        Answer::Unavailable { message: "the store is away".to_owned() },
        Answer::Failed { message: "the disk is full".to_owned() },
    ];
    insta::assert_snapshot!("replies", lines(answers.map(|answer| Reply { id: 1, answer })));
}
