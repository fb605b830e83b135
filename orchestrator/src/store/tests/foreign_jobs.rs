//! Jobs that somebody else has put on the queue of a run.

use armada_protocol::{Incarnation, Job, JobStore as _, Start};

use super::{begin, job, job_view, running, success};
use crate::store::Store;
use crate::store::views::{JobStatus, RunStatus};

pub(super) async fn a_job_of_somebody_else_is_a_job(store: Store) {
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

pub(super) async fn a_job_of_somebody_else_that_comes_too_late_is_known_and_can_be_retried(store: Store) {
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

pub(super) async fn a_job_of_another_run_is_not_done(store: Store) {
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
