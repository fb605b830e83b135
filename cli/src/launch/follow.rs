//! Following a run on a server until it is over, as if it were one of this machine.
//!
//! What happens comes as a stream of numbered changes. When the stream breaks, it is taken up after the last number:
//! nothing is missed and nothing counted twice.

mod jobs;

use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use armada_orchestrator::http::{LaunchView, Problem};
use armada_orchestrator::store::views::{AgentView, RunStatus, RunView};
use armada_protocol::{AgentState, Change, RunId};
use futures::{SinkExt as _, StreamExt as _};
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use self::jobs::{ArtifactMessage, Jobs, Told};
use super::server::{CONNECTING, Server};
use crate::Ending;
use crate::console::{printable_line, progress};
use crate::run::plain;
use crate::run::{About, Show, Summary, TICK, shown};
use crate::signals::{Interruption, signal_that_came};

/// How long a stream may be silent: the server asks every 20 seconds whether anybody is there.
const SILENCE: Duration = Duration::from_secs(60);
/// How long to wait before a stream that broke is taken up again: this, and twice as long each time.
const AGAIN: Duration = Duration::from_millis(100);
/// The longest of these waits.
const AGAIN_LONGEST: Duration = Duration::from_secs(5);
/// How long the server may be away.
const AWAY: Duration = Duration::from_secs(600);
/// The number of SIGINT: what ends a run that is cancelled, elsewhere.
const INTERRUPT: u8 = 2;

/// A message of the stream.
#[derive(Deserialize)]
struct ChangeMessage {
    seq: Option<u64>,
    kind: String,
    data: Option<Box<RawValue>>,
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Shows a run until it is over; gives the run's ending. An interruption ends the following only.
pub(super) async fn follow(
    server: &Server,
    launched: &LaunchView,
    about: &About,
    json: bool,
    interruption: &Interruption,
) -> anyhow::Result<Ending> {
    let mut following = Following {
        run: about.run,
        seq: 0,
        jobs: Jobs::of(about.run),
        summary: Summary::new(about.jobs),
        show: shown(json),
        way: Way::Open,
        heard: Instant::now(),
        ended: None,
    };
    following.show.begin(about).context("standard output")?;
    let ended = tokio::select! {
        ended = following.until_the_end(server) => ended,
        () = interruption.gently.cancelled() => {
            let cancel = server.url(&launched.links.cancel);
            let goes_on = match following.way {
                Way::Open => "the run goes on",
                Way::Broken | Way::Away => "the server cannot be reached, and the run may go on",
            };
            let this = server.url(&launched.links.this);
            let reason = format!("no longer following: {goes_on}. See {this}, or end it with POST {cancel}");
            // Where this cannot be written, nothing can.
            let _ = following.show.ending(&reason);
            return Ok(Ending::Interrupted(signal_that_came().unwrap_or(INTERRUPT)));
        }
    };
    following.summary.finish(Instant::now());
    if let Some(reason) = following.ended.as_ref().and_then(|run| run.reason.as_ref()) {
        // Where this cannot be written, nothing can: that shows below.
        let _ = following.show.ending(&format!("the run ended early: {}", printable_line(reason)));
    }
    let shown = following.show.end(&following.summary, about).context("standard output");
    ended?;
    shown?;
    let Some(run) = following.ended else { bail!("the run was removed from the server") };
    Ok(match run.status {
        RunStatus::Succeeded => Ending::Done,
        RunStatus::Cancelled => Ending::Interrupted(INTERRUPT),
        _ => Ending::JobsFailed,
    })
}

struct Following {
    run: RunId,
    /// The number of the last change that was shown.
    seq: u64,
    jobs: Jobs,
    summary: Summary,
    show: Box<dyn Show>,
    way: Way,
    /// When the server was last heard.
    heard: Instant,
    ended: Option<RunView>,
}

/// How the way to the server is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Open,
    /// The stream has broken.
    Broken,
    /// It could not be taken up again, and that has been said.
    Away,
}

/// Why a stream ended.
enum Broken {
    /// It can be taken up again.
    Connection(anyhow::Error),
    /// It cannot.
    Failed(anyhow::Error),
}

impl Following {
    async fn until_the_end(&mut self, server: &Server) -> anyhow::Result<()> {
        let mut wait = AGAIN;
        loop {
            let heard = self.heard;
            match self.watch(server).await {
                Ok(()) => return Ok(()),
                Err(Broken::Failed(error)) => return Err(error),
                Err(Broken::Connection(error)) => {
                    if self.heard > heard {
                        wait = AGAIN;
                    }
                    if self.heard.elapsed() > AWAY {
                        return Err(error.context("the server is away; the run may go on without being followed"));
                    }
                    tracing::debug!("the stream of changes broke: {error:#}");
                }
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(AGAIN_LONGEST);
        }
    }

    /// Follows one stream to the end of the run, or of the stream.
    async fn watch(&mut self, server: &Server) -> Result<(), Broken> {
        let mut socket = match connect(server, self.run, self.seq).await {
            Ok(socket) => socket,
            Err(Broken::Connection(error)) => {
                if self.way != Way::Away {
                    self.way = Way::Away;
                    say(&format!("the server cannot be reached: trying again ({error:#})"));
                }
                return Err(Broken::Connection(error));
            }
            Err(failed) => return Err(failed),
        };
        if self.way == Way::Away {
            say("the server is back: following the run again");
        }
        (self.way, self.heard) = (Way::Open, Instant::now());
        let followed = self.listen(server, &mut socket).await;
        self.way = Way::Broken;
        followed
    }

    async fn listen(&mut self, server: &Server, socket: &mut Socket) -> Result<(), Broken> {
        let mut ticks = tokio::time::interval(TICK);
        loop {
            let message = tokio::select! {
                message = socket.next() => message,
                _ = ticks.tick() => {
                    self.show.tick(&self.summary);
                    if self.heard.elapsed() > SILENCE {
                        return Err(Broken::Connection(anyhow!("the server is silent")));
                    }
                    continue;
                }
            };
            let Some(message) = message else { return Err(closed()) };
            let message = message.map_err(|error| Broken::Connection(error.into()))?;
            self.heard = Instant::now();
            match message {
                Message::Text(text) if self.take(server, &text).await.map_err(Broken::Failed)? => {
                    // The run is over, whether or not the server hears good-bye.
                    let _ = tokio::time::timeout(TICK, socket.close(None)).await;
                    return Ok(());
                }
                Message::Text(_) => {}
                // Answers are sent with what is read next.
                Message::Ping(_) => socket.flush().await.map_err(|error| Broken::Connection(error.into()))?,
                Message::Close(_) => return Err(closed()),
                _ => {}
            }
        }
    }

    /// Shows what happened. Says whether the run is over.
    async fn take(&mut self, server: &Server, text: &str) -> anyhow::Result<bool> {
        let unreadable = "the server says something that this version cannot read: update it";
        let message: ChangeMessage = serde_json::from_str(text).context(unreadable)?;
        if message.kind == "forgotten" {
            tracing::warn!("the server does not keep any more how the run began: what is counted here begins later");
        }
        let (Some(seq), Some(data)) = (message.seq, message.data) else { return Ok(false) };
        if seq <= self.seq {
            return Ok(false);
        }
        self.seq = seq;
        let data = data.get();
        let change = match message.kind.as_str() {
            "agent" => agent_change(serde_json::from_str(data).context(unreadable)?),
            "job" => match self.jobs.job(serde_json::from_str(data).context(unreadable)?) {
                Told::Nothing => None,
                Told::Change(change) => Some(change),
                Told::Again(attempt) => Some(Change::Retried(attempt, server.outcome(&attempt).await)),
            },
            "report" => self.jobs.report(serde_json::from_str(data).context(unreadable)?),
            "artifact" => {
                let message: ArtifactMessage = serde_json::from_str(data).context(unreadable)?;
                let path = server.artifact(message.job_uuid, &message.name);
                self.jobs.artifact(message, path);
                None
            }
            "run" => {
                let run: RunView = serde_json::from_str(data).context(unreadable)?;
                let is_over = run.status.has_ended();
                self.ended = is_over.then_some(run);
                return Ok(is_over);
            }
            "run_deleted" => return Ok(true),
            _ => None,
        };
        if let Some(change) = change {
            self.summary.count(&change);
            self.show.change(&change, &self.summary).context("standard output")?;
        }
        Ok(false)
    }
}

fn closed() -> Broken {
    Broken::Connection(anyhow!("the server closed the stream"))
}

async fn connect(server: &Server, run: RunId, after: u64) -> Result<Socket, Broken> {
    let request = server.changes(run, after).map_err(Broken::Failed)?;
    match tokio::time::timeout(CONNECTING, connect_async(request)).await {
        Ok(Ok((socket, _))) => Ok(socket),
        Ok(Err(SocketError::Http(answer))) if answer.status() == StatusCode::UNAUTHORIZED => {
            Err(Broken::Failed(server.unknown()))
        }
        // It is there, and does not want to.
        Ok(Err(SocketError::Http(answer))) if answer.status().is_client_error() => {
            let problem = answer.body().as_ref().and_then(|body| serde_json::from_slice::<Problem>(body).ok());
            let said = problem.map_or_else(|| answer.status().to_string(), |problem| problem.detail);
            Err(Broken::Failed(anyhow!("the run cannot be followed: the server says: {said}")))
        }
        Ok(Err(error)) => Err(Broken::Connection(error.into())),
        Err(_) => Err(Broken::Connection(anyhow!("the server did not answer"))),
    }
}

fn agent_change(view: AgentView) -> Option<Change> {
    let state = match view.state.as_str() {
        "Opening" => AgentState::Opening,
        "Open" => AgentState::Open,
        "Closed" => AgentState::Closed,
        "Lost" => AgentState::Failed { message: "lost: it was not heard of any more".to_owned() },
        _ => AgentState::Failed { message: view.message.unwrap_or_default() },
    };
    Some(Change::Agent { index: u32::try_from(view.agent).ok()?, state })
}

/// Says something that is no part of the run, on standard error, above what is shown of it.
fn say(line: &str) {
    progress().suspend(|| plain::say(&printable_line(line)));
}
