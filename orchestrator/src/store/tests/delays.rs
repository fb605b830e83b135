//! Jobs that get another attempt later: when they are looked at again, and when not.

use std::sync::Arc;
use std::time::Duration;

use armada_protocol::{AgentState, Cause, Incarnation, JobStore as _, Outcome};

use super::{begin, running};
use crate::store::{Retry, Store};

pub(super) async fn a_job_whose_time_has_come_is_waited_for_no_more(store: Store) {
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

pub(super) async fn jobs_that_wait_for_their_time_are_not_looked_at_until_a_restart(store: Store) {
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
