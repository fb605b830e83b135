//! What jobs report, on its way into SQLite, where every batch is on disk before it is said to be; and pages of a
//! million events, as the server gives them.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use armada_orchestrator::store::{NewRun, Retry, Store, StoreOptions, views::RunStatus};
use armada_project::{ComponentRef, Digest};
use armada_protocol::report::{Event, EventLevel};
use armada_protocol::{Attempt, Incarnation, Job, JobStore as _, Report, RunId, Start};
use armada_tests::serve::Serve;
use futures::future::try_join_all;
use jiff::Timestamp;
use serde_json::Value;
use serde_json::value::RawValue;
use sqlx::any::AnyPoolOptions;
use sqlx::{AnyPool, Executor as _};
use uuid::Uuid;

use crate::component::grant;
use crate::dispatch::per;
use crate::measure::Row;

/// How many jobs report at the same time, and how many events each says at once.
const REPORTERS: u64 = 8;
const AT_ONCE: u64 = 100;
/// How many events are stored in a round.
const EVENTS: u64 = 40_000;
const ROUNDS: usize = 5;
/// How many events a long and a short run have.
const MANY: u64 = 1_000_000;
const FEW: u64 = 1_000;
/// How many pages are asked for.
const PAGES: u64 = 200;
/// How many rows the peer inserts in a transaction.
const TRANSACTION: u64 = 1_000;
const CONTENT: &str = "The price of the second product was read, and is the same as the day before.";

pub(crate) fn measure() -> anyhow::Result<Vec<Row>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let folder = tempfile::tempdir()?;
    let mut stored = Vec::new();
    for round in 0..ROUNDS {
        let file = |side: &str| folder.path().join(format!("{side}-{round}.db"));
        let armada = runtime.block_on(async {
            let store = open(&file("armada"), folder.path()).await?;
            let took = report(&store, EVENTS).await?.1;
            store.close().await;
            anyhow::Ok(took)
        })?;
        let peer = runtime.block_on(insert(&file("bare")))?;
        stored.push((per(armada, EVENTS), per(peer, EVENTS)));
    }
    let file = folder.path().join("long.db");
    let (long, short) = runtime.block_on(async {
        let store = open(&file, folder.path()).await?;
        let runs = (report(&store, MANY).await?.0, report(&store, FEW).await?.0);
        store.close().await;
        anyhow::Ok(runs)
    })?;
    let serve = Serve::start(&[], &[("ARMADA_STORE_URL", &Store::file_url(&file))]);
    let pages = pages(&serve, long)?.into_iter().zip(pages(&serve, short)?).collect();
    Ok(vec![
        Row::new("event stored", "inserts of 1,000 rows, each on disk", stored, 2.0),
        Row::new("page of 100 out of a million events", "a page of 100 out of a thousand", pages, None),
    ])
}

async fn open(file: &Path, folder: &Path) -> anyhow::Result<Store> {
    let options = StoreOptions {
        url: Store::file_url(file),
        artifacts: folder.join("artifacts"),
        lease: Duration::from_secs(60),
        retry: Retry { first: Duration::from_secs(1), longest: Duration::from_secs(1) },
    };
    Ok(Store::open(options).await?)
}

/// Has a run's jobs report so many events; gives the run, and how long it took until all were stored.
async fn report(store: &Store, events: u64) -> anyhow::Result<(RunId, Duration)> {
    let run = RunId::new();
    let component = ComponentRef { digest: Digest::of(b""), size: 0 };
    let new = NewRun {
        run,
        project: "events".to_owned(),
        component,
        grant: grant()?,
        capabilities: Value::Array(Vec::new()),
        agents: u32::try_from(REPORTERS)?,
        idempotency_key: None,
        replay_of: None,
    };
    store.create_run(new).await?;
    store.set_status(run, RunStatus::Dispatching, None).await?;
    let mut attempts = Vec::new();
    for index in 0..REPORTERS {
        let job = Job { uuid: run.job(index), index, message: RawValue::from_string("{}".to_owned())? };
        let started = store.start(run, &job, Incarnation::new(u32::try_from(index)?)).await?;
        let Start::Attempt(attempt) = started else { bail!("a job was not begun: {started:?}") };
        attempts.push(attempt);
    }
    let started = Instant::now();
    try_join_all(attempts.into_iter().map(|attempt| report_one(store, attempt, events / REPORTERS))).await?;
    let took = started.elapsed();
    // Nobody is to go on with it.
    store.set_status(run, RunStatus::Failed, None).await?;
    Ok((run, took))
}

async fn report_one(store: &Store, attempt: Attempt, events: u64) -> anyhow::Result<()> {
    let event = || {
        let (time, content) = (Timestamp::now(), CONTENT.to_owned());
        Report::Event(Event { time, level: EventLevel::Info, content, attachment: None })
    };
    for first in (0..events).step_by(usize::try_from(AT_ONCE)?) {
        let reports = (first..events.min(first + AT_ONCE)).map(|_| event()).collect();
        store.report(attempt, first, reports).await?;
    }
    Ok(())
}

/// How long it takes to insert as many rows into the same table, with nothing around it.
async fn insert(file: &Path) -> anyhow::Result<Duration> {
    sqlx::any::install_default_drivers();
    let pool: AnyPool = AnyPoolOptions::new().max_connections(1).connect(&Store::file_url(file)).await?;
    pool.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = OFF").await?;
    pool.execute(include_str!("../../orchestrator/migrations/0001_runs.sql")).await?;
    let (run, job) = (Uuid::new_v4().to_string(), Uuid::new_v4().to_string());
    let row = "(?, ?, ?, ?, 1, 'event', 'info', ?, NULL, ?)";
    let rows = vec![row; usize::try_from(AT_ONCE)?].join(", ");
    let columns = "seq, id, run_id, job_id, attempt, kind, level, content, attachment, reported_at";
    let statement = format!("INSERT INTO reports ({columns}) VALUES {rows}");
    let started = Instant::now();
    let mut seq = 0_i64;
    for _ in 0..EVENTS / TRANSACTION {
        let mut transaction = pool.begin().await?;
        for _ in 0..TRANSACTION / AT_ONCE {
            let mut query = sqlx::query(sqlx::AssertSqlSafe(statement.clone()));
            for _ in 0..AT_ONCE {
                seq += 1;
                query = query.bind(seq).bind(Uuid::new_v4().to_string()).bind(run.clone()).bind(job.clone());
                query = query.bind(CONTENT).bind(Timestamp::now().as_millisecond());
            }
            query.execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
    }
    let took = started.elapsed();
    pool.close().await;
    Ok(took)
}

/// How long each page takes, from the newest to older ones, one after the other, from the beginning again at the end.
fn pages(serve: &Serve, run: RunId) -> anyhow::Result<Vec<Duration>> {
    let first = format!("/api/events?run_uuid={run}&page_size=100");
    let mut path = first.clone();
    let mut times = Vec::new();
    for _ in 0..PAGES {
        let started = Instant::now();
        let page = serve.get(&path);
        times.push(started.elapsed());
        let items = page.get("items").and_then(Value::as_array).context("no items")?;
        ensure!(items.len() == 100, "a page has {} events", items.len());
        let next = page.get("next").and_then(Value::as_u64);
        path = next.map_or(first.clone(), |next| format!("{first}&before={next}"));
    }
    Ok(times)
}
