//! Everything that happens, as it happens: `/api/changes`, a WebSocket.
//!
//! Messages come in the order of their numbers, none twice, and whoever comes back with the last number has missed
//! nothing: what was before comes from the store. Who is slow is told how much was left out of the stream, and then
//! gets it from the store as well; who does not read at all is dropped. The server never waits for either.

use std::time::Duration;

use armada_protocol::RunId;
use axum::Router;
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::Api;
use super::extract::{Failures, Params};
use super::problem::Problem;
use crate::store::{Store, StoreError, StoredChange};

/// How long a client may take to take a message.
const SEND: Duration = Duration::from_secs(10);
/// How often a client is asked whether it is there.
const PING: Duration = Duration::from_secs(20);
/// How long a client may be silent.
const SILENCE: Duration = Duration::from_secs(60);
/// How long a client may take to take what happened last, when the server ends.
const FAREWELL: Duration = Duration::from_secs(5);
/// How many changes are read from the store at once.
const AT_ONCE: u64 = 200;
/// How many bytes a client may say: it has nothing to say.
const RECEIVED: usize = 4 * 1024;
/// How many clients may watch at the same time.
pub(super) const WATCHERS: usize = 1_000;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(watch))
}

/// The same under the path of the system that Armada succeeds.
pub(super) fn unlisted() -> Router<Api> {
    Router::new().route("/api/events/ws", axum::routing::get(watch))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct WatchParams {
    /// The number of the last change that is known: what came after it comes first. Without it, what happens from now
    /// on.
    after: Option<u64>,
    /// Only what happens to this run.
    run: Option<Uuid>,
}

/// A message of the stream.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ChangeMessage {
    /// The change's number. To come back, give the last one as `after`.
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    /// The run that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    run_uuid: Option<Uuid>,
    /// `run`, `agent`, `job`, `report`, `artifact`, `run_deleted`; `watching`, first: from `seq` on nothing is missing;
    /// `lagged`: what follows comes late; `forgotten`: what came up to `seq` is not all kept any more, so look at how
    /// things are.
    kind: &'static str,
    /// The thing, as its own path shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    data: Option<Box<RawValue>>,
    /// How many changes were too many to be told as they happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    missed: Option<u64>,
}

/// Everything that happens, as text messages of a WebSocket.
#[utoipa::path(get, path = "/api/changes", tag = "changes", operation_id = "watch_changes", params(WatchParams), responses(
    (status = 101, description = "A WebSocket; each text message is a change", body = ChangeMessage),
    (status = 426, description = "It is a WebSocket", body = Problem, content_type = "application/problem+json"), Failures))]
async fn watch(
    State(api): State<Api>,
    Params(params): Params<WatchParams>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let upgrade = upgrade.map_err(|rejection| {
        let detail = format!("this is a WebSocket: {}", rejection.body_text());
        Problem::new(StatusCode::UPGRADE_REQUIRED, detail)
    })?;
    if let Some(run) = params.run {
        may_be_told_of(&api.store, run, params.after).await?;
    }
    let Some(counted) = api.watchers.admit() else {
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too many clients are watching: try again later"));
    };
    let upgrade = upgrade.max_message_size(RECEIVED).max_frame_size(RECEIVED);
    Ok(upgrade.on_upgrade(move |socket| async move {
        let _counted = counted;
        let closing = api.watchers.closing.clone();
        let mut watcher = Watcher { socket, store: api.store, run: params.run, last: 0, heard: Instant::now() };
        let farewell = async {
            closing.cancelled().await;
            tokio::time::sleep(FAREWELL).await;
        };
        let why = tokio::select! {
            ended = watcher.run(params.after, &closing) => ended,
            () = farewell => Err(Gone::Closing),
        };
        if let Err(gone) = why {
            watcher.close(gone).await;
        }
    }))
}

/// Refuses a run that never was: it is not there, nor is it kept that it was removed, nor may that be forgotten.
async fn may_be_told_of(store: &Store, run: Uuid, after: Option<u64>) -> Result<(), StoreError> {
    let missing = match store.run(RunId(run)).await {
        Err(missing @ StoreError::NotFound(_)) => missing,
        found => return found.map(drop),
    };
    let is_kept = !store.changes_after(0, Some(run), 1).await?.is_empty();
    let is_forgotten = match after {
        Some(after) => store.forgotten_after(after, Some(run)).await?.is_some(),
        None => false,
    };
    if is_kept || is_forgotten { Ok(()) } else { Err(missing) }
}

/// Why a client watches no more.
enum Gone {
    /// It went.
    Left,
    /// It does not read, or does not answer.
    Silent,
    /// The server ends.
    Closing,
    /// What happened cannot be read.
    Store(StoreError),
}

impl From<StoreError> for Gone {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

struct Watcher {
    socket: WebSocket,
    store: Store,
    run: Option<Uuid>,
    /// The number of the last change that was looked at.
    last: u64,
    /// When the client last said anything.
    heard: Instant,
}

impl Watcher {
    async fn run(&mut self, after: Option<u64>, closing: &CancellationToken) -> Result<(), Gone> {
        // What happens while the store is read is in both.
        let mut changes = self.store.watch();
        let stored = self.store.last_seq();
        self.last = after.unwrap_or(stored).min(stored);
        let watching =
            ChangeMessage { seq: Some(self.last), run_uuid: self.run, kind: "watching", data: None, missed: None };
        self.send(&watching).await?;
        if after.is_some() {
            self.catch_up().await?;
        }
        self.follow(&mut changes, closing).await
    }

    async fn follow(&mut self, changes: &mut Receiver<StoredChange>, closing: &CancellationToken) -> Result<(), Gone> {
        let mut ping = tokio::time::interval(PING);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                change = changes.recv() => match change {
                    Ok(change) => self.tell(&change).await?,
                    Err(RecvError::Lagged(missed)) => {
                        let missed = Some(missed);
                        let lagged =
                            ChangeMessage { seq: None, run_uuid: self.run, kind: "lagged", data: None, missed };
                        self.send(&lagged).await?;
                        self.catch_up().await?;
                    }
                    Err(RecvError::Closed) => return Err(Gone::Closing),
                },
                () = closing.cancelled() => {
                    self.catch_up().await?;
                    return Err(Gone::Closing);
                }
                said = self.socket.recv() => match said {
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(Gone::Left),
                    Some(Ok(_)) => self.heard = Instant::now(),
                },
                _ = ping.tick() => {
                    if self.heard.elapsed() > SILENCE {
                        return Err(Gone::Silent);
                    }
                    self.pass(Message::Ping(Default::default())).await?;
                }
            }
        }
    }

    /// Tells what is stored since the last change.
    async fn catch_up(&mut self) -> Result<(), Gone> {
        if let Some(seq) = self.store.forgotten_after(self.last, self.run).await? {
            let (seq, kind) = (Some(seq), "forgotten");
            self.send(&ChangeMessage { seq, run_uuid: self.run, kind, data: None, missed: None }).await?;
        }
        loop {
            let changes = self.store.changes_after(self.last, self.run, AT_ONCE).await?;
            let is_all = (changes.len() as u64) < AT_ONCE;
            for change in &changes {
                self.tell(change).await?;
            }
            if is_all {
                // It has taken all that: it is there.
                self.heard = Instant::now();
                return Ok(());
            }
        }
    }

    async fn tell(&mut self, change: &StoredChange) -> Result<(), Gone> {
        if change.seq <= self.last {
            return Ok(());
        }
        self.last = change.seq;
        // A report of which the rest is gone is gone.
        if change.body.is_empty() || self.run.is_some_and(|run| run != change.run) {
            return Ok(());
        }
        let data = RawValue::from_string(change.body.to_string()).map_err(StoreError::from)?;
        let (seq, run_uuid) = (Some(change.seq), Some(change.run));
        self.send(&ChangeMessage { seq, run_uuid, kind: change.kind, data: Some(data), missed: None }).await
    }

    async fn send(&mut self, message: &ChangeMessage) -> Result<(), Gone> {
        let text = serde_json::to_string(message).map_err(StoreError::from)?;
        self.pass(Message::Text(Utf8Bytes::from(text))).await
    }

    async fn pass(&mut self, message: Message) -> Result<(), Gone> {
        match tokio::time::timeout(SEND, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Gone::Left),
            Err(_) => Err(Gone::Silent),
        }
    }

    /// Says good-bye, if there is anybody who hears it.
    async fn close(&mut self, gone: Gone) {
        let (code, reason) = match gone {
            Gone::Left | Gone::Silent => return,
            Gone::Closing => (close_code::AWAY, "the server ends: come back with the last number"),
            Gone::Store(error) => {
                tracing::error!(%error, "changes could not be read");
                (close_code::ERROR, "the store is not available: come back with the last number")
            }
        };
        let frame = axum::extract::ws::CloseFrame { code, reason: reason.into() };
        // Whether it arrives makes no difference.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.socket.send(Message::Close(Some(frame)))).await;
    }
}
