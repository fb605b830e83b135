//! The arguments of the command. What is written here is its `--help`.

use std::path::PathBuf;

use armada_project::{Language, Mode, Overrides};
use clap::{Args, Parser, Subcommand, ValueEnum};

/// Runs browser-automation projects in a sandbox, in parallel, each agent with a real Chromium.
///
/// A project is a folder: a script (`ctx_script`), configuration (`config/`), and what else it needs. `armada new` makes
/// one, `armada run` builds it to one WebAssembly component and runs its jobs.
#[derive(Debug, Parser)]
#[command(name = "armada", version, max_term_width = 100, propagate_version = true, subcommand_required = true)]
#[command(
    after_help = "Exit codes: 0 all went well; 1 jobs failed; 2 a mistake in a project or an argument; 130 interrupted."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    New(New),
    Check(Check),
    Build(Build),
    Run(Run),
    Config(Config),
    #[command(hide = true)]
    Agent(Agent),
}

/// Make a new project: a folder that builds and runs.
#[derive(Debug, Args)]
pub(crate) struct New {
    /// The folder to make; its last part is the project's name.
    #[arg(value_name = "NAME")]
    pub(crate) path: PathBuf,
    /// The language of its script.
    #[arg(long, value_enum, default_value_t = NewLanguage::Rust)]
    pub(crate) lang: NewLanguage,
}

/// A language that projects are made in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum NewLanguage {
    Rust,
}

impl From<NewLanguage> for Language {
    fn from(language: NewLanguage) -> Self {
        match language {
            NewLanguage::Rust => Self::Rust,
        }
    }
}

/// Check a project without running it: its configuration, and what its component uses against what it is granted.
///
/// Every mistake is told at once, with its file, line and column.
#[derive(Debug, Args)]
pub(crate) struct Check {
    #[command(flatten)]
    pub(crate) project: ProjectArguments,
    #[command(flatten)]
    pub(crate) layers: LayerArguments,
    #[command(flatten)]
    pub(crate) ceiling: CeilingArguments,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Build a project to one component, and put it and its configuration into one file.
///
/// The file holds all of `config/`, so also what secrets the tune files have. Building runs Cargo, and with it the build
/// scripts and procedural macros of the project and its dependencies, on this machine and outside of the sandbox.
#[derive(Debug, Args)]
pub(crate) struct Build {
    #[command(flatten)]
    pub(crate) project: ProjectArguments,
    /// The bundle to write [default: NAME.armada in the project's folder].
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Run a project on this machine: build it, run its jobs in parallel agents, and write their results.
///
/// Nothing else is needed but Chromium. The script runs in a sandbox: it can use the capabilities, hosts and limits that
/// `run_message.sandbox` in config/config_template.json asks for, and nothing else. Ctrl-C ends the jobs in progress in
/// order; a second one ends everything at once.
#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) project: ProjectArguments,
    #[command(flatten)]
    pub(crate) layers: LayerArguments,
    #[command(flatten)]
    pub(crate) ceiling: CeilingArguments,
    /// Where results go, one JSON object per job and line; `-` is standard output [default: results.jsonl].
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Where files go that jobs keep, in a folder per run and job [default: `artifacts` next to the results].
    #[arg(long, value_name = "DIR")]
    pub(crate) artifacts: Option<PathBuf>,
    /// Show the browsers' windows.
    #[arg(long)]
    pub(crate) headed: bool,
    /// Which Chromium to use [default: the one on the PATH].
    #[arg(long, value_name = "FILE", env = "ARMADA_CHROMIUM")]
    pub(crate) chromium: Option<PathBuf>,
    /// Show events and log lines of jobs as they come.
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// Print what happens as JSON lines, and the summary as the last one.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) cache: CacheArguments,
}

/// Print the final messages of a project's agents and jobs as JSON.
///
/// Without --agent, --job or --all, prints one document: {"run_message": …, "agents": […], "jobs": […]}.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").args(["agent", "job", "all"]))]
pub(crate) struct Config {
    #[command(flatten)]
    pub(crate) project: ProjectArguments,
    #[command(flatten)]
    pub(crate) layers: LayerArguments,
    /// Print the message of this agent, from 0.
    #[arg(long, value_name = "I")]
    pub(crate) agent: Option<u32>,
    /// Print the message of this job, from 0.
    #[arg(long, value_name = "J")]
    pub(crate) job: Option<u64>,
    /// Print every message as one JSON line: agents, then jobs.
    #[arg(long)]
    pub(crate) all: bool,
    /// Say of each value which layer it comes from, and which line.
    #[arg(long, conflicts_with = "injected")]
    pub(crate) explain: bool,
    /// Show also what a launch adds: a run_id, and the component's digest and size. Builds the project.
    #[arg(long)]
    pub(crate) injected: bool,
    /// With --explain: print JSON.
    #[arg(long, requires = "explain")]
    pub(crate) json: bool,
}

/// Be an agent of a run: started by `armada run`, with a link to it as standard input.
#[derive(Debug, Args)]
pub(crate) struct Agent {
    #[arg(long)]
    pub(crate) run: armada_protocol::RunId,
    #[arg(long)]
    pub(crate) index: u32,
    #[arg(long)]
    pub(crate) headed: bool,
    #[arg(long)]
    pub(crate) chromium: Option<PathBuf>,
    #[arg(long)]
    pub(crate) temp: PathBuf,
    #[command(flatten)]
    pub(crate) cache: CacheArguments,
}

#[derive(Debug, Args)]
pub(crate) struct ProjectArguments {
    /// The project's folder.
    #[arg(value_name = "PROJECT", default_value = ".")]
    pub(crate) project: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct LayerArguments {
    /// Which file fills in the placeholders: config_local.json or config_distant.json.
    #[arg(long, value_name = "local|distant", default_value = "local", value_parser = parse_mode)]
    pub(crate) mode: Mode,
    /// How many agents, whatever the configuration says.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) agents: Option<u32>,
    /// How many jobs, whatever the configuration says: fewer than there are rows takes the first ones.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(crate) jobs: Option<u64>,
    /// A value for a placeholder, over the file's: JSON, or a text. May be given several times.
    #[arg(long, value_name = "NAME=VALUE", value_parser = Overrides::parse_set)]
    pub(crate) set: Vec<(String, serde_json::Value)>,
}

impl LayerArguments {
    pub(crate) fn overrides(&self) -> Overrides {
        Overrides { agents: self.agents, jobs: self.jobs, set: self.set.clone() }
    }
}

fn parse_mode(text: &str) -> Result<Mode, String> {
    text.parse().map_err(|_| "expected `local` or `distant`".to_owned())
}

#[derive(Debug, Args)]
pub(crate) struct CeilingArguments {
    /// A JSON file with the most that projects are allowed, of the form of run_message.sandbox; no ceiling without it.
    #[arg(long, value_name = "FILE", env = "ARMADA_CEILING")]
    pub(crate) ceiling: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct CacheArguments {
    /// Where compiled components are kept [default: the user's cache folder].
    #[arg(long, value_name = "DIR", env = "ARMADA_CACHE_DIR")]
    pub(crate) cache_dir: Option<PathBuf>,
}
