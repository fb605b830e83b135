//! Who may ask.

use armada_protocol::Hidden;
use axum::http::{Method, StatusCode};
use serde_json::json;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use super::Server;

#[tokio::test]
async fn a_page_of_another_origin_can_change_nothing_and_watch_nothing() {
    let server = Server::start().await;
    let run = json!({ "run_uuid": uuid::Uuid::new_v4() });
    let own = format!("http://{}", server.address);
    for (headers, expected) in [
        (vec![("origin", "http://evil.example")], 403),
        (vec![("origin", "null")], 403),
        (vec![("origin", "http://127.0.0.1:1")], 403),
        (vec![("origin", "\u{e9}")], 403),
        (vec![("sec-fetch-site", "cross-site")], 403),
        (vec![("origin", own.as_str()), ("sec-fetch-site", "same-origin")], 201),
        (vec![("sec-fetch-site", "none")], 200),
        (vec![], 200),
    ] {
        let answer = server.ask(Method::POST, "/api/runs", &headers, Some(run.clone())).await;
        assert_eq!(answer.status.as_u16(), expected, "{headers:?}: {}", answer.text());
        assert!(!answer.headers.contains_key("access-control-allow-origin"), "{headers:?}");
    }
    let mut request = format!("ws://{}/api/changes", server.address).into_client_request().unwrap();
    request.headers_mut().insert("origin", "http://evil.example".parse().unwrap());
    let refused = tokio_tungstenite::connect_async(request).await.unwrap_err();
    assert!(refused.to_string().contains("403"), "{refused}");
    server.stop().await;
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_may_use_the_api() {
    let server =
        Server::with(|settings| settings.cors_origins = vec!["https://board.example".to_owned()], Vec::new()).await;
    let asks = [
        ("origin", "https://board.example"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization, idempotency-key"),
    ];
    let answer = server.ask(Method::OPTIONS, "/api/runs", &asks, None).await;
    assert_eq!(answer.headers["access-control-allow-origin"], "https://board.example");
    assert!(answer.headers["access-control-allow-methods"].to_str().unwrap().contains("POST"));
    let answer = server.ask(Method::GET, "/api/runs", &asks[..1], None).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers["access-control-allow-origin"], "https://board.example");
    let other = server.ask(Method::OPTIONS, "/api/runs", &[("origin", "https://evil.example"), asks[1]], None).await;
    assert_eq!(other.status, StatusCode::FORBIDDEN);
    server.stop().await;
}

#[tokio::test]
async fn a_name_that_somebody_has_point_to_this_machine_is_refused() {
    let server = Server::start().await;
    for (host, expected) in [
        ("evil.example", 403),
        ("evil.example:8080", 403),
        ("localhost.evil.example", 403),
        ("", 403),
        ("localhost:8080", 200),
        ("LOCALHOST", 200),
        ("127.0.0.1", 200),
        ("[::1]:8080", 200),
    ] {
        let answer = server.ask(Method::GET, "/api/runs", &[("host", host)], None).await;
        assert_eq!(answer.status.as_u16(), expected, "{host}: {}", answer.text());
    }
    server.stop().await;
    let public = Server::with(|settings| settings.listen = ([0, 0, 0, 0], 0).into(), Vec::new()).await;
    let answer = public.ask(Method::GET, "/api/runs", &[("host", "armada.example")], None).await;
    assert_eq!(answer.status, StatusCode::OK);
    public.stop().await;
}

#[tokio::test]
async fn who_does_not_know_the_token_learns_only_that_the_server_is_well() {
    let server = Server::with(|settings| settings.token = Some(Hidden("open sesame".to_owned())), Vec::new()).await;
    for (credentials, expected) in [
        (None, 401),
        (Some("Bearer open sesam"), 401),
        (Some("Bearer"), 401),
        (Some("Basic open sesame"), 401),
        (Some("open sesame"), 401),
        (Some("bearer open sesame"), 200),
    ] {
        let headers: Vec<_> = credentials.map(|credentials| ("authorization", credentials)).into_iter().collect();
        for path in ["/api/runs", "/api/openapi.json", "/metrics", "/tracking/api/runs/"] {
            let answer = server.ask(Method::GET, path, &headers, None).await;
            assert_eq!(answer.status.as_u16(), expected, "{credentials:?} {path}: {}", answer.text());
        }
        for path in ["/health/live", "/health/ready"] {
            assert_eq!(server.ask(Method::GET, path, &headers, None).await.status, StatusCode::OK);
        }
    }
    let refused = server.get("/api/nothing").await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert_eq!(refused.headers["www-authenticate"], "Bearer");
    server.stop().await;
}

#[tokio::test]
async fn every_answer_is_named_and_is_taken_for_what_it_is() {
    let server = Server::start().await;
    for path in ["/api/runs", "/api/nothing", "/health/live", "/api/runs?x=1"] {
        let answer = server.ask(Method::GET, path, &[("x-request-id", "mine-1")], None).await;
        assert_eq!(answer.headers["x-request-id"], "mine-1");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        assert_eq!(answer.headers["x-frame-options"], "DENY");
        assert!(answer.headers["content-security-policy"].to_str().unwrap().contains("default-src 'none'"));
    }
    let answer = server.ask(Method::GET, "/api/runs", &[("x-request-id", "a b;c")], None).await;
    assert!(answer.headers["x-request-id"].to_str().unwrap().parse::<uuid::Uuid>().is_ok());
    let answer = server.ask(Method::PUT, "/api/runs", &[], None).await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert!(answer.headers["allow"].to_str().unwrap().contains("POST"));
    server.stop().await;
}
