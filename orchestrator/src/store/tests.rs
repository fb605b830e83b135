//! What the store promises, for SQLite and for PostgreSQL alike.
//!
//! A case is a function that is given an empty store; every one of them is carried out with both databases. What is for
//! one database only is a test of its own.

mod agents;
mod attempts;
mod database;
mod delays;
mod foreign_jobs;
mod properties;
mod reports;
mod runs;

use std::path::Path;
use std::time::Duration;

use armada_project::{Ceiling, ComponentRef, Configuration, Digest, Grant, Mode, Overrides};
use armada_protocol::{Attempt, Incarnation, Job, JobStore as _, Outcome, RunId, Start};
use armada_tests::servers::postgresql;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::value::RawValue;
use sqlx::any::AnyPoolOptions;

use super::views::{JobView, RunStatus};
use super::{NewRun, Retry, Store, StoreOptions, views};

type Case = (&'static str, fn(Store) -> BoxFuture<'static, ()>);

macro_rules! cases {
    ($($about:ident: [$($name:ident),* $(,)?]),* $(,)?) => {
        const CASES: &[Case] = &[$($((stringify!($name), |store| $about::$name(store).boxed()),)*)*];
    };
}

cases![
    attempts: [
        a_job_is_begun_once_however_often_it_is_delivered,
        a_late_outcome_changes_nothing,
        a_retryable_failure_waits_and_the_last_one_ends_the_job,
        an_agent_ends_its_own_attempts_only,
    ],
    agents: [
        the_job_of_an_agent_that_died_goes_to_another,
        a_job_that_was_handed_back_has_all_its_attempts,
        an_agent_that_is_never_heard_of_again_loses_its_job,
        who_is_gone_takes_nothing_of_the_process_after_it,
    ],
    delays: [
        a_job_whose_time_has_come_is_waited_for_no_more,
        jobs_that_wait_for_their_time_are_not_looked_at_until_a_restart,
    ],
    foreign_jobs: [
        a_job_of_somebody_else_is_a_job,
        a_job_of_somebody_else_that_comes_too_late_is_known_and_can_be_retried,
        a_job_of_another_run_is_not_done,
    ],
    runs: [
        the_same_request_is_the_same_run,
        a_run_is_drained_by_its_last_outcome,
        an_end_that_was_stored_unheard_is_told,
        a_paused_run_begins_nothing,
        a_cancelled_run_begins_nothing_and_what_is_left_is_cancelled,
        failed_jobs_can_be_retried,
        a_run_does_not_go_back,
        a_deleted_run_leaves_nothing,
    ],
    reports: [
        reports_and_artifacts_are_kept_while_the_attempt_is_open,
        an_attempt_reports_no_more_than_its_run_allows,
        changes_are_numbered_in_their_order,
    ],
    database: [
        what_breaks_a_rule_of_the_tables_is_refused_and_what_is_away_may_come_back,
    ],
];

async fn open(url: String, folder: &Path) -> Store {
    let retry = Retry { first: Duration::from_millis(1), longest: Duration::from_millis(2) };
    let options = StoreOptions { url, artifacts: folder.join("artifacts"), lease: Duration::from_secs(60), retry };
    Store::open(options).await.unwrap()
}

#[tokio::test]
async fn sqlite_keeps_what_is_promised() {
    for (name, case) in CASES {
        let folder = tempfile::tempdir().unwrap();
        println!("{name}");
        let store = open(Store::file_url(&folder.path().join("store.db")), folder.path()).await;
        case(store.clone()).await;
        store.close().await;
    }
}

#[tokio::test]
async fn postgresql_keeps_what_is_promised() {
    let server = postgresql();
    let admin = AnyPoolOptions::new().max_connections(1);
    sqlx::any::install_default_drivers();
    let admin = admin.connect(server.url()).await.unwrap();
    for (name, case) in CASES {
        let folder = tempfile::tempdir().unwrap();
        println!("{name}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&admin).await.unwrap();
        let mut url: url::Url = server.url().parse().unwrap();
        url.set_path(name);
        let store = open(url.to_string(), folder.path()).await;
        case(store.clone()).await;
        store.close().await;
    }
    admin.close().await;
}

fn grant() -> Grant {
    let folder = tempfile::tempdir().unwrap();
    let configuration = Configuration::resolve(folder.path(), Mode::Local, &Overrides::default()).unwrap();
    Grant::new(configuration.sandbox(), &Ceiling::none())
}

pub(crate) fn new_run() -> NewRun {
    NewRun {
        run: RunId::new(),
        project: "quotes".to_owned(),
        component: ComponentRef { digest: Digest::of(b"wasm"), size: 4 },
        grant: grant(),
        capabilities: serde_json::json!([]),
        agents: 2,
        idempotency_key: None,
        replay_of: None,
    }
}

fn job(run: RunId, index: u64) -> Job {
    Job { uuid: run.job(index), index, message: RawValue::from_string(format!(r#"{{"n": {index}}}"#)).unwrap() }
}

/// A run that goes on, with so many jobs on the queue.
async fn running(store: &Store, jobs: u64) -> RunId {
    let new = new_run();
    let run = new.run;
    store.create_run(new).await.unwrap();
    store.set_status(run, RunStatus::Dispatching, None).await.unwrap();
    store.add_jobs(run, (0..jobs).map(|index| job(run, index)).collect()).await.unwrap();
    store.queued(run, (0..jobs).collect()).await.unwrap();
    store.dispatched(run).await.unwrap();
    run
}

async fn begin(store: &Store, run: RunId, index: u64, by: Incarnation) -> Attempt {
    match store.start(run, &job(run, index), by).await.unwrap() {
        Start::Attempt(attempt) => attempt,
        other => panic!("{other:?}"),
    }
}

fn success() -> Outcome {
    Outcome::Success { result: RawValue::from_string("[1, 2.50]".to_owned()).unwrap() }
}

async fn job_view(store: &Store, run: RunId, index: u64) -> JobView {
    let select = format!("SELECT {} FROM jobs WHERE id = $1", views::JOB_COLUMNS);
    let select = sqlx::query_as(sqlx::AssertSqlSafe(select)).bind(run.job(index).to_string());
    select.fetch_one(store.pool()).await.unwrap()
}
