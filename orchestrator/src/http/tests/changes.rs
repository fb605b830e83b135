//! The stream of changes.

use std::time::Duration;

use axum::http::StatusCode;
use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::Server;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn watch(server: &Server, query: &str) -> Socket {
    let url = format!("ws://{}/api/changes{query}", server.address);
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let first = message(&mut socket).await;
    assert_eq!(first["kind"], "watching", "{first}");
    socket
}

async fn message(socket: &mut Socket) -> Value {
    loop {
        let message = tokio::time::timeout(Duration::from_secs(20), socket.next()).await.expect("no message came");
        match message.expect("the stream ended").unwrap() {
            Message::Text(text) => return serde_json::from_str(&text).unwrap(),
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Messages until one of a report with this content.
async fn until(socket: &mut Socket, content: &str) -> Vec<Value> {
    let mut messages = Vec::new();
    loop {
        let message = message(socket).await;
        let is_last = message["data"]["event_content"] == content;
        messages.push(message);
        if is_last {
            return messages;
        }
    }
}

fn numbers(messages: &[Value]) -> Vec<u64> {
    messages.iter().filter_map(|message| message["seq"].as_u64()).collect()
}

#[tokio::test]
async fn what_happens_is_told_as_it_happens_and_in_order() {
    let server = Server::start().await;
    let mut socket = watch(&server, "").await;
    let run = server.run().await;
    let job = server.job(&run).await;
    let event = server.event(&job, "seen").await;
    let messages = until(&mut socket, "seen").await;
    assert!(numbers(&messages).is_sorted_by(|a, b| a < b), "{messages:?}");
    let kinds: Vec<_> = messages.iter().map(|message| message["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["run", "job", "run", "report"]);
    assert_eq!(messages[3]["data"], event);
    assert_eq!(messages[3]["run_uuid"], json!(run));
    server.stop().await;
}

#[tokio::test]
async fn whoever_comes_back_with_a_number_has_missed_nothing_and_hears_nothing_twice() {
    let server = Server::start().await;
    let run = server.run().await;
    let job = server.job(&run).await;
    let mut all = watch(&server, "?after=0").await;
    let mut seen = numbers(&until_number(&mut all, server.store.last_seq()).await);
    for turn in 0..20 {
        let mut socket = watch(&server, &format!("?after={}", seen.last().unwrap())).await;
        for event in 0..5 {
            server.event(&job, &format!("{turn}-{event}")).await;
        }
        seen.extend(numbers(&until(&mut socket, &format!("{turn}-2")).await));
    }
    let mut socket = watch(&server, &format!("?after={}", seen.last().unwrap())).await;
    seen.extend(numbers(&until(&mut socket, "19-4").await));
    let live = numbers(&until(&mut all, "19-4").await);
    let at_once = numbers(&until(&mut watch(&server, "?after=0").await, "19-4").await);
    assert_eq!(seen, at_once);
    assert!(at_once.ends_with(&live) && live.len() >= 100, "{live:?}");
    server.stop().await;
}

async fn until_number(socket: &mut Socket, seq: u64) -> Vec<Value> {
    let mut messages = Vec::new();
    loop {
        messages.push(message(socket).await);
        if numbers(&messages).last().is_some_and(|last| *last >= seq) {
            return messages;
        }
    }
}

#[tokio::test]
async fn a_run_that_never_was_is_not_watched() {
    let server = Server::start().await;
    let run = server.run().await;
    for query in ["", "&after=0"] {
        let url = format!("ws://{}/api/changes?run={}{query}", server.address, uuid::Uuid::new_v4());
        let refused = tokio_tungstenite::connect_async(url).await.unwrap_err();
        assert!(matches!(&refused, Error::Http(answer) if answer.status() == 404), "{query}: {refused}");
        watch(&server, &format!("?run={run}{query}")).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn whoever_comes_back_too_late_is_told_what_is_kept_no_more() {
    let server = Server::start().await;
    let (old, nobodys) = (server.run().await, uuid::Uuid::new_v4());
    let job = server.job(&old).await;
    for query in ["?after=0".to_owned(), format!("?after=0&run={old}")] {
        let mut socket = watch(&server, &query).await;
        assert_eq!(message(&mut socket).await["kind"], "run", "nothing is forgotten yet");
    }
    let forgotten = server.store.last_seq();
    let later = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(60);
    server.store.forget_changes_before(later).await.unwrap();
    let told = json!(forgotten);
    let mut socket = watch(&server, "?after=0").await;
    let first = message(&mut socket).await;
    assert_eq!((&first["kind"], &first["seq"]), (&json!("forgotten"), &told));

    let new = server.run().await;
    server.event(&job, "seen").await;
    for (query, is_told) in [
        ("?after=0".to_owned(), true),
        (format!("?after=0&run={old}"), true),
        (format!("?after=0&run={nobodys}"), true),
        (format!("?after={forgotten}"), false),
        (format!("?after=0&run={new}"), false),
        (String::new(), false),
    ] {
        let mut socket = watch(&server, &query).await;
        server.event(&job, &query).await;
        server.event(&server.job(&new).await, &query).await;
        if query.contains(&nobodys.to_string()) {
            assert_eq!(message(&mut socket).await["kind"], "forgotten");
            continue;
        }
        let messages = until(&mut socket, &query).await;
        let told_so: Vec<_> = messages.iter().filter(|message| message["kind"] == "forgotten").collect();
        assert_eq!(told_so.len(), usize::from(is_told), "{query}: {messages:?}");
        assert!(told_so.iter().all(|message| message["seq"] == told), "{told_so:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_watcher_of_one_run_hears_of_no_other() {
    let server = Server::start().await;
    let (mine, other) = (server.run().await, server.run().await);
    let (my_job, other_job) = (server.job(&mine).await, server.job(&other).await);
    for query in [format!("?run={mine}"), format!("?run={mine}&after=0")] {
        let mut socket = watch(&server, &query).await;
        server.event(&other_job, "theirs").await;
        server.event(&my_job, &query).await;
        let messages = until(&mut socket, &query).await;
        assert!(messages.iter().all(|message| message["run_uuid"] == json!(mine)), "{messages:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn who_lags_is_told_so_and_still_hears_everything() {
    let server = Server::start().await;
    let run = server.run().await;
    let job = server.job(&run).await;
    let mut socket = watch(&server, "").await;
    // More than the stream holds and the connection takes, while nobody reads.
    let text = "x".repeat(5_000);
    let mut expected = Vec::new();
    for _ in 0..60 {
        let reports = (0..100).map(|_| super::report(&run, &job, &text)).collect();
        expected.extend(server.store.insert_reports(reports).await);
    }
    server.event(&job, "last").await;
    let messages = until(&mut socket, "last").await;
    assert!(messages.iter().any(|message| message["kind"] == "lagged"), "nobody was told");
    let numbers = numbers(&messages);
    assert!(numbers.is_sorted_by(|a, b| a < b));
    assert!(expected.iter().all(|seq| numbers.binary_search(seq).is_ok()), "some were lost");
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_ends_tells_watchers_what_happened_last_and_says_so() {
    let server = Server::start().await;
    let run = server.run().await;
    let job = server.job(&run).await;
    let mut socket = watch(&server, "").await;
    for last in 0..50 {
        server.event(&job, &last.to_string()).await;
    }
    server.stop().await;
    until(&mut socket, "49").await;
    let closed = tokio::time::timeout(Duration::from_secs(20), socket.next()).await.unwrap();
    assert!(matches!(closed, Some(Ok(Message::Close(Some(frame)))) if u16::from(frame.code) == 1001));
}

#[tokio::test]
async fn a_watcher_that_says_too_much_is_dropped_and_the_server_goes_on() {
    let server = Server::start().await;
    let mut socket = watch(&server, "").await;
    // The answer to it is the end of the connection.
    let _ = socket.send(Message::Text("x".repeat(100_000).into())).await;
    loop {
        match tokio::time::timeout(Duration::from_secs(20), socket.next()).await.unwrap() {
            None | Some(Err(_) | Ok(Message::Close(_))) => break,
            Some(Ok(_)) => {}
        }
    }
    watch(&server, "").await;
    server.stop().await;
}

#[tokio::test]
async fn the_stream_is_there_under_its_other_paths_and_is_no_page() {
    let server = Server::start().await;
    for path in ["/api/events/ws", "/tracking/api/events/ws", "/tracking/api/changes/"] {
        let url = format!("ws://{}{path}", server.address);
        let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        assert_eq!(message(&mut socket).await["kind"], "watching");
        assert_eq!(server.get(path).await.status, StatusCode::UPGRADE_REQUIRED);
    }
    server.stop().await;
}
