//! `armada serve`: the settings of a server from flags, environment and file, and the server until it is told to end.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use armada_host::find_chromium;
use armada_orchestrator::agents::AgentCommand;
use armada_orchestrator::server::Server;
use armada_orchestrator::settings::{AgentMode, InProcess, Settings, own_variables};
use armada_orchestrator::store::Retry;
use armada_protocol::Hidden;
use url::Url;

use crate::Ending;
use crate::args::{
    BrowserArguments, CacheArguments, CeilingArguments, InventoryArguments, Serve, ServeAgents, ServeSettings,
};
use crate::run::temp::Temp;
use crate::run::{DROPPING, agent_command};
use crate::{places, signals};

const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
const DAY_SECONDS: f64 = 24.0 * 3600.0;
/// The longest time that can be set: a year.
const LONGEST_SECONDS: f64 = 365.0 * DAY_SECONDS;

pub(crate) fn serve(arguments: Serve) -> anyhow::Result<Ending> {
    let file = arguments.config.as_deref().map(read).transpose()?.unwrap_or_default();
    let temp = Temp::new()?;
    let settings = settings(arguments.settings, file, temp.path())?;
    let interruption = signals::in_order();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = runtime.block_on(async {
        let server = Server::start(settings).await?;
        let address = server.address()?;
        writeln!(std::io::stdout(), "listening on http://{address}").context("standard output")?;
        tokio::select! {
            () = server.serve(interruption.gently.clone()) => {}
            // Agents are killed with the tasks that own them; the store is made for that.
            () = interruption.at_once.cancelled() => {}
        }
        anyhow::Ok(())
    });
    runtime.shutdown_timeout(DROPPING);
    served.map(|()| Ending::Done)
}

fn read(path: &Path) -> anyhow::Result<ServeSettings> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    toml::from_str(&text).map_err(|error| anyhow::anyhow!("{}: {}", path.display(), error.to_string().trim_end()))
}

/// What holds: a flag or an environment variable, else the file, else the default.
fn settings(given: ServeSettings, file: ServeSettings, temp: &Path) -> anyhow::Result<Settings> {
    let listen = given.listen.or(file.listen).unwrap_or(LISTEN);
    let token = given.token.or(file.token).filter(|token| !token.is_empty());
    ensure!(
        listen.ip().is_loopback() || token.is_some(),
        "{listen} can be reached from other machines, where anybody could launch runs: set a token (ARMADA_TOKEN), or listen on \
         127.0.0.1"
    );
    let data = match given.data.or(file.data) {
        Some(data) => data,
        None => user_data().context("there is no HOME to keep data in: give --data")?.join("armada"),
    };
    let cache = CacheArguments { cache_dir: given.cache_dir.or(file.cache_dir) };
    let cache = places::cache(&cache)?;
    let browser = BrowserArguments { headed: false, chromium: given.chromium.or(file.chromium) };
    let cors_origins = if given.cors_origins.is_empty() { file.cors_origins } else { given.cors_origins };
    for origin in &cors_origins {
        let is_origin = Url::parse(origin)
            .is_ok_and(|url| url.has_host() && url.origin().ascii_serialization() == origin.to_ascii_lowercase());
        ensure!(is_origin, "cors_origins: `{origin}` is no origin: expected one such as https://example.org");
    }
    let (amqp_url, redis_url) = (given.amqp_url.or(file.amqp_url), given.redis_url.or(file.redis_url));
    let agents = given.agents.or(file.agents).unwrap_or(ServeAgents::Processes);
    if agents != ServeAgents::External {
        look_for_chromium(&browser)?;
    }
    let agents = match agents {
        ServeAgents::Processes => {
            let command = agent_command(&browser, temp, &cache)?;
            AgentMode::Processes(with_urls(command, amqp_url.as_deref(), redis_url.as_deref()))
        }
        ServeAgents::InProcess => {
            let (chromium, temp) = (browser.chromium, temp.to_owned());
            AgentMode::InProcess(InProcess { chromium, headed: false, temp })
        }
        ServeAgents::External => AgentMode::External,
    };
    let private_hosts = if given.private_hosts.is_empty() { file.private_hosts } else { given.private_hosts };
    let ceiling = CeilingArguments { ceiling: given.ceiling.or(file.ceiling), private_hosts }.open()?;
    let inventory = InventoryArguments { inventory: given.inventory.or(file.inventory) }.open()?;
    let time = |name: &str, unit: &str, seconds: f64, given: Option<f64>| match given {
        Some(number) if !(0.001..=LONGEST_SECONDS / seconds).contains(&number) => {
            let longest = LONGEST_SECONDS / seconds;
            bail!("{name} is {number}: expected a number of {unit} between 0.001 and {longest}")
        }
        number => Ok(number.map(|number| Duration::from_secs_f64(number * seconds))),
    };
    let seconds = |name: &str, given: Option<f64>, file: Option<f64>, default: Duration| {
        time(name, "seconds", 1.0, given.or(file)).map(|time| time.unwrap_or(default))
    };
    let mut settings = Settings::new(std::path::absolute(data)?, cache, agents);
    let silence = settings.agent_silence;
    let silence = seconds("agent_silence_seconds", given.agent_silence_seconds, file.agent_silence_seconds, silence)?;
    ensure!(
        silence >= Duration::from_secs(5),
        "agent_silence_seconds is less than 5: agents are heard of every 3 seconds"
    );
    let first = seconds("retry_seconds", given.retry_seconds, file.retry_seconds, settings.retry.first)?;
    let longest = seconds(
        "retry_longest_seconds",
        given.retry_longest_seconds,
        file.retry_longest_seconds,
        settings.retry.longest,
    )?;
    let keep_runs = time("keep_runs_days", "days", DAY_SECONDS, given.keep_runs_days.or(file.keep_runs_days))?;
    let mib = |name: &str, given: Option<u64>, file: Option<u64>, default: u64| match given.or(file) {
        Some(0) => bail!("{name} is 0: expected a number of MiB from 1 on"),
        mib => Ok(mib.map_or(default, |mib| mib.saturating_mul(1 << 20))),
    };
    let limits = settings.uploads;
    settings.uploads.component =
        mib("max_component_mib", given.max_component_mib, file.max_component_mib, limits.component)?;
    settings.uploads.csv = mib("max_csv_mib", given.max_csv_mib, file.max_csv_mib, limits.csv)?;
    settings.no_agent = seconds("no_agent_seconds", given.no_agent_seconds, file.no_agent_seconds, settings.no_agent)?;
    settings.grace = seconds("grace_seconds", given.grace_seconds, file.grace_seconds, settings.grace)?;
    settings.listen = listen;
    settings.store_url = given.store_url.or(file.store_url).map(Hidden);
    settings.redis_url = redis_url.map(Hidden);
    settings.amqp_url = amqp_url.map(Hidden);
    settings.ceiling = ceiling;
    settings.inventory = inventory;
    settings.token = token.map(Hidden);
    settings.cors_origins = cors_origins;
    settings.agent_silence = silence;
    settings.retry = Retry { first, longest: longest.max(first) };
    settings.keep_runs = keep_runs;
    Ok(settings)
}

/// A Chromium that is named has to be there. Without any, the server does for projects that use none.
fn look_for_chromium(browser: &BrowserArguments) -> anyhow::Result<()> {
    match find_chromium(browser.chromium.as_deref()) {
        Err(error) if browser.chromium.is_none() => tracing::warn!("{error}: runs that use a browser will fail"),
        found => drop(found?),
    }
    Ok(())
}

/// Agents go to Redis and RabbitMQ themselves. What else the server's environment says is not for them.
fn with_urls(mut command: AgentCommand, amqp_url: Option<&str>, redis_url: Option<&str>) -> AgentCommand {
    command.not_inherited = own_variables();
    for (name, url) in [("ARMADA_AMQP_URL", amqp_url), ("ARMADA_REDIS_URL", redis_url)] {
        command.environment.extend(url.map(|url| (name.into(), url.into())));
    }
    command
}

/// The user's folder for data (XDG Base Directory Specification).
fn user_data() -> Option<PathBuf> {
    let given = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from).filter(|folder| folder.is_absolute());
    given.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/share")))
}
