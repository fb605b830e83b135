//! `armada launch`: a project, or a bundle of one, on a server.
//!
//! Whatever is wrong is found here, before anything is sent: the lines concerned are at hand. The server gets the
//! component if it does not have it, and then the launch, which can be repeated without launching twice.

mod follow;
mod server;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use armada_orchestrator::http::LaunchView;
use armada_orchestrator::inputs::LaunchOptions;
use armada_project::{Bundle, BundleLimits, Component, Configuration, Note, Project};
use armada_protocol::RunId;
use serde_json::json;
use tempfile::TempDir;

use self::follow::follow;
use self::server::{Launching, Server};
use crate::Ending;
use crate::args::{Launch, LayerArguments};
use crate::commands::compile;
use crate::console::{Style, paint, printable_line};
use crate::mistakes::tell_notes;
use crate::run::json::print;
use crate::run::{About, DROPPING, with};
use crate::signals;

/// What is launched.
struct Source {
    name: String,
    /// Where `config` is.
    folder: PathBuf,
    configuration: Configuration,
    component: Component,
    /// What a bundle was unpacked to.
    _unpacked: Option<TempDir>,
}

impl Source {
    fn open(arguments: &Launch) -> anyhow::Result<Self> {
        let path = &arguments.project;
        if path.is_file() { Self::of_bundle(path, &arguments.layers) } else { Self::of_project(arguments) }
    }

    fn of_project(arguments: &Launch) -> anyhow::Result<Self> {
        let project = Project::open(&arguments.project)?;
        let configuration = project.resolve(arguments.layers.mode, &arguments.layers.overrides())?;
        let component = compile(&project, &arguments.cache, false)?;
        let (name, folder) = (project.name().to_owned(), project.root().to_owned());
        Ok(Self { name, folder, configuration, component, _unpacked: None })
    }

    fn of_bundle(path: &Path, layers: &LayerArguments) -> anyhow::Result<Self> {
        let shown = || path.display().to_string();
        let unpacked = tempfile::tempdir().context("a folder for the bundle")?;
        let folder = unpacked.path().to_owned();
        let file = std::fs::File::open(path).with_context(shown)?;
        let bundle = Bundle::unpack(file, &folder, &BundleLimits::default()).with_context(shown)?;
        let component = Component::read(std::fs::read(folder.join("component.wasm"))?).with_context(shown)?;
        let configuration = Configuration::resolve(&folder, layers.mode, &layers.overrides())?;
        let name = bundle.name().to_owned();
        Ok(Self { name, folder, configuration, component, _unpacked: Some(unpacked) })
    }

    /// How it is to be launched. What comes from the environment goes over what is given otherwise.
    fn options(&self, layers: &LayerArguments) -> LaunchOptions {
        let mut set: serde_json::Map<_, _> = layers.set.iter().cloned().collect();
        set.extend(layers.set_env.iter().map(|(name, text)| (name.clone(), text.as_str().into())));
        let project = Some(self.name.clone());
        LaunchOptions { project, mode: Some(layers.mode), agents: layers.agents, jobs: layers.jobs, set }
    }
}

pub(crate) fn launch(arguments: &Launch) -> anyhow::Result<Ending> {
    let server = Server::new(&arguments.server)?;
    let source = Source::open(arguments)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let ended = runtime.block_on(async {
        let launched = send(&server, &source, &arguments.layers).await?;
        tell(&server, &source, &launched, arguments.json)?;
        if !arguments.follow {
            return Ok(Ending::Done);
        }
        let about = About {
            run: RunId(launched.run_id),
            project: source.name.clone(),
            agents: source.configuration.number_of_agents(),
            jobs: source.configuration.number_of_jobs(),
            results: server.url(&format!("{}/results", launched.links.this)),
            verbose: false,
        };
        follow(&server, &launched, &about, arguments.json, &signals::in_order()).await
    });
    runtime.shutdown_timeout(DROPPING);
    ended
}

/// Sends the component, if the server does not have it, and the launch.
async fn send(server: &Server, source: &Source, layers: &LayerArguments) -> anyhow::Result<LaunchView> {
    if !server.has(source.component.reference().digest).await? {
        server.put(&source.component).await?;
    }
    let launching = Launching {
        folder: &source.folder,
        tune: layers.mode.tune_file(),
        options: source.options(layers),
        component: source.component.reference(),
    };
    server.launch(&launching).await
}

/// Says which run it is, and what it is not allowed.
fn tell(server: &Server, source: &Source, launched: &LaunchView, json: bool) -> anyhow::Result<()> {
    if json {
        let what = json!({"type": "launched", "server": server.url("")});
        return print(&with(what, serde_json::to_value(launched)?)).context("standard output");
    }
    let refused = launched.capabilities.iter().filter(|report| !report.granted).map(|report| Note {
        about: format!("the script uses `{}`", report.capability),
        message: report.message.clone(),
    });
    tell_notes(source.configuration.notes());
    tell_notes(&refused.collect::<Vec<_>>());
    let mut out = std::io::stdout().lock();
    let name = printable_line(&source.name);
    writeln!(out, "{} {name} as run {}", paint("launched", Style::Good), launched.run_id)?;
    let links = &launched.links;
    for (what, method, path) in [
        ("run", "", &links.this),
        ("jobs", "", &links.jobs),
        ("events", "", &links.events),
        ("cancel", "POST ", &links.cancel),
    ] {
        writeln!(out, "  {what:<8} {method}{}", printable_line(&server.url(path)))?;
    }
    Ok(())
}
