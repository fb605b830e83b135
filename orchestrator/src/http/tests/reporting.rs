//! What others report: the calls of the system that Armada succeeds.

use axum::http::{Method, StatusCode};
use serde_json::json;

use super::Server;

#[tokio::test]
async fn a_run_that_is_reported_twice_is_one_run() {
    let server = Server::start().await;
    let run = server.run().await;
    let again = server.post("/tracking/api/runs", json!({ "run_uuid": run })).await;
    assert_eq!(again.status, StatusCode::OK);
    let listed = server.get("/api/runs/").await;
    assert_eq!(listed.json()["total"], 1);
    assert_eq!(listed.items()[0]["run_uuid"], json!(run));
    server.stop().await;
}

#[tokio::test]
async fn a_reported_job_and_its_events_are_shown_as_they_were_reported() {
    let server = Server::start().await;
    let run = server.run().await;
    let job = server.job(&run).await;
    let event = server.event(&job, "Page loaded").await;
    assert_eq!(event["event_status"], "success");
    assert!(event["cursor"].as_u64().unwrap() > 0, "{event}");

    let shown = server.get(&format!("/api/jobs/?run_uuid={run}")).await.items();
    assert_eq!(shown.len(), 1);
    assert_eq!(shown[0]["job_status"], "Running");
    assert_eq!(shown[0]["job_associated_agent"], 1);
    let shown = server.get(&format!("/api/events/?job_uuid={job}")).await.items();
    assert_eq!(shown, std::slice::from_ref(&event));
    let one = server.get(&format!("/api/events/{}", event["event_uuid"].as_str().unwrap())).await;
    assert_eq!(one.json(), event);

    let done =
        server.ask(Method::PATCH, "/api/jobs/status", &[], Some(json!({ "job_uuid": job, "job_status": "Success" })));
    assert_eq!(done.await.json()["job_status"], "Success");
    let run = server.get(&format!("/api/runs/{run}")).await.json();
    assert_eq!((&run["status"], &run["jobs_succeeded"]), (&json!("Succeeded"), &json!(1)));
    server.stop().await;
}

#[tokio::test]
async fn a_reported_run_has_failed_while_one_of_its_jobs_has() {
    let server = Server::start().await;
    let run = server.run().await;
    let jobs = [server.job(&run).await, server.job(&run).await];
    let path = format!("/api/runs/{run}");
    for (job, status, expected) in
        [(0, "Success", "Running"), (1, "Failed", "Failed"), (1, "Running", "Running"), (1, "Success", "Succeeded")]
    {
        let status = json!({ "job_uuid": jobs[job], "job_status": status });
        assert_eq!(server.ask(Method::PATCH, "/api/jobs/status/", &[], Some(status)).await.status, StatusCode::OK);
        assert_eq!(server.get(&path).await.json()["status"], expected);
    }
    assert_eq!(server.get(&path).await.json()["jobs_failed"], 0);
    server.stop().await;
}

#[tokio::test]
async fn with_a_run_goes_all_that_belongs_to_it() {
    let server = Server::start().await;
    let run = server.run().await;
    let job = server.job(&run).await;
    let event = server.event(&job, "seen").await;
    let gone = server.ask(Method::DELETE, &format!("/api/runs/{run}"), &[], None).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    let event = event["event_uuid"].as_str().unwrap().to_owned();
    for path in [format!("/api/runs/{run}"), format!("/api/jobs/{job}"), format!("/api/events/{event}")] {
        assert_eq!(server.get(&path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn nobody_reports_to_a_run_that_is_conducted_here() {
    let server = Server::start().await;
    let run = server.run().await;
    let job = server.job(&run).await;
    server.conduct(&run).await;
    let delete = format!("/api/runs/{run}");
    for (method, path, body) in [
        (Method::POST, "/api/runs/", Some(json!({ "run_uuid": run }))),
        (Method::POST, "/api/jobs/", Some(json!({ "run_uuid": run }))),
        (Method::PATCH, "/api/jobs/status", Some(json!({ "job_uuid": job, "job_status": "Failed" }))),
        (Method::POST, "/api/events/", Some(json!({ "job_uuid": job, "event_content": "x" }))),
        (Method::DELETE, delete.as_str(), None),
    ] {
        let answer = server.ask(method.clone(), path, &[], body).await;
        assert_eq!(answer.status, StatusCode::CONFLICT, "{method} {path}: {}", answer.text());
        assert_eq!(answer.headers["content-type"], "application/problem+json");
    }
    server.stop().await;
}

#[tokio::test]
async fn what_is_reported_of_something_unknown_or_in_another_shape_is_refused() {
    let server = Server::start().await;
    let unknown = uuid::Uuid::new_v4().to_string();
    for (path, body, expected) in [
        ("/api/runs/", json!({}), 400),
        ("/api/runs/", json!({ "run_uuid": "mine" }), 400),
        ("/api/runs/", json!([]), 400),
        ("/api/runs/", json!({ "run_uuid": unknown, "run_datetime": "yesterday" }), 400),
        ("/api/jobs/", json!({ "run_uuid": unknown }), 404),
        ("/api/jobs/", json!({ "run_uuid": unknown, "job_status": "Great" }), 400),
        ("/api/jobs/", json!({ "run_uuid": unknown, "job_associated_agent": -1 }), 400),
        ("/api/events/", json!({ "job_uuid": unknown, "event_content": "x" }), 404),
        ("/api/events/", json!({ "job_uuid": unknown, "event_content": 3 }), 400),
        ("/api/events/", json!({ "job_uuid": unknown, "event_content": "x".repeat(2 << 20) }), 413),
    ] {
        let answer = server.post(path, body).await;
        assert_eq!(answer.status.as_u16(), expected, "{path}: {}", answer.text());
        assert_eq!(answer.json()["status"], expected);
    }
    let plain = server.ask(Method::POST, "/api/runs/", &[("content-type", "text/plain")], None).await;
    assert_eq!(plain.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    server.stop().await;
}
