//! The API, asked over a socket: each test has a server, and a store in a file, of its own.

mod actions;
mod changes;
mod document;
mod guarding;
mod health;
mod linking;
mod reading;
mod reporting;

use std::net::SocketAddr;
use std::sync::Arc;

use armada_protocol::embedded::{EmbeddedQueue, EmbeddedRunStore};
use axum::http::{Method, StatusCode, header};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::health::Check;
use super::{Api, router};
use crate::connections::{Bounds, Connections};
use crate::rig::Rig;
use crate::settings::Settings;
use crate::store::Store;

/// A server, for as long as this lives.
struct Server {
    store: Store,
    api: Api,
    runs: Arc<EmbeddedRunStore>,
    address: SocketAddr,
    serving: JoinHandle<()>,
    folder: tempfile::TempDir,
}

/// What was answered.
struct Answer {
    status: StatusCode,
    headers: axum::http::HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn items(&self) -> Vec<Value> {
        self.json()["items"].as_array().unwrap_or_else(|| panic!("no list: {}", self.text())).clone()
    }
}

impl Server {
    async fn start() -> Self {
        Self::with(|_| {}, Vec::new()).await
    }

    async fn with(set: impl FnOnce(&mut Settings), checks: Vec<Check>) -> Self {
        let runs = Arc::new(EmbeddedRunStore::default());
        let (folder, queue) = (tempfile::tempdir().unwrap(), Arc::new(EmbeddedQueue::default()));
        let Rig { conductor, store, credentials, settings, folder, .. } =
            Rig::open(folder, queue, runs.clone(), set).await;
        let api = Api::new(store.clone(), conductor, settings, credentials, checks);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = router(api.clone());
        let serving = tokio::spawn(async move {
            let connections = Connections::new(Bounds::of_this_process());
            connections.serve(listener, router, CancellationToken::new()).await;
        });
        Self { store, api, runs, address, serving, folder }
    }

    async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Option<Value>) -> Answer {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(connection);
        let mut request = axum::http::Request::builder().method(method).uri(path);
        if !headers.iter().any(|(name, _)| *name == "host") {
            request = request.header(header::HOST, self.address.to_string());
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let answer = sender.send_request(request.body(axum::body::Body::from(body)).unwrap()).await.unwrap();
        let (parts, body) = answer.into_parts();
        let body = axum::body::to_bytes(axum::body::Body::new(body), usize::MAX).await.unwrap().to_vec();
        connection.abort();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, &[], None).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.ask(Method::POST, path, &[], Some(body)).await
    }

    /// Reports a run. Gives its id.
    async fn run(&self) -> String {
        let id = uuid::Uuid::new_v4().to_string();
        let answer = self.post("/api/runs/", serde_json::json!({ "run_uuid": id })).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
        id
    }

    /// Reports a job of a run. Gives its id.
    async fn job(&self, run: &str) -> String {
        let answer = self.post("/api/jobs/", serde_json::json!({ "run_uuid": run, "job_associated_agent": 1 })).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
        answer.json()["job_uuid"].as_str().unwrap().to_owned()
    }

    /// Reports an event of a job.
    async fn event(&self, job: &str, content: &str) -> Value {
        let event = serde_json::json!({ "job_uuid": job, "event_content": content, "event_status": "Success" });
        let answer = self.post("/api/events/", event).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
        answer.json()
    }

    /// Has a run taken for one that is conducted here.
    async fn conduct(&self, run: &str) {
        let update =
            sqlx::query("UPDATE runs SET granted = '{}', status = 'Running' WHERE id = $1").bind(run.to_owned());
        update.execute(self.store.pool()).await.unwrap();
    }

    async fn stop(self) {
        self.api.close_links().await;
        self.serving.abort();
        self.api.conductor.close().await;
        self.api.close_watchers().await;
        self.store.close().await;
        drop(self.folder);
    }
}

/// An event to be stored.
fn report(run: &str, job: &str, content: &str) -> crate::store::views::ReportView {
    crate::store::views::ReportView {
        event_uuid: uuid::Uuid::new_v4(),
        run_uuid: run.parse().unwrap(),
        job_uuid: job.parse().unwrap(),
        attempt: 1,
        kind: "event".to_owned(),
        event_status: "info".to_owned(),
        event_content: content.to_owned(),
        attachment: None,
        event_datetime: jiff::Timestamp::UNIX_EPOCH,
        cursor: 0,
    }
}
