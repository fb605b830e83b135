//! `armada run`: a run on this machine, shown as it goes and summed up when it is over.
//!
//! One task launches the run and tells what happens; this one writes results and shows it. What is kept in memory of a run
//! does not grow with its jobs.

mod live;
mod plain;
mod results;
mod summary;

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context as _;
use armada_orchestrator::agents::AgentCommand;
use armada_orchestrator::launch::{LaunchRequest, RunEnd, Stores, launch};
use armada_project::{Grant, Project};
use armada_protocol::{Change, RunId};
use tokio::sync::mpsc;

use self::live::Live;
use self::plain::{Json, Plain};
use self::results::Results;
use self::summary::Summary;
use crate::Ending;
use crate::args::Run;
use crate::commands::{ceiling, compile};
use crate::mistakes::{in_form, tell_notes};
use crate::places;
use crate::signals::Interruption;

/// How many changes may wait to be shown before the run waits.
const CHANGES: usize = 1_024;

/// A way of showing a run.
trait Show {
    /// The run begins.
    fn begin(&mut self, about: &About);
    /// Something has happened.
    fn change(&mut self, change: &Change, summary: &Summary);
    /// The run is asked to end.
    fn ending(&mut self);
    /// The run is over.
    fn end(&mut self, summary: &Summary, about: &About);
}

/// What a run is.
struct About {
    run: RunId,
    project: String,
    agents: u32,
    jobs: u64,
    output: PathBuf,
    verbose: bool,
}

pub(crate) fn run(arguments: &Run) -> anyhow::Result<Ending> {
    let project = in_form(Project::open(&arguments.project.project), arguments.json)?;
    let configuration = in_form(project.resolve(arguments.layers.mode, &arguments.layers.overrides()), arguments.json)?;
    let grant = Grant::new(configuration.sandbox(), &ceiling(&arguments.ceiling, arguments.json)?);
    check_display(arguments)?;
    if !arguments.json {
        tell_notes(configuration.notes());
    }
    let component = compile(&project)?;
    let run = RunId::new();
    let results = Results::create(&arguments.output)?;
    let artifacts = match &arguments.artifacts {
        Some(folder) => folder.clone(),
        None => arguments.output.parent().unwrap_or(Path::new("")).join("artifacts"),
    };
    // Everything that the agents put on the disk goes here, and goes with this.
    let temp = tempfile::Builder::new().prefix("armada-").tempdir().context("a folder for temporary files")?;
    let about = About {
        run,
        project: project.name().to_owned(),
        agents: configuration.number_of_agents(),
        jobs: configuration.number_of_jobs(),
        output: arguments.output.clone(),
        verbose: arguments.verbose,
    };
    let request = LaunchRequest {
        run,
        configuration,
        component: component.into_bytes(),
        grant,
        artifacts: Some(artifacts.join(run.to_string())),
        agent: agent_command(arguments, temp.path())?,
    };
    let show: Box<dyn Show> = if arguments.json {
        Box::new(Json::default())
    } else if std::io::stderr().is_terminal() {
        Box::new(Live::default())
    } else {
        Box::new(Plain::default())
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(drive(request, about, results, show));
    // Where a second signal came, agents may still be ending: what they have open closes with this process.
    runtime.shutdown_background();
    ended
}

/// Runs, shows, and writes results, until the run is over.
async fn drive(
    request: LaunchRequest,
    about: About,
    mut results: Results,
    mut show: Box<dyn Show>,
) -> anyhow::Result<Ending> {
    let interruption = Interruption::listen()?;
    let (changes, mut heard) = mpsc::channel(CHANGES);
    let mut summary = Summary::new(about.jobs);
    show.begin(&about);
    let running = tokio::spawn(launch(request, Stores::embedded(), changes, interruption.gently.clone()));
    let mut told = false;
    loop {
        let change = tokio::select! {
            change = heard.recv() => change,
            () = interruption.gently.cancelled(), if !told => {
                told = true;
                show.ending();
                continue;
            }
            () = interruption.at_once.cancelled() => {
                running.abort();
                break;
            }
        };
        let Some(change) = change else { break };
        if let Change::Ended(record) = &change {
            results.write(record)?;
        }
        summary.count(&change);
        show.change(&change, &summary);
    }
    let ended = running.await;
    results.finish()?;
    summary.finish(Instant::now());
    show.end(&summary, &about);
    if let Some(signal) = interruption.signal() {
        return Ok(Ending::Interrupted(signal));
    }
    match ended? {
        Ok(RunEnd::Drained) if summary.failed() == 0 => Ok(Ending::Done),
        Ok(_) => Ok(Ending::JobsFailed),
        Err(error) => Err(error.into()),
    }
}

/// A window needs somewhere to be.
fn check_display(arguments: &Run) -> anyhow::Result<()> {
    let has_display = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some());
    anyhow::ensure!(
        !arguments.headed || has_display || cfg!(target_os = "macos"),
        "--headed needs a display, and neither DISPLAY nor WAYLAND_DISPLAY is set: leave it out, or run under xvfb-run"
    );
    Ok(())
}

/// This very program, as an agent.
fn agent_command(arguments: &Run, temp: &Path) -> anyhow::Result<AgentCommand> {
    let mut command: Vec<OsString> = vec!["agent".into(), "--temp".into(), temp.into()];
    command.extend(["--cache-dir".into(), places::component_cache(&arguments.cache)?.parent().unwrap_or(temp).into()]);
    if arguments.headed {
        command.push("--headed".into());
    }
    if let Some(chromium) = &arguments.chromium {
        command.extend(["--chromium".into(), chromium.into()]);
    }
    let program = std::env::current_exe().context("this program's own path")?;
    Ok(AgentCommand { program, arguments: command })
}
