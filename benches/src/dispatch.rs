//! Dispatch: jobs from a run's configuration into the store and on to a durable queue, each confirmed by the broker.
//!
//! The whole of it is what `armada serve` does between accepting a run and having all its jobs on the queue; no agent
//! takes any meanwhile. Its part that speaks with the broker is measured by itself, too.

use std::time::{Duration, Instant};

use anyhow::ensure;
use armada_protocol::rabbitmq::RabbitQueue;
use armada_protocol::{Broker as _, Job, RunId};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::cluster::{Cluster, nothing};
use crate::measure::Row;
use crate::{bare, celery};

const JOBS: u64 = 20_000;
/// Celery is an order of magnitude slower.
const CELERY_JOBS: u64 = 5_000;
const ROUNDS: usize = 5;
/// What is reached with 0.8 times as many per second.
const MUST_REACH: f64 = 1.0 / 0.8;

pub(crate) fn measure() -> anyhow::Result<Vec<Row>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let cluster = Cluster::start(&["--agents", "external"]);
    let url = cluster.broker.url();
    // The first one compiles the component.
    dispatch(&cluster)?;
    let mut figures = Figures::default();
    for round in 0..ROUNDS {
        let queue = format!("bare-{round}");
        let peer = runtime.block_on(async {
            let channel = bare::channel(url, &queue).await?;
            bare::publish(&channel, &queue, JOBS).await
        })?;
        figures.whole.push((per(dispatch(&cluster)?, JOBS), per(peer, JOBS)));
        figures.publish.push((per(runtime.block_on(publish(url))?, JOBS), per(peer, JOBS)));
        let peer = celery::publish(url, &format!("celery-{round}"), CELERY_JOBS)?;
        figures.celery.push((per(dispatch(&cluster)?, JOBS), per(peer, CELERY_JOBS)));
    }
    let bare = "lapin alone, a window of 1,000 confirms";
    Ok(vec![
        Row::new("publish a job, confirmed", bare, figures.publish, MUST_REACH),
        Row::new("dispatch a job: store and publish", bare, figures.whole, MUST_REACH),
        Row::new("dispatch a job: store and publish", "Celery, send_task with confirms", figures.celery, None),
    ])
}

#[derive(Default)]
struct Figures {
    whole: Vec<(Duration, Duration)>,
    publish: Vec<(Duration, Duration)>,
    celery: Vec<(Duration, Duration)>,
}

pub(crate) fn per(took: Duration, count: u64) -> Duration {
    Duration::from_secs_f64(took.as_secs_f64() / count as f64)
}

/// How long a server takes from accepting a run until all its jobs are on the queue.
fn dispatch(cluster: &Cluster) -> anyhow::Result<Duration> {
    let run = cluster.launch(1, JOBS, &nothing())?;
    let accepted = Instant::now();
    let dispatched = cluster.until(&run, |run| run.get("status").is_some_and(|status| status == "Running"))?;
    let jobs = cluster.serve.run(&run).get("jobs").and_then(Value::as_u64);
    ensure!(jobs == Some(JOBS), "{jobs:?} jobs were dispatched");
    cluster.cancel(&run)?;
    Ok(dispatched - accepted)
}

/// How long it takes to publish as many jobs in the batches that a server does it in.
async fn publish(url: &str) -> anyhow::Result<Duration> {
    let (queue, run) = (RabbitQueue::new(url, "armada-benches")?, RunId::new());
    queue.declare(run).await?;
    let message = RawValue::from_string(nothing().to_string())?;
    let jobs: Vec<Job> = (0..JOBS).map(|index| Job { uuid: run.job(index), index, message: message.clone() }).collect();
    let started = Instant::now();
    for batch in jobs.chunks(4_000) {
        queue.publish(run, batch.to_vec()).await?;
    }
    let took = started.elapsed();
    queue.delete(run).await?;
    Ok(took)
}
