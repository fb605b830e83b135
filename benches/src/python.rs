//! A project in Python beside the same project in Rust, from its sources to a job that is done. Both run on the same
//! host, so that the ratio is what a language costs.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use armada_host::measured::{Runner, Running};
use armada_host::{ComponentCache, Sandbox};
use armada_project::{BuildOptions, Digest, Language, Project, scaffold};
use serde_json::{Map, json};

use crate::component::{built, built_in_python, grant};
use crate::host_call::duration;
use crate::measure::Row;

const PEER: &str = "the same project in Rust";
/// How often what takes seconds is done, and what takes less.
const FEW: usize = 3;
const MANY: usize = 30;
/// How many instances live at once when their memory is measured.
const INSTANCES: usize = 20;

pub(crate) fn measure() -> anyhow::Result<Vec<Row>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let sandbox = Sandbox::new()?;
    let components = Pair { python: built_in_python(), rust: built() };
    let mut rows = vec![build()?];
    rows.push(components.times("python: compile to machine code", FEW, |component| {
        let started = Instant::now();
        sandbox.engine().precompile_component(component).map_err(crate::component::bare)?;
        Ok(started.elapsed())
    })?);
    let folder = tempfile::tempdir()?;
    let cache = ComponentCache::new(folder.path());
    let digests = components.each(|component| {
        let digest = Digest::of(component);
        cache.compile(&sandbox, digest, component)?;
        anyhow::Ok(digest)
    })?;
    rows.push(digests.times("python: load what was compiled", MANY, |digest| {
        let started = Instant::now();
        cache.load(&sandbox, *digest).context("it was compiled a moment ago")?;
        Ok(started.elapsed())
    })?);

    let runners = components.each(|component| anyhow::Ok(Runner::new(&sandbox, component, grant()?, &Map::new())?))?;
    rows.push(runners.times("python: instantiate", MANY, |runner| {
        let started = Instant::now();
        runtime.block_on(runner.instantiate()).map_err(anyhow::Error::msg)?;
        Ok(started.elapsed())
    })?);
    rows.push(runners.times("python: instantiate, open, first job", MANY, |runner| {
        let started = Instant::now();
        runtime.block_on(ready(runner))?;
        Ok(started.elapsed())
    })?);
    let memory = runners.each(|runner| {
        let before = resident()?;
        let instances: Vec<Running> =
            (0..INSTANCES).map(|_| runtime.block_on(ready(runner))).collect::<Result<_, _>>()?;
        let used = resident()?.saturating_sub(before) / INSTANCES as u64;
        drop(instances);
        anyhow::Ok(used)
    })?;
    rows.push(Row::bytes("python: memory of an instance", PEER, (memory.python, memory.rust), None));

    let mut instances = runners.each(|runner| runtime.block_on(ready(runner)))?;
    let mut take = |name: &str, job: &str, from: fn(Duration, &str) -> anyhow::Result<Duration>| {
        let mut times = Vec::new();
        for _ in 0..MANY {
            let one = |instance: &mut Running| {
                let started = Instant::now();
                let result = runtime.block_on(instance.run_job(job)).map_err(anyhow::Error::msg)?;
                from(started.elapsed(), &result)
            };
            times.push((one(&mut instances.python)?, one(&mut instances.rust)?));
        }
        anyhow::Ok(Row::new(name, PEER, times, None))
    };
    rows.push(take("python: warm job that does nothing", &nothing(), |took, _| Ok(took))?);
    let calls = json!({"measure": "host_call", "times": 10_000}).to_string();
    rows.push(take("python: host call and back", &calls, |_, result| duration(result))?);
    Ok(rows)
}

/// One of each language.
struct Pair<T> {
    python: T,
    rust: T,
}

impl<T> Pair<T> {
    fn each<U>(&self, mut make: impl FnMut(&T) -> anyhow::Result<U>) -> anyhow::Result<Pair<U>> {
        Ok(Pair { python: make(&self.python)?, rust: make(&self.rust)? })
    }

    fn times(
        &self,
        what: &str,
        rounds: usize,
        mut one: impl FnMut(&T) -> anyhow::Result<Duration>,
    ) -> anyhow::Result<Row> {
        let times: anyhow::Result<_> = (0..rounds).map(|_| Ok((one(&self.python)?, one(&self.rust)?))).collect();
        Ok(Row::new(what, PEER, times?, None))
    }
}

/// Building a new project again after a line of its script has changed.
fn build() -> anyhow::Result<Row> {
    let folder = tempfile::tempdir()?;
    let cache = folder.path().join("cache");
    let project = |language: Language| {
        let path = folder.path().join(format!("in-{language}").to_lowercase());
        scaffold(&path, language)?;
        // The first time, dependencies are compiled, or tools installed.
        timed_build(&path, &cache)?;
        anyhow::Ok(path)
    };
    let projects = Pair { python: project(Language::Python)?, rust: project(Language::Rust)? };
    projects.times("python: build after a change", FEW, |path| {
        let script =
            ["ctx_script.py", "ctx_script.rs"].map(|name| path.join(name)).into_iter().find(|file| file.exists());
        let script = script.context("a project has a script")?;
        let text = std::fs::read_to_string(&script)?;
        let comment = if script.extension().is_some_and(|extension| extension == "py") { "#" } else { "//" };
        std::fs::write(&script, format!("{text}{comment} changed\n"))?;
        timed_build(path, &cache)
    })
}

fn timed_build(path: &Path, cache: &Path) -> anyhow::Result<Duration> {
    let project = Project::open(path)?;
    let started = Instant::now();
    armada_project::build(&project, BuildOptions { colours: false, cache, tests: false }, |_| {})?;
    Ok(started.elapsed())
}

/// An instance that has run a job.
async fn ready(runner: &Runner) -> anyhow::Result<Running> {
    let mut instance = runner.instantiate().await.map_err(anyhow::Error::msg)?;
    instance.open_agent("{}").await.map_err(anyhow::Error::msg)?;
    instance.run_job(&nothing()).await.map_err(anyhow::Error::msg)?;
    Ok(instance)
}

/// The message of a job that does nothing.
fn nothing() -> String {
    json!({"measure": "host_call", "times": 0}).to_string()
}

/// How much memory this process has of its own, in bytes: pages that it has touched.
fn resident() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/smaps_rollup").context("this system does not tell")?;
    let line = status.lines().find_map(|line| line.strip_prefix("Private_Dirty:")).context("no Private_Dirty")?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes * 1024)
}
