//! A server, as `armada launch` speaks to it.
//!
//! What can be repeated without harm is repeated when the connection breaks or the server is busy; every request ends.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow, ensure};
use armada_orchestrator::http::{LaunchView, Problem};
use armada_orchestrator::inputs::LaunchOptions;
use armada_project::{Component, ComponentRef, Digest};
use armada_protocol::{Attempt, Cause, JobError, Outcome, RunId};
use futures::stream;
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::multipart::{Form, Part};
use reqwest::{Body, Client, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::io::AsyncReadExt as _;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::client::Request as SocketRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use uuid::Uuid;

use crate::console::progress;

/// How long a connection may take to be there.
pub(super) const CONNECTING: Duration = Duration::from_secs(10);
/// How long an answer may take to a question.
const ANSWER: Duration = Duration::from_secs(60);
/// How long an upload may take.
const UPLOAD: Duration = Duration::from_secs(3600);
/// How often a launch is sent at most.
const ATTEMPTS: u32 = 4;
/// How long to wait before the second of them; before each further one, twice as long.
const AGAIN: Duration = Duration::from_millis(500);
/// How much is sent at once.
const CHUNK: usize = 256 << 10;

/// A server.
pub(super) struct Server {
    base: String,
    token: Option<String>,
    client: Client,
}

/// What is launched.
pub(super) struct Launching<'a> {
    /// The folder that has `config`.
    pub(super) folder: &'a Path,
    /// The tune file that is sent.
    pub(super) tune: &'static str,
    pub(super) options: LaunchOptions,
    pub(super) component: ComponentRef,
}

/// The attempts at a job.
#[derive(Deserialize)]
struct Attempts {
    items: Vec<AttemptMessage>,
}

/// An attempt.
#[derive(Deserialize)]
struct AttemptMessage {
    attempt: u32,
    error: Option<JobError>,
}

impl AttemptMessage {
    /// Without an error, the agent has handed the job back.
    fn outcome(self) -> Outcome {
        self.error.map_or(Outcome::Cancelled, |error| Outcome::Failed { error })
    }
}

impl Server {
    /// The server at a URL.
    pub(super) fn new(url: &str) -> anyhow::Result<Self> {
        let parsed: Url = url.parse().with_context(|| format!("--server {url}"))?;
        ensure!(
            matches!(parsed.scheme(), "http" | "https") && parsed.query().is_none() && parsed.fragment().is_none(),
            "--server {url}: expected a URL such as http://127.0.0.1:8080"
        );
        let base = parsed.as_str().trim_end_matches('/').to_owned();
        let token = std::env::var("ARMADA_TOKEN").ok().filter(|token| !token.is_empty());
        let client = Client::builder().connect_timeout(CONNECTING).build()?;
        Ok(Self { base, token, client })
    }

    /// The URL of a path on it.
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Whether it has a component.
    pub(super) async fn has(&self, digest: Digest) -> anyhow::Result<bool> {
        let asked = self.client.get(self.url(&format!("/api/components/{digest}"))).timeout(ANSWER);
        let answer = self.send(asked).await?;
        match answer.status() {
            StatusCode::OK => Ok(true),
            StatusCode::NOT_FOUND => {
                // So says a server of ours, with a problem.
                let problem: Result<Problem, _> = answer.json().await;
                problem.map(|_| false).map_err(|_| anyhow!("{} is not an Armada server", self.base))
            }
            _ => Err(self.refusal(answer).await),
        }
    }

    /// Sends it a component, showing how far that has come.
    pub(super) async fn put(&self, component: &Component) -> anyhow::Result<()> {
        let ComponentRef { digest, size } = component.reference();
        let bar = progress().add(ProgressBar::new(size));
        let template =
            "sending the component {bar:20.green} {binary_bytes}/{binary_total_bytes}  {binary_bytes_per_sec}";
        bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
        let chunks: Vec<Vec<u8>> = component.bytes().chunks(CHUNK).map(<[u8]>::to_vec).collect();
        let told = bar.clone();
        let body = Body::wrap_stream(stream::iter(chunks.into_iter().map(move |chunk| {
            told.inc(chunk.len() as u64);
            Ok::<_, std::io::Error>(chunk)
        })));
        let request = self.client.put(self.url(&format!("/api/components/{digest}"))).timeout(UPLOAD);
        let request = request.header("content-type", "application/wasm").header("content-length", size).body(body);
        let sent = self.send(request).await;
        bar.finish_and_clear();
        let answer = sent?;
        if answer.status().is_success() { Ok(()) } else { Err(self.refusal(answer).await) }
    }

    /// Launches a run. Sent again, it is the same run.
    pub(super) async fn launch(&self, launching: &Launching<'_>) -> anyhow::Result<LaunchView> {
        let key = RunId::new().to_string();
        let mut wait = AGAIN;
        for attempt in 1.. {
            let request = self.client.post(self.url("/bot/start")).timeout(UPLOAD).header("idempotency-key", &key);
            let tried = self.send(request.multipart(form(launching).await?)).await;
            match tried {
                Ok(answer) if answer.status().is_success() => return read(answer).await,
                Ok(answer) if answer.status() != StatusCode::SERVICE_UNAVAILABLE || attempt == ATTEMPTS => {
                    return Err(self.refusal(answer).await);
                }
                Err(error) if attempt == ATTEMPTS => return Err(error),
                _ => {}
            }
            tokio::time::sleep(wait).await;
            wait *= 2;
        }
        Err(anyhow!("{} does not answer", self.base))
    }

    /// The request for the stream of what happens to a run, after a change that is known.
    pub(super) fn changes(&self, run: RunId, after: u64) -> anyhow::Result<SocketRequest> {
        let url = self.url(&format!("/api/changes?run={run}&after={after}"));
        // `http` becomes `ws`, and `https` becomes `wss`.
        let mut request = url.replacen("http", "ws", 1).into_client_request()?;
        if let Some(token) = &self.token {
            let value = HeaderValue::from_str(&format!("Bearer {token}")).context("ARMADA_TOKEN is no token")?;
            request.headers_mut().insert("authorization", value);
        }
        Ok(request)
    }

    /// How an attempt went after which a job gets another.
    pub(super) async fn outcome(&self, attempt: &Attempt) -> Outcome {
        let unknown = "its agent ended, and the server did not say how it went";
        match self.attempts(attempt.job).await.map(|list| list.items) {
            Ok(attempts) => attempts
                .into_iter()
                .find(|made| made.attempt == attempt.number)
                .map_or(Outcome::failed(Cause::Agent, unknown), AttemptMessage::outcome),
            Err(error) => {
                tracing::debug!("attempts of job {}: {error:#}", attempt.index);
                Outcome::failed(Cause::Agent, unknown)
            }
        }
    }

    async fn attempts(&self, job: Uuid) -> anyhow::Result<Attempts> {
        let asked = self.client.get(self.url(&format!("/api/jobs/{job}/attempts"))).timeout(ANSWER);
        let answer = self.send(asked).await?;
        if answer.status().is_success() { read(answer).await } else { Err(self.refusal(answer).await) }
    }

    /// Where a file is that a job has kept.
    pub(super) fn artifact(&self, job: Uuid, name: &str) -> String {
        let folder = self.url(&format!("/api/jobs/{job}/artifacts"));
        let Ok(mut url) = folder.parse::<Url>() else { return folder };
        // What a URL cannot have as it is, such as a space, is escaped.
        if let Ok(mut path) = url.path_segments_mut() {
            path.push(name);
        }
        url.into()
    }

    /// Why a server refused something.
    async fn refusal(&self, answer: Response) -> anyhow::Error {
        let status = answer.status();
        match answer.json::<Problem>().await {
            Ok(_) if status == StatusCode::UNAUTHORIZED => self.unknown(),
            Ok(problem) if problem.mistakes.is_empty() => anyhow!("the server says: {}", problem.detail),
            Ok(problem) => problem.into(),
            Err(_) => anyhow!("the server answered {status}: is it an Armada server?"),
        }
    }

    /// The server does not know who asks.
    pub(super) fn unknown(&self) -> anyhow::Error {
        match self.token {
            None => anyhow!("the server asks for a token: set ARMADA_TOKEN to the one that it was started with"),
            Some(_) => {
                anyhow!("the token in ARMADA_TOKEN is not the server's: set it to the one that it was started with")
            }
        }
    }

    async fn send(&self, request: RequestBuilder) -> anyhow::Result<Response> {
        let request = match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        request.send().await.map_err(|error| match error.is_connect() {
            true => anyhow!(error.without_url()).context(format!(
                "there is no server at {}: start one with `armada serve`, or name another with --server",
                self.base
            )),
            false => anyhow!(error.without_url()).context(format!("{} did not answer", self.base)),
        })
    }
}

async fn read<T: DeserializeOwned>(answer: Response) -> anyhow::Result<T> {
    answer.json().await.map_err(|error| anyhow!(error.without_url()).context("the server's answer cannot be read"))
}

/// What a launch is sent as.
async fn form(launching: &Launching<'_>) -> anyhow::Result<Form> {
    let mut form = Form::new()
        .text("options", serde_json::to_string(&launching.options)?)
        .text("component_digest", launching.component.digest.to_string());
    for (part, file) in [
        ("configtemplate", "config/config_template.json"),
        ("configtune", launching.tune),
        ("data_job", "config/data_job.csv"),
        ("data_agent", "config/data_agent.csv"),
    ] {
        let path = launching.folder.join(file);
        let opened = match tokio::fs::File::open(&path).await {
            Ok(opened) => opened,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        };
        let size = opened.metadata().await?.len();
        form = form.part(part, Part::stream_with_length(contents(opened), size).file_name(file));
    }
    Ok(form)
}

/// What a file holds, read as it is sent.
fn contents(file: tokio::fs::File) -> Body {
    Body::wrap_stream(stream::try_unfold(file, async |mut file| {
        let mut chunk = vec![0; CHUNK];
        let read = file.read(&mut chunk).await?;
        chunk.truncate(read);
        Ok::<_, std::io::Error>((read > 0).then_some((chunk, file)))
    }))
}
