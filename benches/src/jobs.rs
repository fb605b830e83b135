//! Jobs that do nothing: how many of them an agent does one after the other, and how long one takes from being put on
//! the queue to its outcome in the store. Every outcome is stored before its job is acknowledged.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use armada_protocol::job::FOREIGN_PLACES;
use armada_protocol::rabbitmq::RabbitQueue;
use armada_protocol::{Broker as _, Job, RunId};
use futures::StreamExt as _;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio_tungstenite::connect_async;
use uuid::Uuid;

use crate::cluster::{Cluster, nothing, waiting};
use crate::dispatch::per;
use crate::measure::Row;
use crate::{bare, celery};

/// How many jobs are done before it is measured, and then.
const BEFORE: u64 = 500;
const JOBS: u64 = 2_000;
const ROUNDS: usize = 5;
/// How many jobs are sent one at a time.
const ASKED: u64 = 200;
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn measure() -> anyhow::Result<Vec<Row>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let cluster = Cluster::start(&[]);
    let url = cluster.broker.url();
    do_jobs(&cluster)?;
    let (mut to_bare, mut to_celery) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let armada = per(do_jobs(&cluster)?, JOBS);
        let queue = format!("bare-{round}");
        let peer = runtime.block_on(async {
            let channel = bare::channel(url, &queue).await?;
            bare::publish(&channel, &queue, BEFORE + JOBS).await?;
            let mut consumer = bare::consumer(&channel, &queue).await?;
            bare::consume(&mut consumer, BEFORE).await?;
            bare::consume(&mut consumer, JOBS).await
        })?;
        to_bare.push((armada, per(peer, JOBS)));
        let queue = format!("celery-{round}");
        celery::publish(url, &queue, BEFORE + JOBS)?;
        let mut worker = celery::Worker::start(url, &queue, None)?;
        let begun = worker.until_done(BEFORE)?;
        to_celery.push((armada, per(worker.until_done(BEFORE + JOBS)? - begun, JOBS)));
    }
    // One job that goes on, so that its run does, and an agent that has nothing to do.
    let run = cluster.launch(2, 2, &waiting())?;
    cluster.until_done(&run, 1)?;
    let armada = runtime.block_on(ask(&cluster, &run))?;
    cluster.cancel(&run)?;
    let latency_bare = runtime.block_on(ask_bare(url))?;
    let _worker = celery::Worker::start(url, "asked", None)?;
    // The first one waits for the worker.
    celery::call(url, "asked", 1)?;
    let latency_celery = celery::call(url, "asked", ASKED)?;
    let pairs = |peer: Vec<Duration>| armada.iter().copied().zip(peer).collect();
    let (bare, celery) = ("lapin alone, prefetch 1", "a Celery worker, prefork, acks_late");
    Ok(vec![
        Row::new("no-op job, one after the other", bare, to_bare, 2.0),
        Row::new("no-op job, one after the other", celery, to_celery, 1.0 / 3.0),
        Row::new("no-op job, from sending to outcome", "lapin alone, to the delivery", pairs(latency_bare), None),
        Row::new("no-op job, from sending to outcome", "Celery, to the result", pairs(latency_celery), None),
    ])
}

/// How long one agent takes for so many jobs.
fn do_jobs(cluster: &Cluster) -> anyhow::Result<Duration> {
    let run = cluster.launch(1, BEFORE + JOBS, &nothing())?;
    let begun = cluster.until_done(&run, BEFORE)?;
    // How far it was when that was seen.
    let before = cluster.serve.run(&run).get("jobs_succeeded").and_then(Value::as_u64).context("no jobs")?;
    let took = cluster.until_done(&run, BEFORE + JOBS)? - begun;
    ensure!(before < BEFORE + JOBS, "there are too few jobs");
    Ok(took.mul_f64(JOBS as f64 / (BEFORE + JOBS - before) as f64))
}

/// How long jobs take of which each is sent when the one before is done, while an agent has nothing else to do.
async fn ask(cluster: &Cluster, run: &str) -> anyhow::Result<Vec<Duration>> {
    let address = cluster.serve.url().replacen("http", "ws", 1);
    let (mut changes, _) = connect_async(format!("{address}/api/changes?run={run}")).await?;
    let (queue, run_id) = (RabbitQueue::new(cluster.broker.url(), "armada-benches")?, run.parse::<RunId>()?);
    let message = RawValue::from_string(nothing().to_string())?;
    let mut times = Vec::new();
    // The first one waits for the agents.
    for _ in 0..=ASKED {
        let uuid = Uuid::new_v4();
        let job = Job { uuid, index: FOREIGN_PLACES, message: message.clone() };
        let started = Instant::now();
        queue.publish(run_id, vec![job]).await?;
        let done = async {
            loop {
                let change = changes.next().await.context("no changes come any more")??;
                let Ok(change) = serde_json::from_str::<Value>(change.to_text()?) else { continue };
                let of = |name: &str| change.pointer(&format!("/data/{name}")).and_then(Value::as_str);
                if of("job_uuid") == Some(&uuid.to_string()) && of("job_status") == Some("Success") {
                    return anyhow::Ok(started.elapsed());
                }
            }
        };
        times.push(tokio::time::timeout(PATIENCE, done).await??);
    }
    Ok(times.split_off(1))
}

/// How long messages take from being published to being acknowledged.
async fn ask_bare(url: &str) -> anyhow::Result<Vec<Duration>> {
    let (publishing, consuming) = (bare::channel(url, "asked-bare").await?, bare::channel(url, "asked-bare").await?);
    let mut consumer = bare::consumer(&consuming, "asked-bare").await?;
    let mut times = Vec::new();
    for _ in 0..ASKED {
        let started = Instant::now();
        bare::publish(&publishing, "asked-bare", 1).await?;
        bare::consume(&mut consumer, 1).await?;
        times.push(started.elapsed());
    }
    Ok(times)
}
