//! Jobs as messages of Celery's protocol, version 2: a program in Python can feed agents, and a Celery worker can take what
//! the orchestrator publishes. <https://docs.celeryq.dev/en/stable/internals/protocol.html>
//!
//! What cannot be a job is no error of whoever takes it from the queue: [`decode`] says in words why, for those who look at the
//! queue of dead jobs.

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
/// How many bytes of headers go along to the queue of dead jobs: all headers of a message travel in one frame of 128 KiB.
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
