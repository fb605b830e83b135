//! Runs, from the request for one to its removal: what begins, pauses, cancels, ends and repeats them.

use armada_protocol::{Cause, Incarnation, JobStore as _, Next, Outcome, Start, Stop};
use futures::FutureExt as _;

use super::{begin, job, job_view, new_run, running, success};
use crate::store::views::{JobStatus, RunStatus};
use crate::store::{NewRun, Store, StoreError, Stored};

pub(super) async fn the_same_request_is_the_same_run(store: Store) {
    let key = |key: &str| NewRun { idempotency_key: Some(key.to_owned()), ..new_run() };
    let first = key("a");
    let run = first.run;
    assert_eq!(store.create_run(first).await.unwrap(), Stored::New);
    let both = tokio::join!(store.create_run(key("a")), store.create_run(key("b")));
    assert_eq!((both.0.unwrap(), both.1.unwrap()), (Stored::Before(run), Stored::New));
}

pub(super) async fn a_run_is_drained_by_its_last_outcome(store: Store) {
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

pub(super) async fn an_end_that_was_stored_unheard_is_told(store: Store) {
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

pub(super) async fn a_paused_run_begins_nothing(store: Store) {
    let run = running(&store, 1).await;
    store.pause_run(run, true).await.unwrap();
    let by = Incarnation::new(0);
    assert!(matches!(store.start(run, &job(run, 0), by).await.unwrap(), Start::Paused { .. }));
    store.pause_run(run, false).await.unwrap();
    begin(&store, run, 0, by).await;
}

pub(super) async fn a_cancelled_run_begins_nothing_and_what_is_left_is_cancelled(store: Store) {
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

pub(super) async fn failed_jobs_can_be_retried(store: Store) {
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

pub(super) async fn a_run_does_not_go_back(store: Store) {
    let run = running(&store, 1).await;
    for status in [RunStatus::Pending, RunStatus::Dispatching, RunStatus::Succeeded] {
        assert!(matches!(store.set_status(run, status, None).await, Err(StoreError::Conflict(_))), "{status:?}");
    }
}

pub(super) async fn a_deleted_run_leaves_nothing(store: Store) {
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
