//! What the store promises, for SQLite and for PostgreSQL alike.

use std::time::Duration;

use armada_project::{Ceiling, ComponentRef, Configuration, Digest, Grant, Mode, Overrides};
use armada_protocol::report::{Artifact, Event, EventLevel, LogLevel, LogLine};
use armada_protocol::{
    AgentState, Attempt, Cause, Incarnation, Job, JobStore, Next, Outcome, Report, RunId, Start, Stop,
};
use armada_tests::cut::Cut;
use armada_tests::servers::postgresql;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use proptest::prelude::*;
use serde_json::value::RawValue;

use super::views::{JobStatus, JobView, RunStatus};
use super::*;

type Case = (&'static str, fn(Store) -> BoxFuture<'static, ()>);

macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        const CASES: &[Case] = &[$((stringify!($name), |store| $name(store).boxed())),*];
    };
}

cases![
    a_run_is_drained_by_its_last_outcome,
    a_job_is_begun_once_however_often_it_is_delivered,
    the_job_of_an_agent_that_died_goes_to_another,
    a_job_that_was_handed_back_has_all_its_attempts,
    a_late_outcome_changes_nothing,
    a_retryable_failure_waits_and_the_last_one_ends_the_job,
    a_paused_run_begins_nothing,
    a_cancelled_run_begins_nothing_and_what_is_left_is_cancelled,
    failed_jobs_can_be_retried,
    the_same_request_is_the_same_run,
    a_job_of_somebody_else_is_a_job,
    a_job_of_somebody_else_that_comes_too_late_is_known_and_can_be_retried,
    a_job_of_another_run_is_not_done,
    an_agent_ends_its_own_attempts_only,
    an_attempt_reports_no_more_than_its_run_allows,
    an_agent_that_is_never_heard_of_again_loses_its_job,
    who_is_gone_takes_nothing_of_the_process_after_it,
    a_job_whose_time_has_come_is_waited_for_no_more,
    jobs_that_wait_for_their_time_are_not_looked_at_until_a_restart,
    an_end_that_was_stored_unheard_is_told,
    reports_and_artifacts_are_kept_while_the_attempt_is_open,
    changes_are_numbered_in_their_order,
    a_deleted_run_leaves_nothing,
    a_run_does_not_go_back,
    what_breaks_a_rule_of_the_tables_is_refused_and_what_is_away_may_come_back,
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

async fn a_run_is_drained_by_its_last_outcome(store: Store) {
    let run = running(&store, 2).await;
    let (a, b) = (Incarnation::new(0), Incarnation::new(1));
    let (first, second) = (begin(&store, run, 0, a).await, begin(&store, run, 1, b).await);
    assert_eq!(store.finish(first, success()).await.unwrap(), Next::Ended);
    assert_eq!(store.run(run).await.unwrap().status, RunStatus::Running);
    assert!(store.stopped(run).now_or_never().is_none());
    assert_eq!(store.finish(second, Outcome::failed(Cause::Failed, "no \0 such page")).await.unwrap(), Next::Ended);
    let view = store.run(run).await.unwrap();
    assert_eq!((view.status, view.jobs_succeeded, view.jobs_failed), (RunStatus::Draining, 1, 1));
    assert_eq!(store.stopped(run).await.unwrap(), Stop::Drained);
    let view = job_view(&store, run, 0).await;
    assert_eq!((view.job_status, view.result.unwrap().get()), (JobStatus::Success, "[1, 2.50]"));
    let dead: Vec<u64> = store.jobs_to_bury(run, 10).await.unwrap().iter().map(|job| job.index).collect();
    assert_eq!(dead, [1]);
}

async fn a_job_is_begun_once_however_often_it_is_delivered(store: Store) {
    let run = running(&store, 1).await;
    let (a, b) = (Incarnation::new(0), Incarnation::new(1));
    let attempt = begin(&store, run, 0, a).await;
    // The answer got lost: the same agent asks again.
    assert_eq!(begin(&store, run, 0, a).await, attempt);
    assert_eq!(store.start(run, &job(run, 0), b).await.unwrap(), Start::Elsewhere);
    assert_eq!(store.finish(attempt, success()).await.unwrap(), Next::Ended);
    assert_eq!(store.finish(attempt, success()).await.unwrap(), Next::Ended);
    assert_eq!(store.start(run, &job(run, 0), b).await.unwrap(), Start::Ended);
    assert_eq!(store.run(run).await.unwrap().jobs_succeeded, 1);
}

async fn the_job_of_an_agent_that_died_goes_to_another(store: Store) {
    let run = running(&store, 1).await;
    let (a, b) = (Incarnation::new(0), Incarnation::new(1));
    let lost = begin(&store, run, 0, a).await;
    let died = AgentState::Died { message: "killed".to_owned() };
    store.agent(run, a, died).await.unwrap();
    assert_eq!(job_view(&store, run, 0).await.job_status, JobStatus::Waiting);
    assert_eq!(begin(&store, run, 0, b).await.number, 2);
    assert_eq!(store.finish(lost, success()).await.unwrap(), Next::Ended);
    assert_eq!(job_view(&store, run, 0).await.job_status, JobStatus::Running);
    // Another process of the same agent has nothing of the one before it.
    let again = Incarnation::new(1);
    assert_eq!(begin(&store, run, 0, again).await.number, 3);
    store.agent_is_gone(run, again, "silent".to_owned()).await.unwrap();
    let view = job_view(&store, run, 0).await;
    assert_eq!((view.job_status, view.attempts), (JobStatus::Failed, 3));
    assert!(view.error.unwrap().get().contains("agent 1 died during attempt 3"));
    assert_eq!(store.run(run).await.unwrap().status, RunStatus::Draining);
}

async fn a_job_that_was_handed_back_has_all_its_attempts(store: Store) {
    let run = running(&store, 1).await;
    for agent in 0..5 {
        let by = Incarnation::new(agent);
        begin(&store, run, 0, by).await;
        store.agent(run, by, AgentState::Closed).await.unwrap();
        assert_eq!(job_view(&store, run, 0).await.job_status, JobStatus::Waiting);
    }
    let attempt = begin(&store, run, 0, Incarnation::new(9)).await;
    assert_eq!(store.finish(attempt, Outcome::failed(Cause::Retry, "once")).await.unwrap(), Next::Later);
}

async fn a_late_outcome_changes_nothing(store: Store) {
    let run = running(&store, 1).await;
    let by = Incarnation::new(0);
    let old = begin(&store, run, 0, by).await;
    assert_eq!(store.finish(old, Outcome::failed(Cause::Retry, "once")).await.unwrap(), Next::Later);
    assert_eq!(store.finish(old, success()).await.unwrap(), Next::Later);
    let new = begin(&store, run, 0, by).await;
    assert_eq!((old.number, new.number), (1, 2));
    assert_eq!(store.finish(old, success()).await.unwrap(), Next::Ended);
    assert_eq!(job_view(&store, run, 0).await.job_status, JobStatus::Running);
    store.finish(new, Outcome::failed(Cause::Failed, "no")).await.unwrap();
    store.finish(old, success()).await.unwrap();
    assert_eq!(job_view(&store, run, 0).await.job_status, JobStatus::Failed);
}

async fn a_retryable_failure_waits_and_the_last_one_ends_the_job(store: Store) {
    let run = running(&store, 1).await;
    for number in 1..=3 {
        let attempt = begin(&store, run, 0, Incarnation::new(0)).await;
        assert_eq!(attempt.number, number);
        let next = store.finish(attempt, Outcome::failed(Cause::Retry, "again")).await.unwrap();
        assert_eq!(next, if number < 3 { Next::Later } else { Next::Ended });
    }
    assert_eq!(job_view(&store, run, 0).await.job_status, JobStatus::Failed);
    assert_eq!(store.stopped(run).await.unwrap(), Stop::Drained);
}

async fn a_paused_run_begins_nothing(store: Store) {
    let run = running(&store, 1).await;
    store.pause_run(run, true).await.unwrap();
    let by = Incarnation::new(0);
    assert!(matches!(store.start(run, &job(run, 0), by).await.unwrap(), Start::Paused { .. }));
    store.pause_run(run, false).await.unwrap();
    begin(&store, run, 0, by).await;
}

async fn a_cancelled_run_begins_nothing_and_what_is_left_is_cancelled(store: Store) {
    let run = running(&store, 3).await;
    let by = Incarnation::new(0);
    let attempt = begin(&store, run, 0, by).await;
    store.cancel_run(run).await.unwrap();
    assert_eq!(store.stopped(run).await.unwrap(), Stop::Cancelled);
    assert_eq!(store.start(run, &job(run, 1), Incarnation::new(1)).await.unwrap(), Start::Ended);
    assert_eq!(store.finish(attempt, Outcome::Cancelled).await.unwrap(), Next::Ended);
    store.abandon(run, Outcome::Cancelled).await.unwrap();
    store.pause_run(run, true).await.unwrap();
    let view = store.set_status(run, RunStatus::Cancelled, None).await.unwrap();
    assert_eq!((view.jobs_cancelled, view.jobs, view.paused), (3, 3, false));
    assert!(view.finished_at.is_some());
}

async fn failed_jobs_can_be_retried(store: Store) {
    let run = running(&store, 2).await;
    let by = Incarnation::new(0);
    let good = begin(&store, run, 0, by).await;
    store.finish(good, success()).await.unwrap();
    assert!(matches!(store.retry_failed(run).await, Err(StoreError::Conflict(_))), "it goes on");
    let bad = begin(&store, run, 1, by).await;
    store.finish(bad, Outcome::failed(Cause::Failed, "no")).await.unwrap();
    store.set_status(run, RunStatus::Failed, None).await.unwrap();
    assert_eq!(store.retry_failed(run).await.unwrap(), 1);
    assert!(store.stopped(run).now_or_never().is_none(), "its agents do not stop again");
    store.dispatched(run).await.unwrap();
    let again = begin(&store, run, 1, by).await;
    assert_eq!(again.number, 2);
    store.finish(again, success()).await.unwrap();
    let view = store.run(run).await.unwrap();
    assert_eq!((view.status, view.jobs_succeeded, view.jobs_failed), (RunStatus::Draining, 2, 0));
    store.set_status(run, RunStatus::Succeeded, None).await.unwrap();
    assert!(matches!(store.retry_failed(run).await, Err(StoreError::Conflict(_))), "none has failed");
}

async fn the_same_request_is_the_same_run(store: Store) {
    let key = |key: &str| NewRun { idempotency_key: Some(key.to_owned()), ..new_run() };
    let first = key("a");
    let run = first.run;
    assert_eq!(store.create_run(first).await.unwrap(), Stored::New);
    let both = tokio::join!(store.create_run(key("a")), store.create_run(key("b")));
    assert_eq!((both.0.unwrap(), both.1.unwrap()), (Stored::Before(run), Stored::New));
}

async fn a_job_of_somebody_else_is_a_job(store: Store) {
    let run = running(&store, 1).await;
    let by = Incarnation::new(0);
    let foreign = Job { uuid: uuid::Uuid::new_v4(), ..job(run, 0) };
    let Start::Attempt(attempt) = store.start(run, &foreign, by).await.unwrap() else { panic!() };
    assert_eq!(attempt.index, run.place(foreign.uuid), "its place is its own");
    store.finish(attempt, success()).await.unwrap();
    assert_eq!(store.run(run).await.unwrap().status, RunStatus::Running);
    let own = begin(&store, run, 0, by).await;
    store.finish(own, success()).await.unwrap();
    let view = store.run(run).await.unwrap();
    assert_eq!((view.status, view.jobs, view.jobs_succeeded), (RunStatus::Draining, 2, 2));
}

async fn a_job_of_somebody_else_that_comes_too_late_is_known_and_can_be_retried(store: Store) {
    let run = running(&store, 1).await;
    let by = Incarnation::new(0);
    let own = begin(&store, run, 0, by).await;
    store.finish(own, success()).await.unwrap();
    let late = Job { uuid: uuid::Uuid::new_v4(), ..job(run, 0) };
    for _ in 0..2 {
        assert_eq!(store.start(run, &late, by).await.unwrap(), Start::Ended);
    }
    let view = store.run(run).await.unwrap();
    assert_eq!((view.status, view.jobs, view.jobs_failed), (RunStatus::Draining, 2, 1));
    let dead: Vec<_> = store.jobs_to_bury(run, 10).await.unwrap().iter().map(|job| job.uuid).collect();
    assert_eq!(dead, [late.uuid]);
    store.set_status(run, RunStatus::Failed, None).await.unwrap();
    assert_eq!(store.retry_failed(run).await.unwrap(), 1);
    assert!(matches!(store.start(run, &late, by).await.unwrap(), Start::Attempt(_)));
    store.cancel_run(run).await.unwrap();
    let later = Job { uuid: uuid::Uuid::new_v4(), ..job(run, 0) };
    assert_eq!(store.start(run, &later, by).await.unwrap(), Start::Ended);
    assert_eq!(store.run(run).await.unwrap().jobs_cancelled, 1, "who cancels a run cancels what is on its queue");
}

async fn a_job_of_another_run_is_not_done(store: Store) {
    let (run, other) = (running(&store, 1).await, running(&store, 1).await);
    let copied = Job { index: u64::MAX, ..job(other, 0) };
    assert_eq!(store.start(run, &copied, Incarnation::new(0)).await.unwrap(), Start::Ended);
    assert_eq!(store.run(run).await.unwrap().jobs, 1);
    let not_dispatched_yet = job(other, 7);
    assert_eq!(store.start(run, &not_dispatched_yet, Incarnation::new(0)).await.unwrap(), Start::Ended);
    let beyond = Job { uuid: uuid::Uuid::new_v4(), ..copied };
    assert!(matches!(store.start(run, &beyond, Incarnation::new(0)).await.unwrap(), Start::Attempt(_)));
    assert_eq!(job_view(&store, other, 0).await.job_status, JobStatus::Queued);
}

async fn an_agent_ends_its_own_attempts_only(store: Store) {
    let run = running(&store, 1).await;
    let attempt = begin(&store, run, 0, Incarnation::new(0)).await;
    store.finish(Attempt { agent: 1, ..attempt }, success()).await.unwrap();
    assert_eq!(job_view(&store, run, 0).await.job_status, JobStatus::Running);
    assert_eq!(store.finish(attempt, success()).await.unwrap(), Next::Ended);
}

async fn an_attempt_reports_no_more_than_its_run_allows(store: Store) {
    let run = running(&store, 1).await;
    let attempt = begin(&store, run, 0, Incarnation::new(0)).await;
    let artifact = |name: &str, bytes: usize| {
        Report::Artifact(Artifact { name: name.into(), media_type: "text/plain".into(), bytes: vec![7; bytes] })
    };
    let line = |bytes: usize| {
        let (time, level) = (jiff::Timestamp::UNIX_EPOCH, LogLevel::Info);
        Report::Log(LogLine { time, level, text: "x".repeat(bytes) })
    };
    let report = async |first, reports| JobStore::report(&store, attempt, first, reports).await;
    let most = usize::try_from(grant().limits().artifact_bytes_per_job).unwrap();
    report(0, vec![artifact("a", most / 2)]).await.unwrap();
    // Another version takes the place of the one before.
    report(1, vec![artifact("a", most)]).await.unwrap();
    assert!(report(2, vec![artifact("b", 1)]).await.is_err());
    assert!(report(2, vec![line(1 << 20)]).await.is_err(), "a line as long as that");
    assert!(report(u64::MAX, vec![line(1)]).await.is_err(), "as many reports as that");
    let mut taken = 0;
    while report(2 + 64 * taken, vec![line(60 << 10); 64]).await.is_ok() {
        taken += 1;
        assert!(taken < 100, "it never ends");
    }
    assert!(taken > 0);
    store.finish(attempt, success()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_unheard_is_known() {
    let server = postgresql();
    let cut = Cut::before(server.port());
    let mut url: url::Url = server.url().parse().unwrap();
    url.set_port(Some(cut.port())).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = open(url.to_string(), folder.path()).await;
    let run = running(&store, 1).await;
    let attempt = begin(&store, run, 0, Incarnation::new(0)).await;
    let mut watch = store.watch();
    cut.lose_the_answer_to(b"COMMIT");
    let again = Outcome::failed(Cause::Retry, "not yet");
    assert_eq!(store.finish(attempt, again).await.unwrap(), Next::Later);
    assert_eq!(watch.try_recv().unwrap().kind, "job", "those who watch hear of it");
    let mut waiting = Vec::new();
    while waiting.is_empty() {
        store.wait_for_work(run, Duration::from_millis(10)).await;
        store.end_delays(run).await.unwrap();
        waiting = store.waiting_jobs(run, false, 10).await.unwrap();
    }
    assert_eq!(waiting[0].uuid, run.job(0), "its time comes");
    store.close().await;
}

async fn an_agent_that_is_never_heard_of_again_loses_its_job(store: Store) {
    let run = running(&store, 1).await;
    let (a, b) = (Incarnation::new(0), Incarnation::new(1));
    begin(&store, run, 0, a).await;
    // The server is started again: nobody was heard of, and who was alive may still be.
    let again = Store { live: Arc::default(), lease: Duration::from_millis(20), ..store };
    assert_eq!(again.start(run, &job(run, 0), b).await.unwrap(), Start::Elsewhere);
    while !again.silent_agents(run).await.unwrap().contains(&a) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    again.agent_is_gone(run, a, "silent".to_owned()).await.unwrap();
    assert_eq!(begin(&again, run, 0, b).await.number, 2);
}

async fn who_is_gone_takes_nothing_of_the_process_after_it(store: Store) {
    let run = running(&store, 2).await;
    let (old, new) = (Incarnation::new(0), Incarnation::new(0));
    store.agent(run, old, AgentState::Open).await.unwrap();
    begin(&store, run, 0, old).await;
    store.agent(run, new, AgentState::Open).await.unwrap();
    begin(&store, run, 1, new).await;
    store.agent_is_gone(run, old, "silent".to_owned()).await.unwrap();
    store.agent(run, old, AgentState::Closed).await.unwrap();
    assert_eq!(job_view(&store, run, 0).await.job_status, JobStatus::Waiting);
    assert_eq!(job_view(&store, run, 1).await.job_status, JobStatus::Running);
    assert_eq!(store.start(run, &job(run, 1), Incarnation::new(1)).await.unwrap(), Start::Elsewhere);
    let select = sqlx::query_scalar("SELECT state FROM agents WHERE run_id = $1").bind(run.to_string());
    let states: Vec<String> = select.fetch_all(store.pool()).await.unwrap();
    assert_eq!(states, ["Open"]);
}

async fn a_job_whose_time_has_come_is_waited_for_no_more(store: Store) {
    let run = running(&store, 1).await;
    let attempt = begin(&store, run, 0, Incarnation::new(0)).await;
    store.finish(attempt, Outcome::failed(Cause::Retry, "again")).await.unwrap();
    while store.waiting_jobs(run, false, 10).await.unwrap().is_empty() {
        store.wait_for_work(run, Duration::from_secs(60)).await;
        store.end_delays(run).await.unwrap();
    }
    store.queued(run, vec![0]).await.unwrap();
    // It is on the queue, and nobody takes it: there is nothing to do.
    let waiting = tokio::time::timeout(Duration::from_millis(100), async {
        store.wait_for_work(run, Duration::from_secs(60)).await;
        store.wait_for_work(run, Duration::from_secs(60)).await;
    });
    assert!(waiting.await.is_err(), "there is work again and again");
}

async fn jobs_that_wait_for_their_time_are_not_looked_at_until_a_restart(store: Store) {
    let retry = Retry { first: Duration::from_secs(600), longest: Duration::from_secs(600) };
    let store = Store { retry, ..store };
    let run = running(&store, 4).await;
    let by = Incarnation::new(0);
    for index in 0..2 {
        let attempt = begin(&store, run, index, by).await;
        store.finish(attempt, Outcome::failed(Cause::Retry, "again")).await.unwrap();
    }
    begin(&store, run, 2, by).await;
    store.agent(run, by, AgentState::Closed).await.unwrap();
    let waiting = async |store: &Store| {
        store.end_delays(run).await.unwrap();
        let jobs = store.waiting_jobs(run, false, 2).await.unwrap();
        jobs.iter().map(|job| job.index).collect::<Vec<_>>()
    };
    assert_eq!(waiting(&store).await, [2], "there is room for one more, and it does not go to one that waits");
    // One of them is delivered a second time before its time has come.
    let early = begin(&store, run, 0, by).await;
    store.finish(early, Outcome::failed(Cause::Failed, "no")).await.unwrap();
    let again = Store { live: Arc::default(), ..store };
    assert_eq!(waiting(&again).await, [2]);
    again.forget_delays(run).await.unwrap();
    assert_eq!(waiting(&again).await, [1, 2]);
}

async fn an_end_that_was_stored_unheard_is_told(store: Store) {
    let run = running(&store, 1).await;
    let told = tokio::spawn({
        let store = store.clone();
        async move { store.stopped(run).await.unwrap() }
    });
    store.tell_stop(run).await.unwrap();
    assert!(store.stopped(run).now_or_never().is_none());
    tokio::task::yield_now().await;
    let update = sqlx::query("UPDATE runs SET status = 'Draining' WHERE id = $1").bind(run.to_string());
    update.execute(store.pool()).await.unwrap();
    store.tell_stop(run).await.unwrap();
    assert_eq!(told.await.unwrap(), Stop::Drained);
}

async fn reports_and_artifacts_are_kept_while_the_attempt_is_open(store: Store) {
    let run = running(&store, 1).await;
    let attempt = begin(&store, run, 0, Incarnation::new(0)).await;
    let event = |content: &str| {
        Report::Event(Event {
            time: jiff::Timestamp::UNIX_EPOCH,
            level: EventLevel::Success,
            content: content.to_owned(),
            attachment: None,
        })
    };
    let artifact = |name: &str, bytes: &[u8]| {
        Report::Artifact(Artifact { name: name.into(), media_type: "text/plain".into(), bytes: bytes.to_vec() })
    };
    let reports = vec![event("one"), artifact("a.txt", b"old"), artifact("a.txt", b"newer"), event("two\0")];
    JobStore::report(&store, attempt, 0, reports.clone()).await.unwrap();
    // The answer got lost: it is said again.
    JobStore::report(&store, attempt, 0, reports).await.unwrap();
    assert!(JobStore::report(&store, attempt, 4, vec![artifact("../a", b"")]).await.is_err());
    store.finish(attempt, success()).await.unwrap();
    JobStore::report(&store, attempt, 4, vec![event("late")]).await.unwrap();
    let select = sqlx::query_scalar("SELECT content FROM reports WHERE job_id = $1 ORDER BY seq");
    let told: Vec<String> = select.bind(attempt.job.to_string()).fetch_all(store.pool()).await.unwrap();
    assert_eq!(told, ["one", "two\u{fffd}"]);
    let path = store.artifacts_of(run.0, 0).join("a.txt");
    assert_eq!(std::fs::read(path).unwrap(), b"newer");
    assert_eq!(std::fs::read_dir(store.artifacts_of(run.0, 0)).unwrap().count(), 1);
}

async fn changes_are_numbered_in_their_order(store: Store) {
    let mut watch = store.watch();
    let run = running(&store, 3).await;
    let attempt = begin(&store, run, 0, Incarnation::new(0)).await;
    store.finish(attempt, success()).await.unwrap();
    let select = sqlx::query_scalar("SELECT seq FROM changes ORDER BY seq");
    let stored: Vec<i64> = select.fetch_all(store.pool()).await.unwrap();
    let mut told = Vec::new();
    while let Ok(change) = watch.try_recv() {
        told.push(i64::try_from(change.seq).unwrap());
    }
    assert_eq!(stored, told);
    assert!(told.is_sorted_by(|a, b| a < b) && told.len() > 4);
}

async fn a_deleted_run_leaves_nothing(store: Store) {
    let run = running(&store, 1).await;
    let attempt = begin(&store, run, 0, Incarnation::new(0)).await;
    assert!(matches!(store.delete_run(run).await, Err(StoreError::Conflict(_))), "it goes on");
    store.finish(attempt, success()).await.unwrap();
    store.set_status(run, RunStatus::Succeeded, None).await.unwrap();
    store.delete_run(run).await.unwrap();
    for table in ["runs", "jobs", "attempts", "reports", "artifacts", "agents"] {
        let select = sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}"));
        let rows: i64 = sqlx::query_scalar(select).fetch_one(store.pool()).await.unwrap();
        assert_eq!(rows, 0, "{table}");
    }
    assert!(matches!(store.run(run).await, Err(StoreError::NotFound(_))));
}

async fn a_run_does_not_go_back(store: Store) {
    let run = running(&store, 1).await;
    for status in [RunStatus::Pending, RunStatus::Dispatching, RunStatus::Succeeded] {
        assert!(matches!(store.set_status(run, status, None).await, Err(StoreError::Conflict(_))), "{status:?}");
    }
}

async fn what_breaks_a_rule_of_the_tables_is_refused_and_what_is_away_may_come_back(store: Store) {
    let insert = async |seq: i64, status: Option<&'static str>| {
        let insert = "INSERT INTO runs (id, seq, project, status, created_at) VALUES ($1, $2, '', $3, 0)";
        let id = uuid::Uuid::new_v4().to_string();
        let writing = store.writer.write(move |book| {
            async move {
                sqlx::query(insert).bind(id).bind(seq).bind(status).execute(book.sql()).await?;
                Ok(())
            }
            .boxed()
        });
        writing.await
    };
    insert(1, Some("Running")).await.unwrap();
    for refused in [insert(1, Some("Running")).await, insert(2, None).await] {
        let error = refused.unwrap_err();
        assert!(matches!(error, StoreError::Refused(_)) && !error.may_pass(), "{error:?}");
        assert!(matches!(ProtocolError::from(error), ProtocolError::Invalid(_)));
    }
    let nonsense = sqlx::query("SELECT nothing").execute(store.pool()).await.map_err(StoreError::from);
    assert!(!nonsense.unwrap_err().may_pass());
    store.pool.close().await;
    for away in [insert(3, Some("Running")).await, store.answers().await] {
        let error = away.unwrap_err();
        assert!(error.may_pass(), "{error:?}");
        assert!(matches!(ProtocolError::from(error), ProtocolError::Unavailable(_)));
    }
}

#[test]
fn what_a_database_says_of_itself_may_pass() {
    let busy_full_or_ending =
        ["5", "517", "6", "10", "778", "13", "14", "53100", "57P01", "57P03", "08006", "40001", "55P03"];
    let broken_rules = ["19", "787", "2067", "1", "11", "23505", "23503", "22001", "42P01", "28P01", ""];
    assert!(busy_full_or_ending.iter().all(|code| may_pass(code)));
    assert!(!broken_rules.iter().any(|code| may_pass(code)));
}

#[derive(Clone, Debug)]
enum Step {
    Start { job: u64, agent: u32 },
    Finish { held: usize, retry: bool, well: bool },
    Die { agent: u32 },
    Close { agent: u32 },
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u64..4, 0_u32..3).prop_map(|(job, agent)| Step::Start { job, agent }),
        4 => (any::<prop::sample::Index>(), any::<bool>(), any::<bool>())
            .prop_map(|(held, retry, well)| Step::Finish { held: held.index(64), retry, well }),
        1 => (0_u32..3).prop_map(|agent| Step::Die { agent }),
        1 => (0_u32..3).prop_map(|agent| Step::Close { agent }),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever is delivered, said twice, said late or lost: each job ends once, its attempts are numbered without gaps, and the
    /// counts of the run are those of its jobs.
    #[test]
    fn every_job_ends_once_whatever_happens(steps in prop::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let url = Store::file_url(&folder.path().join("store.db"));
            let mut store = open(url.clone(), folder.path()).await;
            let run = running(&store, 4).await;
            let mut agents: Vec<Incarnation> = (0..3).map(Incarnation::new).collect();
            let mut held: Vec<Attempt> = Vec::new();
            let mut ends = std::collections::HashMap::new();
            for step in steps {
                match step {
                    Step::Start { job: index, agent } => {
                        let by = agents[agent as usize];
                        if let Start::Attempt(attempt) = store.start(run, &job(run, index), by).await.unwrap() {
                            held.push(attempt);
                        }
                    }
                    Step::Finish { held: which, retry, well } => {
                        if held.is_empty() { continue }
                        let attempt = held[which % held.len()];
                        let cause = if retry { Cause::Retry } else { Cause::Failed };
                        let outcome = if well { success() } else { Outcome::failed(cause, "no") };
                        store.finish(attempt, outcome).await.unwrap();
                    }
                    Step::Die { agent } => {
                        let died = AgentState::Died { message: "killed".to_owned() };
                        store.agent(run, agents[agent as usize], died).await.unwrap();
                        agents[agent as usize] = Incarnation::new(agent);
                    }
                    Step::Close { agent } => {
                        store.agent(run, agents[agent as usize], AgentState::Closed).await.unwrap();
                        agents[agent as usize] = Incarnation::new(agent);
                    }
                    Step::Restart => {
                        store.close().await;
                        store = open(url.clone(), folder.path()).await;
                    }
                }
                for index in 0..4 {
                    let view = job_view(&store, run, index).await;
                    if view.job_status.has_ended() {
                        let end = (view.job_status, view.attempts, view.finished_at);
                        assert_eq!(*ends.entry(index).or_insert(end), end, "a job ends once");
                    } else {
                        assert!(!ends.contains_key(&index), "what has ended stays so");
                    }
                    let select = sqlx::query_scalar("SELECT attempt FROM attempts WHERE job_id = $1 ORDER BY attempt");
                    let attempts: Vec<i64> =
                        select.bind(run.job(index).to_string()).fetch_all(store.pool()).await.unwrap();
                    assert_eq!(attempts, (1..=i64::try_from(view.attempts).unwrap()).collect::<Vec<_>>());
                }
                let view = store.run(run).await.unwrap();
                let ended = view.jobs_succeeded + view.jobs_failed + view.jobs_cancelled;
                assert_eq!(ended, ends.len() as u64);
                assert_eq!(view.status == RunStatus::Draining, ended == 4);
            }
            store.close().await;
        });
    }
}
