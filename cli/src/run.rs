//! `armada run`: a run on this machine, shown as it goes and summed up when it is over.
//!
//! One task launches the run and tells what happens; this one writes results and shows it. What is kept in memory of a
//! run does not grow with its jobs. However it ends, it ends in this order: agents, results, what is shown, temporary
//! files. With `--watch` there is one run after the other, each made from the folder as it is then.

pub(crate) mod json;
mod live;
pub(crate) mod plain;
pub(crate) mod prepare;
mod results;
pub(crate) mod summary;
pub(crate) mod temp;
mod watch;

use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use armada_orchestrator::agents::AgentCommand;
use armada_orchestrator::launch::{LaunchRequest, RunEnd, Stores, launch};
use armada_project::{Grant, Project};
use armada_protocol::{Change, RunId};
use tokio::sync::mpsc;

use self::json::Json;
pub(crate) use self::json::with;
use self::live::Live;
use self::plain::Plain;
use self::results::{Places, Results};
pub(crate) use self::summary::Summary;
use self::temp::Temp;
use self::watch::Saves;
use crate::Ending;
use crate::args::{BrowserArguments, Run};
use crate::commands::compile;
use crate::console::progress;
use crate::mistakes::{tell_notes, tell_refusals};
use crate::places;
use crate::signals::{self, Interruption};

/// How many changes may wait to be shown before the run waits.
pub(crate) const CHANGES: usize = 1_024;
/// How often what depends on the time is shown anew.
pub(crate) const TICK: Duration = Duration::from_millis(500);
/// How long what is left of a run that ended at once may take to be dropped: its agents are killed by that.
pub(crate) const DROPPING: Duration = Duration::from_secs(5);

/// What is said when a signal asks a run to end.
pub(crate) const ENDING: &str =
    "ending: jobs in progress and agents have a moment to end in order (Ctrl-C again ends them at once)";

/// A way of showing a run. Only one that writes for machines can fail: elsewhere, nobody looks.
pub(crate) trait Show {
    /// The run begins.
    fn begin(&mut self, about: &About) -> io::Result<()>;
    /// Something has happened.
    fn change(&mut self, change: &Change, summary: &Summary) -> io::Result<()>;
    /// Time has passed.
    fn tick(&mut self, _summary: &Summary) {}
    /// The run is asked to end.
    fn ending(&mut self, reason: &str) -> io::Result<()>;
    /// The run is over.
    fn end(&mut self, summary: &Summary, about: &About) -> io::Result<()>;
}

/// What a run is.
pub(crate) struct About {
    pub(crate) run: RunId,
    pub(crate) project: String,
    pub(crate) agents: u32,
    pub(crate) jobs: u64,
    /// Where its results go.
    pub(crate) results: String,
    pub(crate) verbose: bool,
}

/// How a run is shown: for machines, on a terminal, or in lines.
pub(crate) fn shown(json: bool) -> Box<dyn Show> {
    if json {
        Box::new(Json)
    } else if io::stderr().is_terminal() {
        Box::new(Live::new(progress().clone(), plain::say))
    } else {
        Box::new(Plain::default())
    }
}

pub(crate) fn run(arguments: &Run) -> anyhow::Result<Ending> {
    if arguments.watch { watch::run(arguments) } else { once(arguments, None) }
}

/// One run, from the project's folder to its summary. It ends early when something is saved.
fn once(arguments: &Run, mut saves: Option<&mut Saves>) -> anyhow::Result<Ending> {
    let project = Project::open(&arguments.project.project)?;
    let configuration = project.resolve(arguments.layers.mode, &arguments.layers.overrides())?;
    let grant = Grant::new(configuration.sandbox(), &arguments.ceiling.open()?);
    let stores = Stores::embedded(arguments.inventory.open()?);
    let places = Places::new(arguments.output.as_deref(), arguments.artifacts.as_deref())?;
    ensure!(
        places.results.is_some() || !arguments.json,
        "--output - and --json both write to standard output: give one of them"
    );
    prepare::check_display(&arguments.browser)?;
    if !arguments.json {
        tell_notes(configuration.notes());
    }
    let component = compile(&project, &arguments.cache, false)?;
    if !arguments.json {
        tell_refusals(&component, &grant);
    }
    prepare::check(&component, &grant, &arguments.browser)?;
    let mut results = Results::open(&places)?;
    // From here on there is something to end in order.
    let interruption = signals::in_order();
    let temp = Temp::new()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let cache = places::cache(&arguments.cache)?;
    let compiled = runtime.block_on(prepare::compile(&component, cache, temp.path(), &interruption))?;
    let ended = match compiled {
        // What was compiled is out of date already.
        Some(_) if saves.as_mut().is_some_and(|saves| saves.are_there()) => Ok(Ending::Done),
        Some(cache) => {
            let run = RunId::new();
            let request = LaunchRequest {
                run,
                configuration,
                component: component.into_bytes(),
                grant,
                artifacts: Some(places.artifacts.join(run.to_string())),
                agent: agent_command(&arguments.browser, temp.path(), &cache)?,
                tests: None,
            };
            let about = About {
                run,
                project: project.name().to_owned(),
                agents: request.agents(),
                jobs: request.jobs(),
                results: places.describe(),
                verbose: arguments.verbose,
            };
            let mut show = shown(arguments.json);
            runtime.block_on(drive(request, stores, &about, &mut results, &mut *show, &interruption, saves))
        }
        None => Ok(signals::interrupted(signals::signal_that_came().unwrap_or_default())),
    };
    runtime.shutdown_timeout(DROPPING);
    ended
}

/// Runs, shows, and writes results, until the run is over. When results cannot be written or something is saved, the
/// run ends in order.
async fn drive(
    request: LaunchRequest,
    stores: Stores,
    about: &About,
    results: &mut Results,
    show: &mut dyn Show,
    interruption: &Interruption,
    mut saves: Option<&mut Saves>,
) -> anyhow::Result<Ending> {
    let (changes, mut heard) = mpsc::channel(CHANGES);
    let mut summary = Summary::new(about.jobs);
    show.begin(about).context("standard output")?;
    let cancel = interruption.gently.child_token();
    let kill = interruption.at_once.clone();
    let running = tokio::spawn(launch(request, stores, changes, cancel.clone(), kill));
    let mut ticks = tokio::time::interval(TICK);
    let mut is_told = false;
    let mut failure: Option<anyhow::Error> = None;
    let mut saved = None;
    loop {
        let change = tokio::select! {
            biased;
            () = cancel.cancelled(), if !is_told => {
                is_told = true;
                let reason = match (&failure, &saved) {
                    (Some(error), _) => format!("ending: {error:#}"),
                    (None, Some(saved)) => format!("ending: {saved}"),
                    (None, None) => ENDING.to_owned(),
                };
                // Where this cannot be written, nothing can: that shows at the end.
                let _ = show.ending(&reason);
                continue;
            }
            what = until_saved(&mut saves), if saved.is_none() => {
                saved = Some(what);
                cancel.cancel();
                continue;
            }
            change = heard.recv() => change,
            _ = ticks.tick() => {
                show.tick(&summary);
                continue;
            }
        };
        let Some(change) = change else { break };
        summary.count(&change);
        if failure.is_none()
            && let Err(error) = tell(&change, &summary, results, show)
        {
            failure = Some(error);
            cancel.cancel();
        }
    }
    let ended = running.await;
    summary.finish(Instant::now());
    let shown = show.end(&summary, about).context("standard output");
    if let Some(error) = failure {
        return Err(error);
    }
    if let Some(signal) = signals::signal_that_came() {
        return Ok(Ending::Interrupted(signal));
    }
    shown?;
    match ended? {
        Ok(RunEnd::Drained) if summary.failed() == 0 => Ok(Ending::Done),
        Ok(_) => Ok(Ending::JobsFailed),
        Err(error) => Err(error.into()),
    }
}

/// Waits until something is saved: for ever, if nobody watches for that.
async fn until_saved(saves: &mut Option<&mut Saves>) -> String {
    match saves {
        Some(saves) => saves.wait().await,
        None => std::future::pending().await,
    }
}

/// Writes a job that has ended, and shows what has happened.
fn tell(change: &Change, summary: &Summary, results: &mut Results, show: &mut dyn Show) -> anyhow::Result<()> {
    if let Change::Ended(record) = change {
        results.write(record)?;
    }
    show.change(change, summary).context("standard output")
}

/// This very program, as an agent.
pub(crate) fn agent_command(browser: &BrowserArguments, temp: &Path, cache: &Path) -> anyhow::Result<AgentCommand> {
    let mut command: Vec<OsString> =
        vec!["agent".into(), "--temp".into(), temp.into(), "--cache-dir".into(), cache.into()];
    if browser.headed {
        command.push("--headed".into());
    }
    if let Some(chromium) = &browser.chromium {
        command.extend(["--chromium".into(), chromium.into()]);
    }
    let program = std::env::current_exe().context("this program's own path")?;
    Ok(AgentCommand::new(program, command))
}
