//! Recordings of traffic, as HAR 1.2 (<http://www.softwareishard.com/blog/har-12-spec/>).
//!
//! What is stored is for people to look at and to pass around: what would let them in somewhere is not in it. Headers
//! that carry authorisation have no value, and secrets of the operator are named and not shown, wherever they are.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::Version;
use http::header::{CONTENT_TYPE, LOCATION};
use serde_json::{Value, json};
use url::Url;

use super::record::{Facts, Headers, Record};
use crate::capabilities::secrets::Veil;

/// How long writing a document may take: a job waits for it.
const TIME: Duration = Duration::from_secs(20);
/// What a document has beside its entries, in bytes.
const AROUND: u64 = 1_000;
/// What stands in place of a value that is not shown.
const REDACTED: &str = "[redacted]";
/// What the name of a header has in it that lets somebody in.
const SENSITIVE: [&str; 9] =
    ["auth", "cookie", "token", "secret", "password", "api-key", "apikey", "session", "credential"];

/// How much is recorded.
#[derive(Clone, Copy)]
pub(super) struct Extent {
    pub(super) bodies: bool,
    /// How many bytes of a body.
    pub(super) body_bytes: u64,
    /// How many bytes in all.
    pub(super) bytes: u64,
}

/// These exchanges as a document, as far as there is room for them, and how many more there were.
pub(super) async fn document(records: &[Arc<Record>], mut left_out: u64, extent: Extent, veil: &Veil) -> String {
    let (mut entries, mut is_full, mut bodies_left_out) = (String::new(), false, 0);
    let begun = Instant::now();
    for record in records {
        // What comes after the first that has no room is not there either: no gaps.
        if is_full || begun.elapsed() > TIME {
            (is_full, left_out) = (true, left_out + 1);
            continue;
        }
        // Others go on in between.
        tokio::task::yield_now().await;
        let facts = record.known();
        let (mut entry, without) = entry(record, &facts, extent, veil).await;
        // Text by text: in a document, what is in a text is written in yet another way.
        veil.veil(&mut entry);
        let entry = entry.to_string();
        if entries.len() as u64 + entry.len() as u64 + AROUND > extent.bytes {
            (is_full, left_out) = (true, left_out + 1);
            continue;
        }
        if !entries.is_empty() {
            entries.push(',');
        }
        entries.push_str(&entry);
        bodies_left_out += without;
    }
    let mut comments = Vec::new();
    if left_out > 0 {
        comments.push(format!(
            "{left_out} exchanges more are not here: there was no room or time \
             (run_message.sandbox.limits.artifact_bytes_per_job)"
        ));
    }
    if bodies_left_out > 0 {
        comments.push(format!(
            "{bodies_left_out} bodies are not here: they were too long, broke off, or there was no room for them \
             (run_message.sandbox.limits.traffic_body_bytes and artifact_bytes_per_job)"
        ));
    }
    let creator = json!({"name": "Armada", "version": env!("CARGO_PKG_VERSION")});
    format!(
        r#"{{"log":{{"version":"1.2","creator":{creator},"comment":{},"entries":[{entries}]}}}}"#,
        Value::from(comments.join("; "))
    )
}

/// An exchange, and how many of its bodies should be in it and are not.
async fn entry(record: &Record, facts: &Facts, extent: Extent, veil: &Veil) -> (Value, u64) {
    let (mut sent, mut got, mut without) = (None, None, 0);
    if extent.bodies {
        sent = record.request_body(facts, extent.body_bytes).await;
        got = record.response_body(facts, extent.body_bytes).await;
        without += u64::from(facts.request_bytes > 0 && sent.is_none());
        without += u64::from(facts.response_bytes > 0 && got.is_none());
    }
    let took = facts.took.unwrap_or_default();
    let waited = facts.waited.unwrap_or(took);
    let mut request = json!({
        "method": facts.method.as_str(),
        "url": facts.url,
        "httpVersion": version(facts.request_version),
        "cookies": [],
        "headers": headers(&facts.request_headers),
        "queryString": query(&facts.url),
        "headersSize": -1,
        "bodySize": facts.request_bytes,
    });
    if let (Some(body), Value::Object(request)) = (sent.filter(|body| !body.is_empty()), &mut request) {
        let text = String::from_utf8_lossy(&body).into_owned();
        request.insert(
            "postData".to_owned(),
            json!({"mimeType": facts.request_headers.text(&CONTENT_TYPE), "text": text}),
        );
    }
    let mut content = json!({"size": facts.response_bytes, "mimeType": facts.response_headers.text(&CONTENT_TYPE)});
    if let (Some(body), Value::Object(content)) = (got, &mut content) {
        content.insert("size".to_owned(), body.len().into());
        match String::from_utf8(veil.body(body.into())) {
            Ok(text) => drop(content.insert("text".to_owned(), text.into())),
            Err(binary) => {
                content.insert("text".to_owned(), BASE64.encode(binary.as_bytes()).into());
                content.insert("encoding".to_owned(), "base64".into());
            }
        }
    }
    let mut response = json!({
        "status": facts.status.map_or(0, |status| status.as_u16()),
        "statusText": facts.status.and_then(|status| status.canonical_reason()).unwrap_or_default(),
        "httpVersion": version(facts.response_version),
        "cookies": [],
        "headers": headers(&facts.response_headers),
        "content": content,
        "redirectURL": redirect(facts),
        "headersSize": -1,
        "bodySize": facts.response_bytes,
    });
    if let (Some(failure), Value::Object(response)) = (&facts.failure, &mut response) {
        // As browsers record it.
        response.insert("_error".to_owned(), failure.as_str().into());
    }
    let entry = json!({
        "startedDateTime": record.started.to_string(),
        "time": milliseconds(took),
        "request": request,
        "response": response,
        "cache": {},
        "timings": {
            "send": 0,
            "wait": milliseconds(waited),
            "receive": milliseconds(took.saturating_sub(waited)),
        },
    });
    (entry, without)
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

fn version(version: Version) -> &'static str {
    if version == Version::HTTP_2 { "HTTP/2" } else { "HTTP/1.1" }
}

fn headers(headers: &Headers) -> Vec<Value> {
    let value = |name: &str, value: &[u8]| match is_sensitive(name) {
        true => REDACTED.to_owned(),
        false => String::from_utf8_lossy(value).into_owned(),
    };
    headers.iter().map(|(name, text)| json!({"name": name, "value": value(name, text)})).collect()
}

/// Whether a header may let somebody in who has its value.
fn is_sensitive(name: &str) -> bool {
    SENSITIVE.iter().any(|part| name.contains(part))
}

fn redirect(facts: &Facts) -> &str {
    match facts.status {
        Some(status) if status.is_redirection() => facts.response_headers.text(&LOCATION),
        _ => "",
    }
}

fn query(url: &str) -> Vec<Value> {
    let Ok(url) = Url::parse(url) else { return Vec::new() };
    url.query_pairs().map(|(name, value)| json!({"name": name, "value": value})).collect()
}
