//! Jobs as messages of Celery's protocol, version 2: a program in Python can feed agents, and a Celery worker can take
//! what the orchestrator publishes. <https://docs.celeryq.dev/en/stable/internals/protocol.html>
//!
//! What cannot be a job is no error of whoever takes it from the queue: [`decode`] says in words why, for those who
//! look at the queue of dead jobs.

use armada_project::Digest;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldArray, FieldTable, LongString, ShortString};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{Job, ProtocolError, RunId};

/// The task that a message is for: what agents of the predecessor register.
const TASK: &str = "tasks.consume_message";
/// The header with a job's place in its run, for those who look at a queue. The job's name says the same to agents.
const INDEX: &str = "armada_index";
/// The header that says why a message is on the queue of dead jobs.
const REASON: &str = "armada_reason";
/// How many bytes of a reason are kept.
const MAX_REASON: usize = 500;
/// How many bytes of headers go along to the queue of dead jobs: all headers of a message travel in one frame of 128
/// KiB.
const MAX_HEADERS: usize = 32 << 10;

/// How many bytes a message may have.
pub(super) const MAX_BYTES: usize = 16 << 20;

/// What a message is.
#[derive(Debug)]
pub(super) enum Decoded {
    Job(Job),
    /// A job that its producer did not want to be done so late.
    Expired,
    /// No job, for this reason.
    Unusable(String),
}

/// A job as a message.
pub(super) fn encode(run: RunId, job: &Job) -> Result<(Vec<u8>, BasicProperties), ProtocolError> {
    let message = job.message.get();
    let body = format!(r#"[[{message}],{{}},{{"callbacks":null,"errbacks":null,"chain":null,"chord":null}}]"#);
    if body.len() > MAX_BYTES {
        let (index, limit) = (job.index, MAX_BYTES >> 20);
        return Err(ProtocolError::Invalid(format!(
            "job {index} of run {run} has {} bytes of configuration, and {limit} MiB are allowed: give it a reference to \
             what is large instead",
            message.len()
        )));
    }
    let text = |text: &str| AMQPValue::LongString(LongString::from(text));
    let id = job.uuid.to_string();
    let mut headers = FieldTable::default();
    for (name, value) in [
        ("lang", text("py")),
        ("task", text(TASK)),
        ("id", text(&id)),
        ("root_id", text(&id)),
        ("parent_id", AMQPValue::Void),
        ("group", AMQPValue::Void),
        ("retries", AMQPValue::LongInt(0)),
        ("eta", AMQPValue::Void),
        ("expires", AMQPValue::Void),
        ("timelimit", AMQPValue::FieldArray(FieldArray::from(vec![AMQPValue::Void, AMQPValue::Void]))),
        ("origin", text("armada")),
        ("ignore_result", AMQPValue::Boolean(true)),
        (INDEX, AMQPValue::LongLongInt(job.index.cast_signed())),
    ] {
        headers.insert(name.into(), value);
    }
    let properties = properties().with_priority(0).with_correlation_id(id.into()).with_headers(headers);
    Ok((body.into_bytes(), properties))
}

/// What every message has: it is JSON, and outlives a restart of the broker.
fn properties() -> BasicProperties {
    BasicProperties::default()
        .with_content_type("application/json".into())
        .with_content_encoding("utf-8".into())
        .with_delivery_mode(2)
}

/// The properties that a message has on the queue of dead jobs.
pub(super) fn dead(properties: &BasicProperties, reason: &str) -> BasicProperties {
    let mut headers = properties.headers().clone().unwrap_or_default().inner().clone();
    // A broker delivers to the queues that these name, too: perhaps back to where the message came from.
    for name in ["CC", "BCC"] {
        headers.remove(name);
    }
    if serde_json::to_vec(&headers).map_or(usize::MAX, |text| text.len()) > MAX_HEADERS {
        headers.clear();
    }
    let reason = reason.get(..reason.floor_char_boundary(MAX_REASON)).unwrap_or_default();
    headers.insert(REASON.into(), AMQPValue::LongString(reason.into()));
    let mut dead = BasicProperties::default().with_delivery_mode(2).with_headers(headers.into());
    if let Some(media_type) = properties.content_type() {
        dead = dead.with_content_type(media_type.clone());
    }
    if let Some(encoding) = properties.content_encoding() {
        dead = dead.with_content_encoding(encoding.clone());
    }
    if let Some(id) = properties.correlation_id() {
        dead = dead.with_correlation_id(id.clone());
    }
    dead
}

/// What a message is, when it is looked at now.
pub(super) fn decode(run: RunId, properties: &BasicProperties, body: &[u8], now: Timestamp) -> Decoded {
    match read(run, properties, body, now) {
        Ok(Some(job)) => Decoded::Job(job),
        Ok(None) => Decoded::Expired,
        Err(reason) => Decoded::Unusable(reason),
    }
}

/// The second part of a body is for keyword arguments, the third for what Celery does when the task has ended.
#[derive(Deserialize)]
struct Body(Vec<Box<RawValue>>, Map<String, Value>, Map<String, Value>);

fn read(run: RunId, properties: &BasicProperties, body: &[u8], now: Timestamp) -> Result<Option<Job>, String> {
    if body.len() > MAX_BYTES {
        return Err(format!("the message has {} bytes; {} MiB are allowed", body.len(), MAX_BYTES >> 20));
    }
    let headers =
        Headers(properties.headers().as_ref().ok_or("the message has no headers, as Celery's protocol 2 has them")?);
    match headers.text("task")? {
        Some(task) if task == TASK => {}
        Some(task) => return Err(format!("the message is for the task `{task}`, and agents have `{TASK}` only")),
        None => return Err("the message has no header `task`, as Celery's protocol 2 has it".to_owned()),
    }
    let media_type = properties.content_type().as_ref().map(ShortString::as_str);
    if media_type != Some("application/json") {
        return Err(format!("the message is {}: have it sent as JSON", media_type.unwrap_or("of no content type")));
    }
    if let Some(compression) = headers.text("compression")? {
        return Err(format!("the message is compressed ({compression}): have it sent without"));
    }
    let id = headers.text("id")?.ok_or("the message has no header `id`, as Celery's protocol 2 has it")?;
    if headers.moment("expires")?.is_some_and(|expires| expires <= now) {
        return Ok(None);
    }
    if let Some(eta) = headers.moment("eta")?
        && eta > now
    {
        return Err(format!("the message is to wait until {eta}, which agents cannot do: send it when it is due"));
    }
    let Body(arguments, keywords, after) = serde_json::from_slice(body)
        .map_err(|error| format!("the body is not `[[job_message], {{}}, {{…}}]` as JSON: {error}"))?;
    let message = <[_; 1]>::try_from(arguments)
        .map_err(|given| format!("the task takes one argument, the job message, and not {}", given.len()));
    let [message] = message?;
    if !message.get().starts_with('{') {
        return Err("the job message is not a JSON object".to_owned());
    }
    if let Some(name) = keywords.keys().next() {
        return Err(format!("the task takes no keyword arguments, and `{name}` was given"));
    }
    let is_nothing = |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty);
    if let Some((name, _)) = after.iter().find(|(_, value)| !is_nothing(value)) {
        return Err(format!("the message asks for `{name}`, which agents do not see to: they only do the job"));
    }
    // Celery's own names are random UUIDs, but a producer may give any.
    let uuid = id.parse().unwrap_or_else(|_| Uuid::from_u128(first_half(Digest::of(format!("{run}/{id}").as_bytes()))));
    Ok(Some(Job { uuid, index: run.place(uuid), message }))
}

fn first_half(digest: Digest) -> u128 {
    digest.as_bytes().iter().take(16).fold(0, |number, byte| number << 8 | u128::from(*byte))
}

struct Headers<'a>(&'a FieldTable);

impl Headers<'_> {
    /// The text of a header; nothing where it is missing or null.
    fn text(&self, name: &str) -> Result<Option<String>, String> {
        match self.0.inner().get(name) {
            None | Some(AMQPValue::Void) => Ok(None),
            Some(AMQPValue::LongString(text)) => {
                let text = std::str::from_utf8(text.as_bytes());
                text.map(|text| Some(text.to_owned())).map_err(|_| format!("the header `{name}` is not UTF-8"))
            }
            Some(AMQPValue::ShortString(text)) => Ok(Some(text.as_str().to_owned())),
            Some(_) => Err(format!("the header `{name}` is not a text")),
        }
    }

    /// The moment in a header, in UTC where it does not say of which time zone it is.
    fn moment(&self, name: &str) -> Result<Option<Timestamp>, String> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let moment = text.parse::<Timestamp>().or_else(|error| {
            let local: DateTime = text.parse().map_err(|_| error)?;
            local.to_zoned(TimeZone::UTC).map(|zoned| zoned.timestamp())
        });
        moment.map(Some).map_err(|error| format!("the header `{name}` is not a moment: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fmt::Write as _;

    use proptest::prelude::*;

    use super::*;
    use crate::job::FOREIGN_PLACES;

    const RUN: RunId = RunId(Uuid::from_u128(0x6ba7b810_9dad_41d1_80b4_00c04fd430c8));
    const ID: &str = "0f2bd3a1-7f44-4a62-9d4f-2f2d2b1f8a11";

    fn job(index: u64, message: &str) -> Job {
        Job { uuid: RUN.job(index), index, message: RawValue::from_string(message.to_owned()).unwrap() }
    }

    fn text(text: &str) -> AMQPValue {
        AMQPValue::LongString(text.into())
    }

    /// What a Celery producer sends, with these headers changed or added.
    fn sent(changed: &[(&str, AMQPValue)]) -> BasicProperties {
        let mut headers = BTreeMap::new();
        for (name, value) in [
            ("lang", text("py")),
            ("task", text(TASK)),
            ("id", text(ID)),
            ("shadow", AMQPValue::Void),
            ("eta", AMQPValue::Void),
            ("expires", AMQPValue::Void),
            ("group", AMQPValue::Void),
            ("retries", AMQPValue::LongInt(0)),
            ("root_id", text(ID)),
            ("parent_id", AMQPValue::Void),
            ("argsrepr", text("[{'run_id': '…'}]")),
            ("origin", text("gen7@host")),
            ("stamps", AMQPValue::FieldTable(FieldTable::default())),
        ] {
            headers.insert(ShortString::from(name), value);
        }
        for (name, value) in changed {
            headers.insert((*name).into(), value.clone());
        }
        properties().with_headers(headers.into())
    }

    const BODY: &str = r#"[[{"run_id": "r", "targetted_job": 7}], {}, {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]"#;

    fn now() -> Timestamp {
        "2026-01-02T03:04:05Z".parse().unwrap()
    }

    fn decoded(properties: &BasicProperties, body: &str) -> Decoded {
        decode(RUN, properties, body.as_bytes(), now())
    }

    fn reason(properties: &BasicProperties, body: &str) -> String {
        match decoded(properties, body) {
            Decoded::Unusable(reason) => reason,
            other => panic!("{other:?}"),
        }
    }

    fn written(properties: &BasicProperties, body: &[u8]) -> String {
        let mut written = String::new();
        let mut without_headers = properties.clone();
        without_headers = without_headers.with_headers(FieldTable::default());
        writeln!(written, "{without_headers:#?}").unwrap();
        for (name, value) in properties.headers().as_ref().unwrap() {
            match value {
                AMQPValue::LongString(text) => writeln!(written, "{name}: {:?}", text.to_string()).unwrap(),
                value => writeln!(written, "{name}: {value:?}").unwrap(),
            }
        }
        written + &String::from_utf8_lossy(body)
    }

    #[test]
    fn a_job_is_published_as_before() {
        let (body, properties) = encode(RUN, &job(7, r#"{"run_id": "r", "big": 12345678901234567890}"#)).unwrap();
        insta::assert_snapshot!("published", written(&properties, &body));
        insta::assert_snapshot!("dead", written(&dead(&properties, "the job message is not a JSON object"), &body));
    }

    #[test]
    fn what_celery_sends_is_a_job_with_a_place_of_its_own() {
        let Decoded::Job(job) = decoded(&sent(&[]), BODY) else { panic!() };
        assert_eq!(job.uuid.to_string(), ID);
        assert!(job.index >= FOREIGN_PLACES);
        assert_eq!(job.message.get(), r#"{"run_id": "r", "targetted_job": 7}"#);

        let named = [("id", text("by hand"))];
        let Decoded::Job(first) = decoded(&sent(&named), BODY) else { panic!() };
        let Decoded::Job(second) = decoded(&sent(&named), BODY) else { panic!() };
        assert_eq!((first.uuid, first.index), (second.uuid, second.index));
        assert_ne!(first.uuid, job.uuid);
    }

    #[test]
    fn a_message_is_late_from_its_expiry_on() {
        for late in ["2026-01-02T03:04:05+00:00", "2026-01-02T03:04:04.999999", "2026-01-02T05:04:04+02:00"] {
            assert!(matches!(decoded(&sent(&[("expires", text(late))]), BODY), Decoded::Expired), "{late}");
        }
        for in_time in ["2026-01-02T03:04:06+00:00", "2026-01-02T03:04:05.5", "2026-01-02T03:05:00+00:00"] {
            let headers = [("expires", text(in_time)), ("eta", text("2026-01-02T03:04:05+00:00"))];
            assert!(matches!(decoded(&sent(&headers), BODY), Decoded::Job(_)), "{in_time}");
        }
    }

    #[test]
    fn what_is_no_job_is_told_in_words() {
        let with = |name, value| reason(&sent(&[(name, value)]), BODY);
        for (reason, expected) in [
            (reason(&BasicProperties::default(), BODY), "has no headers"),
            (with("task", text("tasks.other")), "for the task `tasks.other`"),
            (with("task", AMQPValue::Void), "no header `task`"),
            (with("task", AMQPValue::LongInt(1)), "`task` is not a text"),
            (with("task", AMQPValue::LongString(vec![0xff].into())), "`task` is not UTF-8"),
            (with("id", AMQPValue::Void), "no header `id`"),
            (with("compression", text("application/x-gzip")), "compressed"),
            (with("expires", text("tomorrow")), "`expires` is not a moment"),
            (with("eta", text("2026-01-02T03:04:06+00:00")), "send it when it is due"),
            (reason(&sent(&[]).with_content_type("application/x-python-serialize".into()), BODY), "sent as JSON"),
            (reason(&sent(&[]), ""), "not `[[job_message]"),
            (reason(&sent(&[]), "{}"), "not `[[job_message]"),
            (reason(&sent(&[]), &"[".repeat(1_000_000)), "not `[[job_message]"),
            (reason(&sent(&[]), r#"[[{"a": NaN}], {}, {}]"#), "not `[[job_message]"),
            (reason(&sent(&[]), "[[], {}, {}]"), "one argument, the job message, and not 0"),
            (reason(&sent(&[]), "[[{}, 2], {}, {}]"), "one argument, the job message, and not 2"),
            (reason(&sent(&[]), "[[[1]], {}, {}]"), "not a JSON object"),
            (reason(&sent(&[]), r#"[[{}], {"job": 1}, {}]"#), "`job` was given"),
            (reason(&sent(&[]), r#"[[{}], {}, {"callbacks": [{"task": "t"}]}]"#), "asks for `callbacks`"),
            (reason(&sent(&[]), &format!("[[{{}}], {{}}, {{}}]{}", " ".repeat(MAX_BYTES))), "16 MiB are allowed"),
        ] {
            assert!(reason.contains(expected), "{reason}");
        }
    }

    #[test]
    fn a_job_that_is_too_large_is_not_published() {
        let message = format!(r#"{{"page": "{}"}}"#, "x".repeat(MAX_BYTES));
        let error = encode(RUN, &job(7, &message)).unwrap_err().to_string();
        assert!(error.contains("job 7") && error.contains("16 MiB are allowed"), "{error}");
    }

    #[test]
    fn a_dead_message_goes_nowhere_else_and_fits_into_a_frame() {
        let carbon_copy = AMQPValue::FieldArray(vec![text(&RUN.to_string())].into());
        let properties = sent(&[("CC", carbon_copy), ("BCC", AMQPValue::Void)]).with_expiration("1".into());
        let properties = dead(&properties, &"ä".repeat(400));
        let headers = properties.headers().clone().unwrap();
        assert!(!headers.contains_key("CC") && !headers.contains_key("BCC") && headers.contains_key("task"));
        assert_eq!(headers.inner()[REASON], text(&"ä".repeat(250)));
        assert_eq!(*properties.expiration(), None);

        let properties = dead(&sent(&[("argsrepr", text(&"x".repeat(100_000)))]), "why");
        assert_eq!(properties.headers().as_ref().unwrap().inner().len(), 1);
    }

    proptest! {
        #[test]
        fn what_is_published_is_read_again(index in 0..FOREIGN_PLACES, key: String, value: String) {
            let message = serde_json::json!({ key: value }).to_string();
            let (body, properties) = encode(RUN, &job(index, &message)).unwrap();
            let Decoded::Job(read) = decode(RUN, &properties, &body, now()) else { panic!() };
            prop_assert_eq!((read.uuid, read.index, read.message.get()), (RUN.job(index), index, message.as_str()));
        }

        #[test]
        fn no_message_is_too_much(body: Vec<u8>, tail in "[\\[\\]{}:,\"0-9a ]{0,40}", task: Vec<u8>, expires: String) {
            let task = [("task", AMQPValue::LongString(task.into())), ("expires", text(&expires))];
            decode(RUN, &sent(&[]), &body, now());
            decode(RUN, &sent(&[]), format!("[[{{{tail}").as_bytes(), now());
            decode(RUN, &sent(&task), &body, now());
            decode(RUN, &sent(&task[1..]), BODY.as_bytes(), now());
        }
    }
}
