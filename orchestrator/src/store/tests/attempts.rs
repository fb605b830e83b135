//! Attempts: what becomes of a delivery, and of a job after each of them.

use armada_protocol::{Attempt, Cause, Incarnation, JobStore as _, Next, Outcome, Start, Stop};

use super::{begin, job, job_view, running, success};
use crate::store::Store;
use crate::store::views::JobStatus;

pub(super) async fn a_job_is_begun_once_however_often_it_is_delivered(store: Store) {
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

pub(super) async fn a_late_outcome_changes_nothing(store: Store) {
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

pub(super) async fn a_retryable_failure_waits_and_the_last_one_ends_the_job(store: Store) {
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

pub(super) async fn an_agent_ends_its_own_attempts_only(store: Store) {
    let run = running(&store, 1).await;
    let attempt = begin(&store, run, 0, Incarnation::new(0)).await;
    store.finish(Attempt { agent: 1, ..attempt }, success()).await.unwrap();
    assert_eq!(job_view(&store, run, 0).await.job_status, JobStatus::Running);
    assert_eq!(store.finish(attempt, success()).await.unwrap(), Next::Ended);
}
