//! The arguments of the command. What is written here is its `--help`.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::PathBuf;

use armada_project::{Ceiling, HostPattern, Language, Mode, Overrides};
use armada_protocol::Inventory;
use clap::builder::Resettable;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::test::Expression;

/// Runs browser-automation projects in a sandbox, in parallel, each agent with a real Chromium.
///
/// A project is a folder with a script (`ctx_script.py` or `ctx_script.rs`), a configuration (`config/`) and whatever
/// else it needs. `armada new` makes one; `armada run` compiles it to one WebAssembly component and runs its jobs on
/// this machine. `armada serve` is a server that runs the projects which `armada launch` sends it.
#[derive(Debug, Parser)]
#[command(name = "armada", version, max_term_width = 100, propagate_version = true, subcommand_required = true)]
#[command(
    after_help = "Exit codes: 0 all went well; 1 jobs or tests failed; 2 a mistake in a project or an argument; 130 interrupted."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Arguments {
    /// The arguments of this process. A variable of the environment that is empty is as if it were not there.
    pub(crate) fn of_process() -> Self {
        let mut matches = without_empty_variables(Self::command()).get_matches();
        Self::from_arg_matches_mut(&mut matches).unwrap_or_else(|error| error.format(&mut Self::command()).exit())
    }
}

fn without_empty_variables(command: clap::Command) -> clap::Command {
    let is_empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    let command = command.mut_args(|argument| match argument.get_env() {
        Some(name) if is_empty(name) => argument.env(Resettable::Reset),
        _ => argument,
    });
    command.mut_subcommands(without_empty_variables)
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    New(New),
    Check(Check),
    Build(Build),
    Run(Run),
    Test(Test),
    Launch(Launch),
    Config(Config),
    Serve(Box<Serve>),
    Agent(Agent),
}

impl Command {
    /// Whether machines read what it prints.
    pub(crate) fn is_for_machines(&self) -> bool {
        match self {
            Self::Check(arguments) => arguments.json,
            Self::Build(arguments) => arguments.json,
            Self::Run(arguments) => arguments.json,
            Self::Launch(arguments) => arguments.json,
            Self::Test(arguments) => arguments.json,
            // The others print no objects but what was asked for.
            Self::New(_) | Self::Config(_) | Self::Serve(_) | Self::Agent(_) => false,
        }
    }
}

/// Make a new project, in Python or Rust: a folder that builds and runs.
#[derive(Debug, Args)]
pub(crate) struct New {
    /// The folder to make, or an empty one, such as `.`; its last part is the project's name.
    #[arg(value_name = "NAME")]
    pub(crate) path: PathBuf,
    /// The language that it is written in [default: asks on a terminal, and is Python elsewhere].
    #[arg(long, value_enum)]
    pub(crate) lang: Option<NewLanguage>,
}

/// A language that projects are made in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum NewLanguage {
    Python,
    Rust,
}

impl From<NewLanguage> for Language {
    fn from(language: NewLanguage) -> Self {
        match language {
            NewLanguage::Python => Self::Python,
            NewLanguage::Rust => Self::Rust,
        }
    }
}

/// Compile a project and check it without running it: its configuration, and what its script uses but is not granted.
///
/// Every mistake is reported at once, with its file, line and column. Exits with 2 if the script uses something that it
/// would be refused. Compiling a Python project runs none of its code outside the sandbox; compiling a Rust project
/// runs the build scripts and procedural macros of the project and its dependencies on this machine.
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
    #[command(flatten)]
    pub(crate) cache: CacheArguments,
}

/// Compile a project to one component, and put it into one file together with its configuration.
///
/// The file holds all of `config/`, including any secrets in config_local.json and config_distant.json. Compiling a
/// Python project runs none of its code outside the sandbox: packages are installed as wheels, and modules are imported
/// in Wasm. Compiling a Rust project runs Cargo, and with it the build scripts and procedural macros of the project and
/// its dependencies, on this machine and outside the sandbox.
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
    #[command(flatten)]
    pub(crate) cache: CacheArguments,
}

/// Run a project on this machine: build it, run its jobs in parallel agents, and write their results.
///
/// Nothing else is needed but Chromium. The script runs in a sandbox: it can use the capabilities, hosts and limits
/// that `run_message.sandbox` in config/config_template.json asks for, and nothing else. Compiling a Python project
/// runs none of its code outside the sandbox. Compiling a Rust project does: Cargo runs the build scripts and
/// procedural macros of the project and its dependencies on this machine. Ctrl-C ends the run in good order; a second
/// one ends everything at once.
#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) project: ProjectArguments,
    #[command(flatten)]
    pub(crate) layers: LayerArguments,
    #[command(flatten)]
    pub(crate) ceiling: CeilingArguments,
    #[command(flatten)]
    pub(crate) inventory: InventoryArguments,
    /// Where results go, one JSON object per job and line; `-` is standard output [default: results.jsonl].
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Where the files that jobs keep go, in a folder per run and job [default: `artifacts` next to the results].
    #[arg(long, value_name = "DIR")]
    pub(crate) artifacts: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) browser: BrowserArguments,
    /// Show the events and log lines of jobs as they come in.
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// Print what happens as JSON lines, and the summary as the last one.
    #[arg(long)]
    pub(crate) json: bool,
    /// Run again whenever a file of the project is saved; a run that goes on then is ended in order first.
    #[arg(long, conflicts_with = "json")]
    pub(crate) watch: bool,
    #[command(flatten)]
    pub(crate) cache: CacheArguments,
}

/// Launch a project on a server: build it, send what the server does not have, and say which run it is.
///
/// Everything that can be checked is checked here first. The project is built on this machine, as `armada run` does it;
/// the server gets its component, and the files in config/ that the run needs. A token for the server is taken from
/// ARMADA_TOKEN. With --follow, the run is shown until it is over: exits with 0 if every job succeeded, with 1 if the
/// run failed, and with 130 if it was cancelled. Ctrl-C ends only the following then, not the run.
#[derive(Debug, Args)]
pub(crate) struct Launch {
    /// The project's folder, or a bundle that `armada build` wrote.
    #[arg(value_name = "PROJECT", default_value = ".")]
    pub(crate) project: PathBuf,
    /// The server to launch it on.
    #[arg(long, value_name = "URL", env = "ARMADA_SERVER", default_value = "http://127.0.0.1:8080")]
    pub(crate) server: String,
    /// Show the run until it is over.
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Print JSON lines.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) layers: LayerArguments,
    #[command(flatten)]
    pub(crate) cache: CacheArguments,
}

/// Run a project's own tests, in the sandbox and with real pages, and print what became of them as pytest does.
///
/// Tests are in the project's `tests/`: in Python as for pytest, in Rust with `armada::tests!`. Each has an instance
/// and a browser context of its own, and what the project is granted, limits included: one that hangs costs itself
/// only. Several run at once: as many as this machine has processors, or --agents. Exits with 1 if tests failed, and
/// with 2 if there are none.
#[derive(Debug, Args)]
pub(crate) struct Test {
    /// The project's folder.
    #[arg(value_name = "PROJECT", default_value = ".")]
    pub(crate) project: PathBuf,
    /// Which tests to run: a file, a folder, a class or a test, such as `tests/test_script.py::test_sorted[3]`
    /// [default: all]. When the first argument is one, the project is the current folder.
    #[arg(value_name = "FILTER")]
    pub(crate) filters: Vec<String>,
    /// Only tests whose names match, such as `price and not slow`.
    #[arg(short = 'k', value_name = "EXPRESSION", value_parser = Expression::parse)]
    pub(crate) keyword: Option<Expression>,
    /// Only tests with these marks, such as `slow or network`.
    #[arg(short = 'm', value_name = "EXPRESSION", value_parser = Expression::parse)]
    pub(crate) mark: Option<Expression>,
    /// Stop at the first test that fails.
    #[arg(short = 'x', long)]
    pub(crate) exitfirst: bool,
    /// Print a line per test; twice, all of what is compared.
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Print less.
    #[arg(short, long, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// How many seconds one test may take, if that is less than the project's `seconds_per_job`.
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub(crate) timeout: Option<f64>,
    /// Print which tests there are, and run none.
    #[arg(long, alias = "co")]
    pub(crate) collect_only: bool,
    /// Print JSON lines.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) layers: LayerArguments,
    #[command(flatten)]
    pub(crate) ceiling: CeilingArguments,
    #[command(flatten)]
    pub(crate) inventory: InventoryArguments,
    #[command(flatten)]
    pub(crate) browser: BrowserArguments,
    #[command(flatten)]
    pub(crate) cache: CacheArguments,
}

fn parse_seconds(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|seconds| *seconds > 0.0).ok_or_else(|| "expected a number of seconds".to_owned())
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
    /// Show which layer and which line each value comes from. Without --agent, --job or --all, this covers the run, the
    /// first agent and the first job.
    #[arg(long, conflicts_with = "injected")]
    pub(crate) explain: bool,
    /// Include what a run adds: a run_id, and the component's digest and size. Compiles the project.
    #[arg(long)]
    pub(crate) injected: bool,
    /// With --explain, print a JSON object per value; everything else is JSON anyway.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) cache: CacheArguments,
}

/// Serve: take launches over HTTP, run their jobs in agents, keep what happens, and show it.
///
/// Nothing else is needed: without --store-url, --amqp-url and --redis-url, what lasts is in a file of the data folder
/// and the queue in this process. Every setting can be given here, as an environment variable, or in a TOML file under
/// the same name (`listen = "0.0.0.0:8080"`, `agent_silence_seconds = 30`); what comes first in this list holds. Ctrl-C
/// or SIGTERM ends it in order: agents hand back their jobs, and the next start goes on with the runs. A second one
/// ends it at once.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// How log lines are written. ARMADA_LOG says which are (`info`, `debug`, …) [default: warnings]. With
    /// OTEL_EXPORTER_OTLP_ENDPOINT set, spans are sent there as well (OTLP over HTTP).
    #[arg(long, value_enum, default_value_t = LogFormat::Text, env = "ARMADA_LOG_FORMAT")]
    pub(crate) log_format: LogFormat,
    /// A TOML file with settings.
    #[arg(long, value_name = "FILE", env = "ARMADA_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) settings: ServeSettings,
}

/// What can be set by flag, environment and file alike. Secrets are better in the environment or the file: other users
/// of the machine can see command lines.
#[derive(Debug, Default, Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ServeSettings {
    /// Where to listen [default: 127.0.0.1:8080]. Elsewhere than on this machine, a token is needed.
    #[arg(long, value_name = "ADDRESS:PORT", env = "ARMADA_LISTEN", value_parser = parse_listen)]
    #[serde(deserialize_with = "read_listen")]
    pub(crate) listen: Option<SocketAddr>,
    /// The folder of what lasts [default: armada in the user's data folder].
    #[arg(long, value_name = "DIR", env = "ARMADA_DATA")]
    pub(crate) data: Option<PathBuf>,
    /// The store: `postgres://…` or `sqlite:FILE` [default: a file in the data folder].
    #[arg(long, value_name = "URL", env = "ARMADA_STORE_URL", hide_env_values = true)]
    pub(crate) store_url: Option<String>,
    /// RabbitMQ, for jobs: `amqp://…` or `amqps://…` [default: a queue in this process].
    #[arg(long, value_name = "URL", env = "ARMADA_AMQP_URL", hide_env_values = true)]
    pub(crate) amqp_url: Option<String>,
    /// Redis, for components, compiled or not, and agent messages: `redis://…` or `rediss://…` [default: in this
    /// process].
    #[arg(long, value_name = "URL", env = "ARMADA_REDIS_URL", hide_env_values = true)]
    pub(crate) redis_url: Option<String>,
    /// What clients have to send as bearer token [default: none].
    #[arg(long, value_name = "TOKEN", env = "ARMADA_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// Web pages of this origin, such as `https://example.org`, may use the API. May be repeated; a list in the file,
    /// called `cors_origins`.
    #[arg(long = "cors-origin", value_name = "ORIGIN", env = "ARMADA_CORS_ORIGINS", value_delimiter = ',')]
    pub(crate) cors_origins: Vec<String>,
    /// Who runs agents: processes of this machine, tasks of this process, or somebody else [default: processes].
    #[arg(long, value_enum, env = "ARMADA_AGENTS")]
    pub(crate) agents: Option<ServeAgents>,
    /// The most that any project is allowed: a JSON file in the form of run_message.sandbox [default: no ceiling].
    #[arg(long, value_name = "FILE", env = "ARMADA_CEILING")]
    pub(crate) ceiling: Option<PathBuf>,
    /// What is lent to agents: a TOML file with upstream proxies, databases and secrets [default: nothing].
    #[arg(long, value_name = "FILE", env = "ARMADA_INVENTORY")]
    pub(crate) inventory: Option<PathBuf>,
    /// This host may be reached although it is not on the public internet, such as `localhost:8000` or `*.internal`.
    /// May be repeated; a list in the file, called `private_hosts`.
    #[arg(long = "private-host", value_name = "HOST", env = "ARMADA_PRIVATE_HOSTS", value_delimiter = ',')]
    pub(crate) private_hosts: Vec<HostPattern>,
    /// Which Chromium to use [default: the one on the PATH].
    #[arg(long, value_name = "FILE", env = "ARMADA_CHROMIUM")]
    pub(crate) chromium: Option<PathBuf>,
    /// Where compiled components are kept [default: the user's cache folder].
    #[arg(long, value_name = "DIR", env = "ARMADA_CACHE_DIR")]
    pub(crate) cache_dir: Option<PathBuf>,
    /// How long an agent may be silent before its job goes to another [default: 30].
    #[arg(long, value_name = "SECONDS", env = "ARMADA_AGENT_SILENCE_SECONDS")]
    pub(crate) agent_silence_seconds: Option<f64>,
    /// How long a run may be without any agent, if somebody else runs them [default: 600].
    #[arg(long, value_name = "SECONDS", env = "ARMADA_NO_AGENT_SECONDS")]
    pub(crate) no_agent_seconds: Option<f64>,
    /// How long a job waits for its second attempt; twice as long for each further one [default: 0.5].
    #[arg(long, value_name = "SECONDS", env = "ARMADA_RETRY_SECONDS")]
    pub(crate) retry_seconds: Option<f64>,
    /// How long a job waits for any attempt [default: 30].
    #[arg(long, value_name = "SECONDS", env = "ARMADA_RETRY_LONGEST_SECONDS")]
    pub(crate) retry_longest_seconds: Option<f64>,
    /// How long agents and requests have to end when the server does [default: 20].
    #[arg(long, value_name = "SECONDS", env = "ARMADA_GRACE_SECONDS")]
    pub(crate) grace_seconds: Option<f64>,
    /// How long runs are kept after they have ended [default: for ever].
    #[arg(long, value_name = "DAYS", env = "ARMADA_KEEP_RUNS_DAYS")]
    pub(crate) keep_runs_days: Option<f64>,
    /// The largest component that is taken [default: 256].
    #[arg(long, value_name = "MIB", env = "ARMADA_MAX_COMPONENT_MIB")]
    pub(crate) max_component_mib: Option<u64>,
    /// The largest CSV file that is taken [default: 1024].
    #[arg(long, value_name = "MIB", env = "ARMADA_MAX_CSV_MIB")]
    pub(crate) max_csv_mib: Option<u64>,
}

fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("`{text}` is no address with a port: expected one such as 127.0.0.1:8080, 0.0.0.0:8080 or [::1]:8080")
    })
}

fn read_listen<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    parse_listen(&String::deserialize(deserializer)?).map(Some).map_err(D::Error::custom)
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Who runs agents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ServeAgents {
    /// Processes of this machine, started and ended by the server.
    Processes,
    /// Tasks of the server's own process.
    InProcess,
    /// Somebody else, with `armada agent --server`.
    External,
}

/// Be an agent of a run: take its jobs one at a time, in a sandbox, with a browser.
///
/// `armada run` and `armada serve` start agents themselves. With `armada serve --agents external` somebody else does,
/// here or on another machine: one for each --index from 0 to the number of the run's agents, with --server, and in
/// ARMADA_TOKEN the server's token or, better, the token of the run (POST /api/runs/ID/credential): it is good for this
/// run only, and tells the server's public key, so that an agent need not compile what the server has compiled for the
/// same kind of machine. An agent ends with its run. Told to end before (SIGTERM), it hands back its job and ends.
#[derive(Debug, Args)]
pub(crate) struct Agent {
    /// The run's id.
    #[arg(long, value_name = "ID")]
    pub(crate) run: armada_protocol::RunId,
    /// The agent's number within the run, from 0.
    #[arg(long, value_name = "N")]
    pub(crate) index: u32,
    /// The server's address [default: whoever started this has given a link as standard input].
    #[arg(long, value_name = "URL")]
    pub(crate) server: Option<url::Url>,
    /// The token of the run, or the server's.
    #[arg(long, value_name = "TOKEN", env = "ARMADA_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// How long a server that is away is waited for: the first time, and whenever the connection is cut. RabbitMQ,
    /// where it is given, is waited for without end, and Redis for 30 seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 600.0, value_parser = parse_seconds)]
    pub(crate) patience_seconds: f64,
    #[command(flatten)]
    pub(crate) browser: BrowserArguments,
    /// Where temporary files go [default: a folder of its own that is removed in the end].
    #[arg(long, value_name = "DIR")]
    pub(crate) temp: Option<PathBuf>,
    /// RabbitMQ, for jobs [default: the link].
    #[arg(long, value_name = "URL", env = "ARMADA_AMQP_URL", hide_env_values = true)]
    pub(crate) amqp_url: Option<String>,
    /// Redis, for the component and the agent message [default: the link].
    #[arg(long, value_name = "URL", env = "ARMADA_REDIS_URL", hide_env_values = true)]
    pub(crate) redis_url: Option<String>,
    #[command(flatten)]
    pub(crate) cache: CacheArguments,
}

#[derive(Debug, Args)]
pub(crate) struct BrowserArguments {
    /// Show the browsers' windows.
    #[arg(long)]
    pub(crate) headed: bool,
    /// Which Chromium to use [default: the one on the PATH].
    #[arg(long, value_name = "FILE", env = "ARMADA_CHROMIUM")]
    pub(crate) chromium: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ProjectArguments {
    /// The project's folder.
    #[arg(value_name = "PROJECT", default_value = ".")]
    pub(crate) project: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct LayerArguments {
    /// The file that fills in the placeholders: config_local.json or config_distant.json.
    #[arg(long, value_name = "local|distant", default_value = "local", value_parser = parse_mode)]
    pub(crate) mode: Mode,
    /// The number of agents, whatever the configuration says.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) agents: Option<u32>,
    /// The number of jobs, whatever the configuration says. If there are more rows, only the first ones run.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(crate) jobs: Option<u64>,
    /// Set the placeholder $env_NAME, over the file's value: JSON if it is valid JSON, otherwise text. May be repeated.
    /// Other users of this machine can see command lines: for a secret, use --set-env.
    #[arg(long, value_name = "NAME=VALUE", value_parser = Overrides::parse_set)]
    pub(crate) set: Vec<(String, serde_json::Value)>,
    /// Set the placeholder $env_NAME to the text of an environment variable, by default the one called NAME. May be
    /// repeated.
    #[arg(long, value_name = "NAME[=VARIABLE]", value_parser = Overrides::parse_set_env)]
    pub(crate) set_env: Vec<(String, String)>,
}

impl LayerArguments {
    pub(crate) fn overrides(&self) -> Overrides {
        let (set, set_env) = (self.set.clone(), self.set_env.clone());
        Overrides { agents: self.agents, jobs: self.jobs, set, set_env, ..Overrides::default() }
    }
}

fn parse_mode(text: &str) -> Result<Mode, String> {
    text.parse().map_err(|_| "expected `local` or `distant`".to_owned())
}

#[derive(Debug, Args)]
pub(crate) struct CeilingArguments {
    /// A JSON file with the most that any project is allowed, in the form of run_message.sandbox [default: no ceiling].
    #[arg(long, value_name = "FILE", env = "ARMADA_CEILING")]
    pub(crate) ceiling: Option<PathBuf>,
    /// This host may be reached although it is not on the public internet, such as `localhost:8000`, if the project
    /// asks for it. May be repeated.
    #[arg(long = "private-host", value_name = "HOST", env = "ARMADA_PRIVATE_HOSTS", value_delimiter = ',')]
    pub(crate) private_hosts: Vec<HostPattern>,
}

/// What is lent to a run's agents.
#[derive(Debug, Args)]
pub(crate) struct InventoryArguments {
    /// A TOML file with the upstream proxies, databases and secrets that the project may use [default: nothing].
    #[arg(long, value_name = "FILE", env = "ARMADA_INVENTORY")]
    pub(crate) inventory: Option<PathBuf>,
}

impl InventoryArguments {
    /// What the operator lends.
    pub(crate) fn open(&self) -> anyhow::Result<Inventory> {
        Ok(self.inventory.as_ref().map_or(Ok(Inventory::default()), |path| Inventory::open(path))?)
    }
}

impl CeilingArguments {
    /// What the operator allows at most.
    pub(crate) fn open(&self) -> anyhow::Result<Ceiling> {
        let mut ceiling = self.ceiling.as_ref().map_or(Ok(Ceiling::none()), |path| Ceiling::open(path))?;
        ceiling.private_hosts.extend(self.private_hosts.iter().cloned());
        Ok(ceiling)
    }
}

#[derive(Debug, Args)]
pub(crate) struct CacheArguments {
    /// Where components, and what they are made with, are kept [default: the user's cache folder].
    #[arg(long, value_name = "DIR", env = "ARMADA_CACHE_DIR")]
    pub(crate) cache_dir: Option<PathBuf>,
}
