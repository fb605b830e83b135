//! Whether the server is well, and its numbers.

use axum::http::StatusCode;
use serde_json::json;

use super::Server;
use crate::http::health::Check;

#[tokio::test]
async fn a_server_is_ready_while_everything_that_it_needs_answers() {
    let server = Server::start().await;
    let ready = server.get("/health/ready").await;
    assert_eq!((ready.status, ready.json()), (StatusCode::OK, json!({ "status": "ok", "checks": { "store": "ok" } })));
    server.store.pool().close().await;
    let ready = server.get("/health/ready").await;
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ready.json(), json!({ "status": "unavailable", "checks": { "store": "unavailable" } }));
    assert_eq!(server.get("/health/live").await.status, StatusCode::OK);
    server.stop().await;
}

#[tokio::test]
async fn what_is_away_is_named_and_its_reason_stays_in_the_log() {
    let there = Check::new("redis", || Box::pin(async { Ok(()) }));
    let away = Check::new("rabbitmq", || Box::pin(async { Err("amqp://user:secret@host".to_owned()) }));
    let server = Server::with(|_| {}, vec![there, away]).await;
    let ready = server.get("/health/ready").await;
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ready.json()["checks"], json!({ "rabbitmq": "unavailable", "redis": "ok", "store": "ok" }));
    assert!(!ready.text().contains("secret"));
    server.stop().await;
}

#[tokio::test]
async fn prometheus_reads_what_the_store_knows_and_what_was_measured() {
    let server = Server::start().await;
    let run = server.run().await;
    server.job(&run).await;
    let job = server.job(&run).await;
    server.event(&job, "seen").await;
    let numbers = server.get("/metrics").await;
    assert!(numbers.headers["content-type"].to_str().unwrap().starts_with("text/plain"));
    let numbers = numbers.text();
    for expected in [
        "armada_runs{status=\"Running\"} 1",
        "armada_runs{status=\"Failed\"} 0",
        "armada_jobs{status=\"Running\"} 2",
        "armada_agents{state=\"Open\"} 0",
        "armada_queue_depth 0",
        "armada_event_lag_seconds_count",
        "armada_http_request_duration_seconds_bucket{method=\"POST\",path=\"/api/events\",status=\"201\"",
    ] {
        assert!(numbers.contains(expected), "{expected} is missing: {numbers}");
    }
    server.stop().await;
}
