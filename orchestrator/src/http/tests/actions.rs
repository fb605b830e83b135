//! What runs are told to do. That they do it is shown with real agents, from end to end.

use axum::http::{Method, StatusCode};

use super::Server;

const ACTIONS: [&str; 5] = ["cancel", "pause", "resume", "retry", "replay"];

#[tokio::test]
async fn a_run_that_goes_on_is_paused_resumed_and_cancelled() {
    let server = Server::start().await;
    let run = server.run().await;
    server.conduct(&run).await;
    for (action, status, is_paused) in [("pause", 200, true), ("resume", 200, false), ("cancel", 202, false)] {
        let answer = server.ask(Method::POST, &format!("/api/runs/{run}/{action}/"), &[], None).await;
        assert_eq!(answer.status.as_u16(), status, "{action}: {}", answer.text());
        assert_eq!(answer.json()["paused"], is_paused, "{action}");
    }
    // What has not ended is not done again, nor removed.
    for (method, path) in
        [(Method::POST, format!("/api/runs/{run}/retry")), (Method::DELETE, format!("/api/runs/{run}"))]
    {
        let answer = server.ask(method, &path, &[], None).await;
        assert_eq!(answer.status, StatusCode::CONFLICT, "{path}: {}", answer.text());
    }
    server.stop().await;
}

#[tokio::test]
async fn a_run_of_somebody_else_is_told_nothing_and_an_unknown_one_is_not_found() {
    let server = Server::start().await;
    let run = server.run().await;
    let unknown = uuid::Uuid::new_v4();
    for action in ACTIONS {
        let answer = server.ask(Method::POST, &format!("/api/runs/{run}/{action}"), &[], None).await;
        assert_eq!(answer.status, StatusCode::CONFLICT, "{action}: {}", answer.text());
        let answer = server.ask(Method::POST, &format!("/api/runs/{unknown}/{action}"), &[], None).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{action}: {}", answer.text());
    }
    server.stop().await;
}
