//! What an agent costs before it does anything: from the start of its process to its first job, and its memory.
//!
//! Its component was compiled before, as a server does it for all agents of a run. The bare peer is this program,
//! started with other arguments.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use armada_tests::command::armada;
use armada_tests::processes::Process;

use crate::cluster::{Cluster, nothing, waiting};
use crate::measure::Row;
use crate::{bare, celery};

/// The first argument of this program when it is the bare peer.
pub(crate) const BARE: &str = "bare-agent";

const ROUNDS: usize = 9;
/// Celery takes seconds.
const CELERY_ROUNDS: usize = 5;
/// Under which key Redis has what the peers fetch.
const KEY: &str = "script";
/// How many bytes a script has.
const SCRIPT: usize = 200_000;
/// How many jobs Celery has done when its memory is measured.
const JOBS: u64 = 500;

/// The bare peer: `bare-agent REDIS BROKER QUEUE`.
pub(crate) fn run_bare(arguments: &[String]) -> anyhow::Result<()> {
    let [redis, broker, queue] = arguments else { anyhow::bail!("{BARE} takes Redis, a broker and a queue") };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(bare::agent(redis, KEY, broker, queue))
}

pub(crate) fn measure() -> anyhow::Result<Vec<Row>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let cluster = Cluster::start(&["--agents", "external"]);
    let (url, redis) = (cluster.broker.url(), cluster.redis.url());
    let lines = SCRIPT / 9;
    let script = format!("{}def job():\n    pass\n", "value=1;\n".repeat(lines));
    runtime.block_on(store(redis, &script))?;
    // The first one compiles, if nobody has.
    start(&cluster)?;
    let (mut to_bare, mut to_celery) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let armada = start(&cluster)?;
        let queue = format!("bare-{round}");
        runtime.block_on(async { bare::publish(&bare::channel(url, &queue).await?, &queue, 1).await })?;
        let started = Instant::now();
        let status = Command::new(std::env::current_exe()?).args([BARE, redis, url, &queue]).status()?;
        let took = started.elapsed();
        ensure!(status.success(), "the bare agent failed");
        to_bare.push((armada, took));
        if round < CELERY_ROUNDS {
            let queue = format!("celery-{round}");
            celery::publish(url, &queue, 1)?;
            let mut worker = celery::Worker::start(url, &queue, Some((redis, KEY)))?;
            to_celery.push((armada, worker.until_done(1)? - worker.started));
        }
    }
    let (bare, celery) = ("lapin and redis alone, a process", "a Celery worker that exec()s 200 KB");
    Ok(vec![
        Row::new("agent: process to first job done", bare, to_bare, 3.0),
        Row::new("agent: process to first job done", celery, to_celery, 1.0 / 15.0),
        memory()?,
    ])
}

/// How long an agent takes from the start of its process to the outcome of its first job.
fn start(cluster: &Cluster) -> anyhow::Result<Duration> {
    let run = cluster.launch(1, 1, &nothing())?;
    cluster.until(&run, |run| run.get("status").is_some_and(|status| status == "Running"))?;
    let started = Instant::now();
    let mut agent = Agent::start(cluster, &run)?;
    let done = cluster.until_done(&run, 1)?;
    ensure!(agent.0.wait()?.success(), "the agent failed");
    Ok(done - started)
}

/// An agent from elsewhere, which is gone with this.
struct Agent(Child);

impl Agent {
    fn start(cluster: &Cluster, run: &str) -> anyhow::Result<Self> {
        let mut command = armada();
        command.args(["agent", "--run", run, "--index", "0", "--server", cluster.serve.url()]);
        command.env("ARMADA_AMQP_URL", cluster.broker.url()).env("ARMADA_REDIS_URL", cluster.redis.url());
        Ok(Self(command.stderr(Stdio::null()).spawn()?))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It has ended, unless something failed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn store(redis: &str, script: &str) -> anyhow::Result<()> {
    let mut connection = redis::Client::open(redis)?.get_multiplexed_async_connection().await?;
    Ok(redis::cmd("SET").arg(KEY).arg(script).query_async(&mut connection).await?)
}

/// The memory of an agent without a browser that has begun a job, and of a Celery worker that has done some.
fn memory() -> anyhow::Result<Row> {
    let cluster = Cluster::start(&[]);
    let run = cluster.launch(1, 1, &waiting())?;
    cluster.until(&run, |_| {
        cluster.serve.jobs(&run).iter().any(|job| job.get("job_status").is_some_and(|status| status == "Running"))
    })?;
    let agents: Vec<u32> = cluster
        .serve
        .processes()
        .iter()
        .filter(|process| process.is_agent())
        .map(|process: &Process| process.id)
        .collect();
    let armada = proportional(&agents)?;
    cluster.cancel(&run)?;
    let url = cluster.broker.url();
    celery::publish(url, "memory", JOBS)?;
    let mut worker = celery::Worker::start(url, "memory", None)?;
    worker.until_done(JOBS)?;
    let peer = proportional(&worker.processes())?;
    Ok(Row::bytes("agent: memory, without a browser", "a Celery worker, prefork, concurrency 1", (armada, peer), 0.5))
}

/// How much memory processes have, in bytes: of what they share with others, their part.
pub(crate) fn proportional(processes: &[u32]) -> anyhow::Result<u64> {
    ensure!(!processes.is_empty(), "there is no process to measure");
    let of = |id: &u32| {
        let told = std::fs::read_to_string(format!("/proc/{id}/smaps_rollup")).context("this system does not tell")?;
        let line = told.lines().find_map(|line| line.strip_prefix("Pss:")).context("no Pss")?;
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
        anyhow::Ok(kilobytes * 1024)
    };
    processes.iter().map(of).sum()
}
