//! What is asked of a conductor at the wrong time, or while something is away.

use std::time::Duration;

use armada_protocol::embedded::{EmbeddedQueue, EmbeddedRunStore};
use armada_protocol::rabbitmq::RabbitQueue;
use armada_protocol::{Incarnation, Job, Start};
use serde_json::value::RawValue;

use super::*;
use crate::store::StoreOptions;
use crate::store::tests::new_run;

async fn conductor(folder: &std::path::Path, queue: Arc<dyn JobQueue>) -> Conductor {
    let mut settings = Settings::new(folder.into(), folder.join("cache"), AgentMode::External);
    settings.grace = Duration::from_millis(10);
    let store = Store::open(StoreOptions {
        url: Store::file_url(&folder.join("store.db")),
        artifacts: folder.join("artifacts"),
        lease: settings.agent_silence,
        retry: settings.retry.clone(),
    });
    let runs = Arc::new(EmbeddedRunStore::default());
    let credentials = Credentials::open(folder).unwrap();
    Conductor::new(store.await.unwrap(), queue, runs, Sandbox::new().unwrap(), credentials, Arc::new(settings))
}

/// A run with one job, which has failed.
async fn failed(store: &Store) -> RunId {
    let new = new_run();
    let run = new.run;
    store.create_run(new).await.unwrap();
    store.set_status(run, RunStatus::Dispatching, None).await.unwrap();
    let job = Job { uuid: run.job(0), index: 0, message: RawValue::from_string("{}".to_owned()).unwrap() };
    store.add_jobs(run, vec![job.clone()]).await.unwrap();
    let Start::Attempt(attempt) = store.start(run, &job, Incarnation::new(0)).await.unwrap() else { panic!() };
    store.finish(attempt, Outcome::failed(Cause::Failed, "no")).await.unwrap();
    run
}

#[tokio::test]
async fn the_retry_of_a_run_that_goes_on_is_refused_at_once_and_the_server_ends_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let conductor = conductor(folder.path(), Arc::new(EmbeddedQueue::default())).await;
    let run = failed(&conductor.shared.store).await;
    conductor.conducting().insert(run, tokio::spawn(std::future::pending()));
    let retried = tokio::time::timeout(Duration::from_secs(60), conductor.retry(run)).await.unwrap();
    assert!(matches!(retried, Err(ConductorError::Store(StoreError::Conflict(_)))), "{retried:?}");
    assert!(conductor.conducting().contains_key(&run), "it is conducted still");
    tokio::time::timeout(Duration::from_secs(60), conductor.close()).await.unwrap();
    conductor.shared.store.close().await;
}

#[tokio::test]
async fn a_retry_that_cannot_be_conducted_leaves_the_run_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let away = RabbitQueue::with_patience("amqp://127.0.0.1:1", "test", Duration::ZERO).unwrap();
    let conductor = conductor(folder.path(), Arc::new(away)).await;
    let store = &conductor.shared.store;
    let run = failed(store).await;
    store.set_status(run, RunStatus::Failed, None).await.unwrap();
    assert!(matches!(conductor.retry(run).await, Err(ConductorError::Protocol(ProtocolError::Unavailable(_)))));
    assert!(matches!(conductor.delete(run).await, Err(ConductorError::Protocol(ProtocolError::Unavailable(_)))));
    let view = store.run(run).await.unwrap();
    assert_eq!((view.status, view.jobs_failed), (RunStatus::Failed, 1));
    conductor.close().await;
    store.close().await;
}
