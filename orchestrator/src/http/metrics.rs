//! Numbers for Prometheus: `/metrics`. Counters and durations are kept as things happen; what the store knows is asked
//! for when somebody looks.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::Duration;

use axum::extract::State;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use metrics::{Unit, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;

use super::Api;
use super::problem::Problem;
use crate::store::reports::EVENT_LAG;
use crate::store::runs::DISPATCHED;

/// How long the store may take to be counted.
const COUNTING: Duration = Duration::from_secs(5);
/// How often what was measured is put together, so that it takes no more memory while nobody looks.
const UPKEEP: Duration = Duration::from_secs(5);
/// Seconds that durations are told apart by.
const SECONDS: [f64; 11] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

const RUNS: &str = "armada_runs";
const JOBS: &str = "armada_jobs";
const AGENTS: &str = "armada_agents";
const QUEUE_DEPTH: &str = "armada_queue_depth";
const REQUESTS: &str = "armada_http_request_duration_seconds";

/// The words under which things are counted, so that one of which there is none is there with 0.
const RUN_STATES: [&str; 7] = ["Pending", "Dispatching", "Running", "Draining", "Succeeded", "Failed", "Cancelled"];
const JOB_STATES: [&str; 6] = ["Waiting", "Queued", "Running", "Success", "Failed", "Cancelled"];
const AGENT_STATES: [&str; 5] = ["Opening", "Open", "Closed", "Failed", "Lost"];

/// What is measured in this process.
pub(super) fn recorder() -> &'static PrometheusHandle {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    RECORDER.get_or_init(|| {
        let builder = PrometheusBuilder::new();
        let builder = builder.set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS);
        // There are buckets.
        let recorder = builder.unwrap_or_default().build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("somebody else measures in this process: /metrics has only what the store knows");
        }
        describe();
        handle
    })
}

fn describe() {
    describe_gauge!(RUNS, "Runs, by where they are in their lives");
    describe_gauge!(JOBS, "Jobs, by where they are in their lives");
    describe_gauge!(AGENTS, "Agents of runs that go on, by what they do");
    describe_gauge!(QUEUE_DEPTH, "Jobs that wait on queues, as those were asked in the last ten seconds");
    describe_counter!(DISPATCHED, "Jobs that were dispatched");
    describe_histogram!(EVENT_LAG, Unit::Seconds, "From a report to its being stored");
    describe_histogram!(REQUESTS, Unit::Seconds, "From a request to its answer");
}

/// Keeps what is measured small, until the server ends.
pub(super) async fn keep(ending: CancellationToken) {
    let mut tick = tokio::time::interval(UPKEEP);
    while ending.run_until_cancelled(tick.tick()).await.is_some() {
        recorder().run_upkeep();
    }
}

/// Notes an answer.
pub(super) fn answered(method: &Method, path: String, status: StatusCode, took: Duration) {
    // Methods may have any name: those that nobody answers are one.
    let method = if status == StatusCode::METHOD_NOT_ALLOWED { "other".to_owned() } else { method.to_string() };
    let labels = [("method", method), ("path", path), ("status", status.as_u16().to_string())];
    histogram!(REQUESTS, &labels).record(took.as_secs_f64());
}

/// What is measured, as Prometheus reads it.
#[utoipa::path(get, path = "/metrics", tag = "health", operation_id = "metrics", responses(
    (status = 200, description = "Numbers for Prometheus", body = String, content_type = "text/plain"),
    super::extract::Failures))]
pub(super) async fn metrics(State(api): State<Api>) -> Result<Response, Problem> {
    let recorder = recorder();
    // What cannot be counted in time stays as it was.
    match tokio::time::timeout(COUNTING, api.store.counts()).await {
        Ok(counts) => {
            let counts = counts?;
            set(RUNS, "status", &RUN_STATES, &counts.runs);
            set(JOBS, "status", &JOB_STATES, &counts.jobs);
            set(AGENTS, "state", &AGENT_STATES, &counts.agents);
        }
        Err(_) => tracing::warn!("the store could not be counted within {COUNTING:?}"),
    }
    gauge!(QUEUE_DEPTH).set(number(Some(&api.conductor.queue_depth())));
    recorder.run_upkeep();
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], recorder.render()).into_response())
}

fn set(name: &'static str, label: &'static str, words: &[&'static str], counts: &HashMap<String, u64>) {
    for word in words {
        gauge!(name, label => *word).set(number(counts.get(*word)));
    }
}

/// As Prometheus has numbers; nobody has so many jobs that it matters.
#[expect(clippy::cast_precision_loss, reason = "exact up to 2 to the 53rd")]
fn number(count: Option<&u64>) -> f64 {
    count.copied().unwrap_or_default() as f64
}
