//! Following a run on a server until it is over, as if it were one of this machine.
//!
//! What happens comes as a stream of numbered changes. When the stream breaks, it is taken up after the last number: nothing is
//! missed and nothing counted twice.

use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use armada_orchestrator::http::{LaunchView, Problem};
use armada_orchestrator::store::views::{AgentView, JobStatus, JobView, RunStatus, RunView};
use armada_protocol::{AgentState, Attempt, Cause, Change, JobError, JobRecord, Outcome, RunId, Status};
use futures::{SinkExt as _, StreamExt as _};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::server::{CONNECTING, Server};
use crate::Ending;
use crate::console::printable_line;
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
    let mut following =
        Following { run: about.run, seq: 0, summary: Summary::new(about.jobs), show: shown(json), ended: None };
    following.show.begin(about).context("standard output")?;
    let ended = tokio::select! {
        ended = following.until_the_end(server) => ended,
        () = interruption.gently.cancelled() => {
            let cancel = server.url(&launched.links.cancel);
            let reason = format!(
                "no longer following: the run goes on. See {}, or end it with POST {cancel}",
                server.url(&launched.links.this)
            );
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
    summary: Summary,
    show: Box<dyn Show>,
    ended: Option<RunView>,
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
        let mut last_seen = Instant::now();
        loop {
            let seq = self.seq;
            match self.watch(server).await {
                Ok(()) => return Ok(()),
                Err(Broken::Failed(error)) => return Err(error),
                Err(Broken::Connection(error)) => {
                    if self.seq > seq {
                        (wait, last_seen) = (AGAIN, Instant::now());
                    }
                    if last_seen.elapsed() > AWAY {
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
        let mut socket = connect(server, self.run, self.seq).await?;
        let mut ticks = tokio::time::interval(TICK);
        let mut heard = Instant::now();
        loop {
            let message = tokio::select! {
                message = socket.next() => message,
                _ = ticks.tick() => {
                    self.show.tick(&self.summary);
                    if heard.elapsed() > SILENCE {
                        return Err(Broken::Connection(anyhow!("the server is silent")));
                    }
                    continue;
                }
            };
            heard = Instant::now();
            match message {
                Some(Ok(Message::Text(text))) => {
                    if self.take(&text).map_err(Broken::Failed)? {
                        // The run is over, whether or not the server hears good-bye.
                        let _ = tokio::time::timeout(TICK, socket.close(None)).await;
                        return Ok(());
                    }
                }
                // Answers are sent with what is read next.
                Some(Ok(Message::Ping(_))) => {
                    socket.flush().await.map_err(|error| Broken::Connection(error.into()))?;
                }
                Some(Ok(Message::Close(_))) | None => {
                    return Err(Broken::Connection(anyhow!("the server closed the stream")));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(Broken::Connection(error.into())),
            }
        }
    }

    /// Shows what happened. Says whether the run is over.
    fn take(&mut self, text: &str) -> anyhow::Result<bool> {
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
            "job" => job_change(self.run, serde_json::from_str(data).context(unreadable)?),
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

async fn connect(server: &Server, run: RunId, after: u64) -> Result<Socket, Broken> {
    let request = server.changes(run, after).map_err(Broken::Failed)?;
    match tokio::time::timeout(CONNECTING, connect_async(request)).await {
        Ok(Ok((socket, _))) => Ok(socket),
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

/// What has happened to a job that is so now.
fn job_change(run: RunId, view: JobView) -> Option<Change> {
    let agent = view.job_associated_agent.and_then(|agent| u32::try_from(agent).ok());
    let number = u32::try_from(view.attempts).unwrap_or(u32::MAX);
    let attempt = || Some(Attempt { run, job: view.job_uuid, index: view.index, number, agent: agent? });
    let error = view.error.as_ref().and_then(|error| serde_json::from_str::<JobError>(error.get()).ok());
    let status = match view.job_status {
        JobStatus::Waiting if number > 0 => {
            let unknown = || JobError {
                cause: Cause::Agent,
                message: "its agent ended, and did not say how it went".to_owned(),
                traceback: Vec::new(),
            };
            return Some(Change::Retried(attempt()?, Outcome::Failed { error: error.unwrap_or_else(unknown) }));
        }
        JobStatus::Waiting | JobStatus::Queued => return None,
        JobStatus::Running => {
            let progress = view.progress.as_ref().and_then(|progress| serde_json::from_str(progress.get()).ok());
            return Some(match progress {
                Some(progress) => Change::Progress(attempt()?, progress),
                None => Change::Started(attempt()?),
            });
        }
        JobStatus::Success => Status::Success,
        JobStatus::Failed => Status::Failed,
        JobStatus::Cancelled => Status::Cancelled,
    };
    Some(Change::Ended(Box::new(JobRecord {
        index: view.index,
        uuid: view.job_uuid,
        status,
        result: view.result,
        error,
        attempts: number,
        agent,
        started: view.started_at,
        finished: view.finished_at?,
        events: Vec::new(),
        log: Vec::new(),
        artifacts: Vec::new(),
    })))
}
