//! The life of an agent: open the context, take jobs one at a time, close the context.
//!
//! An agent is a loop with three things that may end it: the run is over, the run is cancelled, or the agent itself
//! cannot go on. A fault of the script costs the job and the instance, never the agent: everything the script had is
//! closed, the browser stays, and the next job finds a new instance with its context opened again.

mod component;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use armada_project::AgentSettings;
use armada_protocol::{
    AgentRecord, AgentState, Attempt, Cause, Connections, Delivery, Incarnation, JobError, JobStore, Next, Outcome,
    ProtocolError, RunId, RunStore, Start, Stop,
};
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

use crate::capabilities::browser::BrowserOptions;
use crate::capabilities::{Capabilities, Life as _, Means, cut};
use crate::contract::{Failure, FailureKind};
use crate::engine::{ComponentCache, ComponentError, Sandbox, VerifyingKey};
use crate::instance::{Answer, Budget, Fault, Instance, Role, Template};

/// How long an agent waits for its record, and how often it looks.
const PREPARATION: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// How often an agent says that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(3);
/// How long a script has to end by itself once its job is cancelled.
const CANCELLATION: Duration = Duration::from_secs(5);
/// How much is told of why an agent context did not close, in bytes.
const LAST_WORDS: usize = 2_000;

/// What an agent is told when it is started.
#[derive(Clone, Debug)]
pub struct AgentOptions {
    /// The run that it works for.
    pub run: RunId,
    /// Which process of which of the run's agents it is.
    pub by: Incarnation,
    /// Where compiled components are kept.
    pub cache: ComponentCache,
    /// What the server with this key has signed need not be compiled again, if the cache does not have it.
    pub key: Option<VerifyingKey>,
    /// Which Chromium to launch; looked for when not given.
    pub chromium: Option<PathBuf>,
    /// Whether the browser has a window.
    pub headed: bool,
    /// Where temporary folders go.
    pub temp: PathBuf,
}

/// Why an agent could not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// The orchestrator, or a server between it and the agent, was away for too long, refused the agent, or makes no
    /// sense.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// The component cannot be run.
    #[error(transparent)]
    Component(#[from] ComponentError),
    /// The agent message has a mistake.
    #[error("the agent message: {0}")]
    Message(String),
    /// The agent context could not be opened.
    #[error("the agent context could not be opened: {0}")]
    Context(String),
    /// The script gave the agent up.
    #[error("the script gave this agent up: {0}")]
    Fatal(String),
}

/// How an agent's life ended.
#[derive(Debug)]
pub struct Lived {
    /// How many attempts at jobs it has begun.
    pub jobs_taken: u64,
    /// Why it could not go on, if it could not.
    pub ended: Result<(), AgentError>,
}

/// Runs an agent until its run is over. `shutdown` makes it hand its job back and end.
///
/// Whatever happens, nothing of it is left when this returns: contexts are closed and the browser has ended.
pub async fn run(
    sandbox: &Sandbox,
    options: AgentOptions,
    connections: Connections,
    shutdown: CancellationToken,
) -> Lived {
    let (run, jobs) = (options.run, connections.jobs.clone());
    let by = options.by;
    let mut jobs_taken = 0;
    let life = async {
        match Agent::new(sandbox, options, connections).await {
            Ok(mut agent) => {
                let ended = agent.work(shutdown, &mut jobs_taken).await;
                agent.close().await;
                ended
            }
            Err(error) => Err(error),
        }
    };
    let ended = tokio::select! {
        ended = life => ended,
        never = beat(&*jobs, run, by) => match never {},
    };
    let state = match &ended {
        Ok(()) => AgentState::Closed,
        Err(error) => AgentState::Failed { message: error.to_string() },
    };
    // Who does not answer any more cannot be told.
    let _ = jobs.agent(run, by, state).await;
    Lived { jobs_taken, ended }
}

/// The agent's record. An agent may be there before its run is prepared.
async fn record(runs: &dyn RunStore, run: RunId, index: u32) -> Result<AgentRecord, ProtocolError> {
    let begun = Instant::now();
    loop {
        match runs.agent(run, index).await {
            Err(ProtocolError::NotFound(_)) if begun.elapsed() < PREPARATION => tokio::time::sleep(LOOK_AGAIN).await,
            found => return found,
        }
    }
}

/// Says again and again that the agent is alive.
async fn beat(jobs: &dyn JobStore, run: RunId, by: Incarnation) -> std::convert::Infallible {
    loop {
        tokio::time::sleep(HEARTBEAT).await;
        // Whoever does not hear it takes the agent for dead; what it does about that is decided there.
        let _ = jobs.alive(run, by).await;
    }
}

struct Agent {
    run: RunId,
    by: Incarnation,
    connections: Connections,
    template: Template,
    capabilities: Arc<Capabilities>,
    /// The merged agent configuration, as text.
    message: String,
    job_budget: Budget,
    context_budget: Budget,
    instance: Option<Instance>,
}

/// What becomes of the agent after a job.
enum After {
    GoOn,
    /// The script gave it up.
    GiveUp(String),
}

impl Agent {
    async fn new(sandbox: &Sandbox, options: AgentOptions, connections: Connections) -> Result<Self, AgentError> {
        let (run, by) = (options.run, options.by);
        let index = by.agent;
        let record = record(&*connections.runs, run, index).await?;
        let component = component::load(sandbox, options.cache, options.key, &record, &*connections.runs).await?;
        let template = Template::new(sandbox, &component)?;
        let (settings, notes) = AgentSettings::from_message(&record.message).map_err(|problems| {
            AgentError::Message(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
        })?;
        for note in notes {
            tracing::debug!("{note}");
        }
        let grant = Arc::new(record.grant);
        let limits = grant.limits();
        let cpu = seconds(limits.cpu_seconds_per_job);
        let job_budget = Budget { cpu, wall: seconds(limits.seconds_per_job), limit: "seconds_per_job" };
        let context_budget = Budget { cpu, wall: seconds(limits.seconds_per_context), limit: "seconds_per_context" };
        let browser = BrowserOptions { executable: options.chromium, headed: options.headed, temp: options.temp };
        let lender = connections.lender.clone();
        let means =
            Means { run, by, grant, settings: &settings, options: &browser, lent: lender.lent(run, by).await?, lender };
        let capabilities = Arc::new(Capabilities::new(&means).map_err(AgentError::Message)?);
        capabilities.traffic.use_template(&template, &capabilities).map_err(AgentError::Message)?;
        let message = serde_json::to_string(&record.message).map_err(|error| AgentError::Message(error.to_string()))?;
        Ok(Self { run, by, connections, template, capabilities, message, job_budget, context_budget, instance: None })
    }

    /// Takes jobs, and counts them, until there is a reason not to.
    async fn work(&mut self, shutdown: CancellationToken, taken: &mut u64) -> Result<(), AgentError> {
        let jobs = self.connections.jobs.clone();
        let stopped = jobs.stopped(self.run);
        tokio::pin!(stopped);
        let mut consumer = self.connections.queue.consume(self.run, self.by.agent).await?;
        loop {
            if self.instance.is_none() {
                jobs.agent(self.run, self.by, AgentState::Opening).await?;
                tokio::select! {
                    opened = self.open() => opened?,
                    _ = &mut stopped => return Ok(()),
                    () = shutdown.cancelled() => return Ok(()),
                }
                jobs.agent(self.run, self.by, AgentState::Open).await?;
            }
            let delivery = tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                // A run that is over, or whose link has ended, leaves nothing to do.
                _ = &mut stopped => return Ok(()),
                delivery = consumer.next() => delivery?,
            };
            let Some(Delivery { tag, job }) = delivery else { return Ok(()) };
            let attempt = loop {
                match jobs.start(self.run, &job, self.by).await? {
                    Start::Attempt(attempt) => break Some(attempt),
                    Start::Ended | Start::Elsewhere => break None,
                    Start::Paused { ask_again_ms } => tokio::select! {
                        () = shutdown.cancelled() => return Ok(()),
                        _ = &mut stopped => return Ok(()),
                        () = tokio::time::sleep(Duration::from_millis(ask_again_ms.clamp(10, 60_000))) => {}
                    },
                }
            };
            let Some(attempt) = attempt else {
                consumer.acknowledge(tag).await?;
                continue;
            };
            *taken += 1;
            let cancelled = async {
                tokio::select! {
                    stop = &mut stopped => !matches!(stop, Ok(Stop::Cancelled)),
                    () = shutdown.cancelled() => true,
                }
            };
            let (outcome, hand_back, after) = self.attempt(attempt, job.message, cancelled).await?;
            if hand_back {
                // The attempt stays open: whoever takes the job next closes it.
                consumer.requeue(tag).await?;
                return Ok(());
            }
            let is_cancelled = matches!(outcome, Outcome::Cancelled);
            match jobs.finish(attempt, outcome).await? {
                Next::Ended | Next::Later => consumer.acknowledge(tag).await?,
                Next::Again => consumer.requeue(tag).await?,
            }
            match after {
                _ if is_cancelled => return Ok(()),
                After::GiveUp(message) => return Err(AgentError::Fatal(message)),
                After::GoOn => {}
            }
            if self.capabilities.browser.is_due().await {
                // What the agent context has open in the browser goes with it.
                self.close_context().await;
                self.capabilities.browser.close().await;
            }
        }
    }

    /// Makes an attempt. Gives its outcome; whether the job is to be handed back instead, because this agent ends; and
    /// what becomes of the agent.
    async fn attempt(
        &mut self,
        attempt: Attempt,
        message: Box<RawValue>,
        cancelled: impl Future<Output = bool>,
    ) -> Result<(Outcome, bool, After), AgentError> {
        let monitoring = self.capabilities.monitoring.clone();
        self.capabilities.begin_job(attempt);
        let jobs = self.connections.jobs.clone();
        let over = CancellationToken::new();
        // Reports go out while the job runs; that some could not be sent counts once it has ended.
        let ((ended, stopped_by), sent) = tokio::join!(
            async {
                tokio::pin!(cancelled);
                let ended = tokio::select! {
                    biased;
                    hand_back = &mut cancelled => (Ok(Err(stopped())), Some(hand_back)),
                    prepared = self.capabilities.prepare_job(attempt) => match prepared {
                        Ok(()) => self.run_job(message.get().to_owned(), cancelled).await,
                        Err(failure) => (Ok(Err(failure)), None),
                    },
                };
                over.cancel();
                ended
            },
            monitoring.send_reports(&*jobs, &over)
        );
        let browser_died = self.capabilities.browser.has_died().await;
        let (outcome, after) = self.judge(ended, browser_died);
        let is_fault = self.instance.is_none();
        if self.capabilities.grant.limits().fresh_instance_per_job {
            self.close_context().await;
        }
        if !self.capabilities.end_job(is_fault).await {
            self.instance = None;
        }
        sent?;
        monitoring.finish_job(&*jobs).await?;
        match stopped_by {
            Some(true) => Ok((Outcome::Cancelled, true, After::GoOn)),
            Some(false) => Ok((Outcome::Cancelled, false, After::GoOn)),
            None => Ok((outcome, false, after)),
        }
    }

    /// Runs a job in the instance, which is gone after a fault. Says, too, whether the job was stopped, and whether it
    /// is to be handed back.
    async fn run_job(
        &mut self,
        message: String,
        cancelled: impl Future<Output = bool>,
    ) -> (Answer<String>, Option<bool>) {
        let Some(mut instance) = self.instance.take() else {
            let error =
                JobError { cause: Cause::NoAgent, message: "no instance is open".to_owned(), traceback: Vec::new() };
            return (Err(Fault(error)), None);
        };
        let over = CancellationToken::new();
        let (ended, stopped_by) = {
            let job = instance.run_job(message, self.job_budget, over.clone());
            tokio::pin!(job);
            tokio::select! {
                biased;
                ended = &mut job => (Some(ended), None),
                hand_back = cancelled => {
                    // The script's host calls end, and it has a moment to end by itself.
                    over.cancel();
                    (tokio::time::timeout(CANCELLATION, job).await.ok(), Some(hand_back))
                }
            }
        };
        match ended {
            Some(Ok(answer)) => {
                self.instance = Some(instance);
                (Ok(answer), stopped_by)
            }
            Some(Err(fault)) => (Err(fault), stopped_by),
            None => {
                let message = "the job did not end when it was cancelled".to_owned();
                (Err(Fault(JobError { cause: Cause::WallTime, message, traceback: Vec::new() })), stopped_by)
            }
        }
    }

    /// The outcome that an answer means, and what it means for the agent. An instance that is done for is dropped.
    fn judge(&mut self, ended: Answer<String>, browser_died: bool) -> (Outcome, After) {
        if browser_died {
            self.instance = None;
        }
        match ended {
            Ok(Ok(result)) => match RawValue::from_string(on_one_line(result)) {
                Ok(result) => (Outcome::Success { result }, After::GoOn),
                Err(error) => (Outcome::failed(Cause::Result, format!("the result is not JSON: {error}")), After::GoOn),
            },
            Ok(Err(failure)) if browser_died => (failed(Cause::Browser, failure), After::GoOn),
            Ok(Err(failure)) => match failure.kind {
                FailureKind::Failed => (failed(Cause::Failed, failure), After::GoOn),
                FailureKind::Retry => (failed(Cause::Retry, failure), After::GoOn),
                FailureKind::Fatal => {
                    let message = failure.message.clone();
                    (failed(Cause::Fatal, failure), After::GiveUp(message))
                }
            },
            Err(Fault(mut error)) => {
                if browser_died {
                    error.cause = Cause::Browser;
                } else if error.cause == Cause::Trap {
                    // A panic says why on standard error, before it traps.
                    self.capabilities.monitoring.flush_streams();
                    if let Some(message) = panic_message(&self.capabilities.monitoring.last_lines()) {
                        error.message = message;
                    }
                }
                (Outcome::Failed { error }, After::GoOn)
            }
        }
    }

    /// Makes an instance and opens the agent context in it.
    async fn open(&mut self) -> Result<(), AgentError> {
        let budget = self.context_budget;
        match tokio::time::timeout(budget.wall, self.capabilities.open()).await {
            Ok(opened) => opened.map_err(|error| AgentError::Context(error.into_message()))?,
            Err(_) => {
                let (seconds, limit) = (budget.wall.as_secs_f64(), budget.limit);
                let message = format!("it took longer than {seconds} s (run_message.sandbox.limits.{limit})");
                return Err(AgentError::Context(message));
            }
        }
        let opened = async {
            let mut instance = Instance::new(&self.template, self.capabilities.clone(), Role::Script, budget).await?;
            let answer = instance.open_agent(self.message.clone(), budget).await?;
            Ok::<_, Fault>((instance, answer))
        };
        match opened.await {
            Ok((instance, Ok(()))) => {
                self.instance = Some(instance);
                Ok(())
            }
            Ok((_, Err(failure))) => Err(AgentError::Context(with_places(&failure.message, &failure.traceback))),
            Err(Fault(error)) => {
                self.capabilities.monitoring.flush_streams();
                let message = panic_message(&self.capabilities.monitoring.last_lines());
                let message = message.unwrap_or_else(|| format!("{}: {}", error.cause.describe(), error.message));
                Err(AgentError::Context(with_places(&message, &error.traceback.join("\n"))))
            }
        }
    }

    /// Closes the agent context, if it is open.
    async fn close_context(&mut self) {
        let Some(mut instance) = self.instance.take() else { return };
        let why = match instance.close_agent(self.context_budget).await {
            Ok(Ok(())) => return,
            Ok(Err(failure)) => failure.message,
            Err(Fault(error)) => error.message,
        };
        // These are the script's words: they are no lines of their own in the operator's log, and not all of a book.
        tracing::warn!("the agent context did not close: {}", cut(why.lines().next().unwrap_or_default(), LAST_WORDS));
    }

    /// Closes the agent context and everything that it had.
    async fn close(&mut self) {
        self.close_context().await;
        self.capabilities.close().await;
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

/// What is said of a job that has not begun.
fn stopped() -> Failure {
    let message = "the job was stopped before its script ran".to_owned();
    Failure { kind: FailureKind::Failed, message, traceback: String::new() }
}

fn failed(cause: Cause, failure: Failure) -> Outcome {
    let traceback = failure.traceback.lines().map(str::to_owned).collect();
    Outcome::Failed { error: JobError { cause, message: failure.message, traceback } }
}

/// The same JSON on one line. Only between its tokens can JSON have line ends as they are.
fn on_one_line(json: String) -> String {
    if json.contains(['\n', '\r']) { json.replace(['\n', '\r'], " ") } else { json }
}

/// A message with the places that it comes from.
fn with_places(message: &str, traceback: &str) -> String {
    traceback.lines().fold(message.to_owned(), |text, place| format!("{text}\n  at {place}"))
}

/// What a panic said, from the last lines of the log: `thread '…' panicked at ctx_script.rs:3:5:` and what follows.
fn panic_message(lines: &[String]) -> Option<String> {
    let start = lines.iter().rposition(|line| line.contains("panicked at "))?;
    let place = lines.get(start)?.split_once("panicked at ")?.1.trim_end_matches(':');
    let said: Vec<&str> = lines
        .iter()
        .skip(start + 1)
        .map(String::as_str)
        .take_while(|line| !line.starts_with("note: run with"))
        .collect();
    Some(format!("panicked at {place}: {}", said.join("\n")).trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_on_one_line_and_means_the_same() {
        let json = "[\n{\"a\": \"x\\ny\"},\r\n7\n]";
        let line = on_one_line(json.to_owned());
        assert!(!line.contains(['\n', '\r']), "{line}");
        let value = |json: &str| serde_json::from_str::<serde_json::Value>(json).unwrap();
        assert_eq!(value(&line), value(json));
    }

    #[test]
    fn a_panic_is_told_with_its_place_and_words() {
        let lines = [
            "before",
            "",
            "thread '<unnamed>' (1) panicked at ctx_script.rs:7:5:",
            "no price",
            "on the page",
            "note: run with `RUST_BACKTRACE=1`",
        ];
        let lines = lines.map(str::to_owned);
        assert_eq!(panic_message(&lines).unwrap(), "panicked at ctx_script.rs:7:5: no price\non the page");
        assert_eq!(panic_message(&lines[..2]), None);
    }
}
