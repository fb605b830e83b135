//! Agents as processes of this machine: started, watched, started again, and ended.
//!
//! A process of its own keeps what goes wrong in one agent (a crash, a kill, the kernel's memory killer) from every
//! other one. Each has a link to this process as its standard input; when either side dies, the other one notices at
//! once, so a dead agent's job is taken by another, and no agent outlives its orchestrator.

pub(crate) mod keep;
mod printed;

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use armada_protocol::link::{self, Allowance, Peer};
use armada_protocol::{AgentState, Connections, Incarnation, RunId};
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use self::keep::{Life, is_over, keep, run_is_over};
use self::printed::Printed;

/// How long an agent has, beside closing its context, to end once it was told to: its script, its browser and itself.
const ENDING: Duration = Duration::from_secs(20);
/// How many agents are being opened at the same time for each processor of this machine: compiled code is loaded, a
/// browser started and a context opened, all of which wait as much as they compute.
const OPENING_PER_PROCESSOR: usize = 2;

/// How an agent's process is started.
#[derive(Clone, Debug)]
pub struct AgentCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments; `--run` and `--index` come after them.
    pub arguments: Vec<OsString>,
    /// What is put into its environment: secrets, which arguments would show to everybody on the machine.
    pub environment: Vec<(OsString, OsString)>,
    /// What is taken out of its environment.
    pub not_inherited: Vec<OsString>,
}

impl AgentCommand {
    /// A program with these arguments, in this process's environment.
    pub fn new(program: PathBuf, arguments: Vec<OsString>) -> Self {
        Self { program, arguments, environment: Vec::new(), not_inherited: Vec::new() }
    }
}

/// The agents of a run.
pub(crate) struct Agents {
    run: RunId,
    command: AgentCommand,
    connections: Connections,
    /// A turn for each agent that may be opening at the same time: a thousand at once would stall the machine.
    turns: Arc<Semaphore>,
    /// How long an agent has to end once it was told to.
    ending: Duration,
    /// Whether any of them has ever been open.
    has_opened: AtomicBool,
    printed: Printed,
}

impl Agents {
    /// Agents whose contexts may take this long to close.
    pub(crate) fn new(run: RunId, command: AgentCommand, connections: Connections, context: Duration) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            run,
            command,
            connections,
            turns: Arc::new(Semaphore::new(OPENING_PER_PROCESSOR * processors)),
            ending: context.saturating_add(ENDING),
            has_opened: AtomicBool::new(false),
            printed: Printed::default(),
        }
    }

    /// Keeps an agent going until its run is over, or `shutdown` has it hand back its job and end. Gives the reason if
    /// it had to be given up before.
    pub(crate) async fn keep(self: Arc<Self>, index: u32, shutdown: CancellationToken) -> Result<(), String> {
        let over = is_over(&*self.connections.jobs, self.run, &shutdown);
        keep(index, over, async |over| {
            let turn = over.run_until_cancelled(self.turns.clone().acquire_owned()).await;
            let Some(Ok(turn)) = turn else { return Life::not_begun("its run is over".to_owned()) };
            match self.live(index, turn, &shutdown).await {
                Ok(life) => life,
                Err(error) => Life::not_begun(format!("the agent could not be started: {error}")),
            }
        })
        .await
    }

    /// One process, from start to end. The turn is over once the agent is open, or never will be.
    async fn live(
        self: &Arc<Self>,
        index: u32,
        turn: OwnedSemaphorePermit,
        shutdown: &CancellationToken,
    ) -> std::io::Result<Life> {
        let (ours, theirs) = UnixStream::pair()?;
        let mut child = start(&self.command, self.run, index, theirs)?;
        let printing = self.printed.pass_on(index, child.stderr.take());
        let turn = Mutex::new(Some(turn));
        let agents = self.clone();
        let told = move |state: &AgentState| {
            agents.has_opened.fetch_or(*state == AgentState::Open, Ordering::Relaxed);
            if *state != AgentState::Opening {
                turn.lock().unwrap_or_else(PoisonError::into_inner).take();
            }
        };
        let jobs = self.connections.jobs.clone();
        let by = Incarnation::new(index);
        let peer = Peer { run: self.run, by, allowance: Allowance::own() };
        let serving = link::serve(ours, peer, self.connections.clone(), told);
        let over = run_is_over(&*jobs, self.run);
        let waiting = async {
            // Once the run is over, the process ends by itself, or is made to.
            tokio::select! {
                status = child.wait() => return status,
                () = over => {}
                () = shutdown.cancelled() => terminate(&child),
            }
            match tokio::time::timeout(self.ending, child.wait()).await {
                Ok(status) => status,
                Err(_) => {
                    tracing::warn!(
                        "agent {index} did not end when it was told to: it was killed, with its context open"
                    );
                    child.start_kill()?;
                    child.wait().await
                }
            }
        };
        // The link ends with the process. What the process had printed comes to an end, too.
        let (status, served, complaint) = tokio::join!(waiting, serving, printing);
        let status = status?;
        let served = served.unwrap_or_default();
        let has_told = served.failure.is_some();
        let reason = match (served.failure, status.success(), complaint) {
            (Some(failure), ..) => failure,
            (None, true, _) => "the agent ended".to_owned(),
            (None, false, None) => format!("the agent died ({status})"),
            (None, false, Some(complaint)) => format!("the agent died ({status}): {complaint}"),
        };
        if !served.has_closed && !has_told {
            // The ledger of a run is there as long as its agents are.
            let _ = jobs.agent(self.run, by, AgentState::Died { message: reason.clone() }).await;
        }
        // What no agent could ever do, this one will not do the next time either; a process that died may.
        let is_hopeless = has_told && !self.has_opened.load(Ordering::Relaxed);
        Ok(Life { has_worked: served.jobs_taken > 0, is_hopeless, reason })
    }
}

impl Life {
    /// One that has not begun, for this reason.
    fn not_begun(reason: String) -> Self {
        Self { has_worked: false, is_hopeless: false, reason }
    }
}

/// Asks a process to end in order.
fn terminate(child: &Child) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid
        && let Err(error) = kill_process(pid, Signal::TERM)
    {
        tracing::debug!(%error, "an agent has ended by itself");
    }
}

fn start(command: &AgentCommand, run: RunId, index: u32, link: UnixStream) -> std::io::Result<Child> {
    // Non-blocking is of the socket, not of the descriptor: the agent's runtime expects it so, too.
    let link: OwnedFd = link.into_std()?.into();
    let mut process = std::process::Command::new(&command.program);
    process.args(&command.arguments).arg("--run").arg(run.to_string()).arg("--index").arg(index.to_string());
    for name in &command.not_inherited {
        process.env_remove(name);
    }
    process.envs(command.environment.iter().map(|(name, value)| (name, value)));
    process.stdin(Stdio::from(link)).stdout(Stdio::null()).stderr(Stdio::piped());
    // A group of its own: Ctrl-C in the terminal is for the orchestrator, which then ends its agents in order.
    std::os::unix::process::CommandExt::process_group(&mut process, 0);
    Command::from(process).kill_on_drop(true).spawn()
}

#[cfg(test)]
mod tests {
    use armada_protocol::{Inventory, RunOptions};
    use tokio::sync::mpsc;
    use tokio::task::JoinSet;

    use super::*;
    use crate::launch::Stores;

    /// Agents that are a shell script.
    async fn agents(
        script: &str,
        argument: &std::path::Path,
    ) -> (Arc<Agents>, mpsc::Receiver<armada_protocol::Change>) {
        let (run, stores) = (RunId::new(), Stores::embedded(Inventory::default()));
        let (changes, heard) = mpsc::channel(1_000);
        stores.queue.declare(run).await.unwrap();
        stores.jobs.open(run, RunOptions { attempts_per_job: 1, artifacts: None, changes }).await.unwrap();
        let command = AgentCommand::new("sh".into(), vec!["-c".into(), script.into(), argument.into()]);
        (Arc::new(Agents::new(run, command, stores.connections(), Duration::ZERO)), heard)
    }

    #[tokio::test]
    async fn only_a_few_agents_are_opened_at_the_same_time() {
        let folder = tempfile::tempdir().unwrap();
        let told = folder.path().join("told");
        let (agents, _heard) = agents("echo begin >>\"$0\"; sleep 0.05; echo end >>\"$0\"; exit 3", &told).await;
        let most = agents.turns.available_permits();
        let mut keeping = JoinSet::new();
        for index in 0..u32::try_from(2 * most).unwrap() {
            keeping.spawn(agents.clone().keep(index, CancellationToken::new()));
        }
        assert!(keeping.join_all().await.iter().all(Result::is_err));
        let (mut now, mut peak) = (0, 0);
        for line in std::fs::read_to_string(&told).unwrap().lines() {
            now = if line == "begin" { now + 1 } else { now - 1 };
            peak = peak.max(now);
        }
        assert!((1..=most).contains(&peak), "{peak} of {most}");
    }

    #[tokio::test]
    async fn an_agent_that_dies_is_started_again_and_what_it_warned_of_is_not_why() {
        let folder = tempfile::tempdir().unwrap();
        let told = folder.path().join("told");
        let script = "echo begin >>\"$0\"; echo ' WARN running as root' >&2; kill -9 $$";
        let (agents, _heard) = agents(script, &told).await;
        assert_eq!(agents.keep(0, CancellationToken::new()).await.unwrap_err(), "the agent died (signal: 9 (SIGKILL))");
        assert_eq!(std::fs::read_to_string(&told).unwrap().lines().count(), 3);
    }
}
