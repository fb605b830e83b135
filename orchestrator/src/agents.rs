//! Agents as processes of this machine: started, watched, started again, and ended.
//!
//! A process of its own keeps what goes wrong in one agent (a crash, a kill, the kernel's memory killer) from every other
//! one. Each has a link to this process as its standard input; when either side dies, the other one notices at once, so
//! a dead agent's job is taken by another, and no agent outlives its orchestrator.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use armada_protocol::{AgentState, JobQueue, JobStore, RunId, RunStore, link};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};

/// How many times in a row an agent may end without having taken any job before it is given up. One that dies in a job may
/// be started as often as jobs have attempts.
const FRUITLESS_STARTS: u32 = 3;
/// How long to wait before starting an agent again: this, and twice as long each time.
const RESTART: Duration = Duration::from_millis(100);
/// How long an agent has to end once it was told to; its script, its browser and itself.
const ENDING: Duration = Duration::from_secs(20);

/// How an agent's process is started.
#[derive(Clone, Debug)]
pub struct AgentCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments; `--run` and `--index` come after them.
    pub arguments: Vec<OsString>,
}

/// What an agent is connected to.
#[derive(Clone)]
pub(crate) struct Served {
    pub(crate) run: RunId,
    pub(crate) queue: Arc<dyn JobQueue>,
    pub(crate) runs: Arc<dyn RunStore>,
    pub(crate) jobs: Arc<dyn JobStore>,
}

/// Keeps an agent going until its run is over. Gives the reason if it had to be given up before.
pub(crate) async fn keep(command: AgentCommand, served: Served, index: u32) -> Result<(), String> {
    let stopped = served.jobs.stopped(served.run);
    tokio::pin!(stopped);
    let mut fruitless = 0;
    loop {
        let life = live(&command, &served, index);
        tokio::pin!(life);
        let (ended, over) = tokio::select! {
            ended = &mut life => (ended, false),
            _ = &mut stopped => (life.await, true),
        };
        let life = ended.unwrap_or_else(|error| Life {
            has_worked: false,
            has_told: false,
            reason: format!("the agent could not be started: {error}"),
        });
        if life.has_worked {
            fruitless = 0;
        }
        let reason = life.reason;
        if over {
            return Ok(());
        }
        fruitless += 1;
        if !life.has_told {
            let state = AgentState::Failed { message: reason.clone() };
            // The ledger of a run is there as long as its agents are.
            let _ = served.jobs.agent(served.run, index, state).await;
        }
        if fruitless >= FRUITLESS_STARTS {
            return Err(reason);
        }
        tracing::info!(agent = index, %reason, "starting the agent again");
        tokio::select! {
            () = tokio::time::sleep(RESTART * 2_u32.saturating_pow(fruitless)) => {}
            _ = &mut stopped => return Ok(()),
        }
    }
}

/// How a process ended.
struct Life {
    /// It has taken a job.
    has_worked: bool,
    /// The agent has told the reason itself.
    has_told: bool,
    reason: String,
}

/// One process, from start to end.
async fn live(command: &AgentCommand, served: &Served, index: u32) -> std::io::Result<Life> {
    let (ours, theirs) = UnixStream::pair()?;
    let mut child = start(command, served.run, index, theirs)?;
    let printed = child.stderr.take();
    let printing = async move {
        let mut last = String::new();
        if let Some(printed) = printed {
            let mut lines = BufReader::new(printed).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                tracing::debug!(target: "armada::agent", agent = index, "{line}");
                last = line;
            }
        }
        last
    };
    let serving = link::serve(ours, served.run, index, served.queue.clone(), served.runs.clone(), served.jobs.clone());
    let stopped = served.jobs.stopped(served.run);
    let waiting = async {
        // Once the run is over, the process ends by itself, or is made to.
        tokio::select! {
            status = child.wait() => return status,
            _ = stopped => {}
        }
        match tokio::time::timeout(ENDING, child.wait()).await {
            Ok(status) => status,
            Err(_) => {
                tracing::warn!(agent = index, "the agent did not end; killing it");
                child.kill().await?;
                child.wait().await
            }
        }
    };
    // The link ends with the process. What the process had printed comes to an end, too.
    let (status, served, last) = tokio::join!(waiting, serving, printing);
    let status = status?;
    let served = served.unwrap_or_default();
    let has_told = served.failure.is_some();
    let reason = match (served.failure, status.success()) {
        (Some(failure), _) => failure,
        (None, true) => "the agent ended".to_owned(),
        (None, false) if last.is_empty() => format!("the agent died ({status})"),
        (None, false) => format!("the agent died ({status}): {last}"),
    };
    Ok(Life { has_worked: served.jobs_taken > 0, has_told, reason })
}

fn start(command: &AgentCommand, run: RunId, index: u32, link: UnixStream) -> std::io::Result<Child> {
    // Non-blocking is of the socket, not of the descriptor: the agent's runtime expects it so, too.
    let link: OwnedFd = link.into_std()?.into();
    let mut process = std::process::Command::new(&command.program);
    process.args(&command.arguments).arg("--run").arg(run.to_string()).arg("--index").arg(index.to_string());
    process.stdin(Stdio::from(link)).stdout(Stdio::null()).stderr(Stdio::piped());
    // A group of its own: Ctrl-C in the terminal is for the orchestrator, which then ends its agents in order.
    std::os::unix::process::CommandExt::process_group(&mut process, 0);
    Command::from(process).kill_on_drop(true).spawn()
}
