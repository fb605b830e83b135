//! What is asked of a conductor at the wrong time, or while something is away.

use std::time::Duration;

use armada_host::VerifyingKey;
use armada_project::ComponentRef;
use armada_protocol::embedded::{EmbeddedQueue, EmbeddedRunStore};
use armada_protocol::rabbitmq::RabbitQueue;
use armada_protocol::{Incarnation, Job, RunStore, Start};
use armada_tests::servers::{Server, shared_rabbitmq};
use async_trait::async_trait;
use bytes::Bytes;
use serde_json::value::RawValue;

use super::*;
use crate::rig::Rig;
use crate::settings::InProcess;
use crate::store::tests::new_run;

/// A rig with queues in RabbitMQ, which ends with the last test that uses it.
async fn with_rabbitmq() -> (Rig, Arc<Server>) {
    let server = tokio::task::spawn_blocking(shared_rabbitmq).await.unwrap();
    (Rig::with_queue(RabbitQueue::new(server.url(), "test").unwrap()).await, server)
}

fn job(run: RunId, index: u64) -> Job {
    Job { uuid: run.job(index), index, message: RawValue::from_string("{}".to_owned()).unwrap() }
}

/// A run with one job, which is not on the queue yet.
async fn dispatching(store: &Store) -> RunId {
    let new = new_run();
    let run = new.run;
    store.create_run(new).await.unwrap();
    store.set_status(run, RunStatus::Dispatching, None).await.unwrap();
    store.add_jobs(run, vec![job(run, 0)]).await.unwrap();
    run
}

/// A run with one job, which has failed.
async fn failed(store: &Store) -> RunId {
    let run = dispatching(store).await;
    let Start::Attempt(attempt) = store.start(run, &job(run, 0), Incarnation::new(0)).await.unwrap() else { panic!() };
    store.finish(attempt, Outcome::failed(Cause::Failed, "no")).await.unwrap();
    run
}

/// What is known of lost jobs when it is time to look for them again.
fn time_to_look() -> tend::Lost {
    tend::Lost { looked: std::time::Instant::now().checked_sub(Duration::from_secs(60)).unwrap(), times: 0 }
}

#[tokio::test]
async fn the_retry_of_a_run_that_goes_on_is_refused_at_once_and_the_server_ends_in_time() {
    let rig = Rig::embedded().await;
    let Rig { conductor, store, .. } = &rig;
    let run = failed(store).await;
    conductor.conducting().insert(run, tokio::spawn(std::future::pending()));
    let retried = tokio::time::timeout(Duration::from_secs(60), conductor.retry(run)).await.unwrap();
    assert!(matches!(retried, Err(ConductorError::Store(StoreError::Conflict(_)))), "{retried:?}");
    assert!(conductor.conducting().contains_key(&run), "it is conducted still");
    tokio::time::timeout(Duration::from_secs(60), rig.close()).await.unwrap();
}

#[tokio::test]
async fn what_others_have_put_on_the_queue_of_a_run_that_has_ended_is_not_lost() {
    let (rig, _server) = with_rabbitmq().await;
    let Rig { conductor, store, queue, .. } = &rig;
    let run = failed(store).await;
    store.set_status(run, RunStatus::Failed, None).await.unwrap();
    store.retry_failed(run).await.unwrap();
    store.dispatched(run).await.unwrap();
    let own = job(run, 0);
    let Start::Attempt(attempt) = store.start(run, &own, Incarnation::new(0)).await.unwrap() else { panic!() };
    let result = RawValue::from_string("1".to_owned()).unwrap();
    store.finish(attempt, Outcome::Success { result }).await.unwrap();

    queue.declare(run).await.unwrap();
    let foreign = uuid::Uuid::new_v4();
    let left = [foreign, own.uuid, foreign].map(|uuid| Job { uuid, ..own.clone() });
    queue.publish(run, left.to_vec()).await.unwrap();
    conductor.end(run, None).await.unwrap();
    let view = store.run(run).await.unwrap();
    assert_eq!((view.status, view.jobs, view.jobs_succeeded, view.jobs_failed), (RunStatus::Failed, 2, 1, 1));
    let error = store.job(foreign).await.unwrap().error.unwrap();
    assert!(error.get().contains("retry of the run"), "{error}");
    assert!(matches!(queue.waiting(run).await, Err(ProtocolError::NotFound(_))));
    queue.delete_dead(run).await.unwrap();
    rig.close().await;
}

#[tokio::test]
async fn jobs_of_a_queue_that_is_gone_are_put_on_a_new_one() {
    let (rig, _server) = with_rabbitmq().await;
    let Rig { conductor, store, queue, .. } = &rig;
    let run = dispatching(store).await;
    store.dispatched(run).await.unwrap();
    store.queued(run, vec![0]).await.unwrap();
    for _ in 0..2 {
        conductor.round(run, true, &mut time_to_look()).await.unwrap();
    }
    assert_eq!(queue.waiting(run).await.unwrap(), Some(1));
    queue.delete(run).await.unwrap();
    rig.close().await;
}

#[tokio::test]
async fn a_queue_of_dead_jobs_that_refuses_them_does_not_keep_a_run_from_ending() {
    use lapin::options::QueueDeclareOptions;

    let (rig, server) = with_rabbitmq().await;
    let Rig { conductor, store, queue, .. } = &rig;
    let run = failed(store).await;
    store.dispatched(run).await.unwrap();
    queue.declare(run).await.unwrap();
    // Somebody has made it in another way, so that it cannot be declared.
    let connection = lapin::Connection::connect(server.url(), lapin::ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let mut options = lapin::types::FieldTable::default();
    options.insert("x-max-length".into(), lapin::types::AMQPValue::LongInt(1));
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(format!("{run}.dead").into(), durable, options).await.unwrap();
    conductor.end(run, None).await.unwrap();
    assert_eq!(store.run(run).await.unwrap().status, RunStatus::Failed);
    queue.delete_dead(run).await.unwrap();
    rig.close().await;
}

#[tokio::test]
async fn what_waits_on_queues_is_what_those_say() {
    let rig = Rig::embedded().await;
    let Rig { conductor, store, queue, .. } = &rig;
    let run = failed(store).await;
    queue.declare(run).await.unwrap();
    queue.publish(run, vec![job(run, 0), job(run, 1)]).await.unwrap();
    conductor.round(run, false, &mut time_to_look()).await.unwrap();
    assert_eq!(conductor.queue_depth(), 2);
    conductor.cancel(run).await.unwrap();
    conductor.end(run, None).await.unwrap();
    assert_eq!(conductor.queue_depth(), 0);
    rig.close().await;
}

#[tokio::test]
async fn a_failed_run_whose_server_died_before_its_end_fails_for_the_same_reason() {
    let Rig { conductor, store, folder, .. } = Rig::embedded().await;
    let run = dispatching(&store).await;
    store.stop_run(run, without_agents("no agent was there".to_owned())).await.unwrap();
    conductor.cancel(run).await.unwrap();
    store.close().await;

    let (queue, runs) = (Arc::new(EmbeddedQueue::default()), Arc::new(EmbeddedRunStore::default()));
    let after = Rig::open(folder, queue, runs, |_| {}).await;
    let mut changes = after.store.watch();
    assert_eq!(after.conductor.resume_all().await.unwrap(), 1);
    let view = loop {
        let view = after.store.run(run).await.unwrap();
        if view.status.has_ended() {
            break view;
        }
        tokio::time::timeout(Duration::from_secs(60), changes.recv()).await.unwrap().unwrap();
    };
    assert_eq!((view.status, view.reason.as_deref()), (RunStatus::Failed, Some("no agent was there")));
    assert_eq!((view.jobs_failed, view.jobs_cancelled), (1, 0));
    after.close().await;
}

#[tokio::test]
async fn a_retry_that_cannot_be_conducted_leaves_the_run_as_it_was() {
    let away = RabbitQueue::with_patience("amqp://127.0.0.1:1", "test", Duration::ZERO).unwrap();
    let rig = Rig::with_queue(away).await;
    let Rig { conductor, store, .. } = &rig;
    let run = failed(store).await;
    store.set_status(run, RunStatus::Failed, None).await.unwrap();
    assert!(matches!(conductor.retry(run).await, Err(ConductorError::Protocol(ProtocolError::Unavailable(_)))));
    assert!(matches!(conductor.delete(run).await, Err(ConductorError::Protocol(ProtocolError::Unavailable(_)))));
    let view = store.run(run).await.unwrap();
    assert_eq!((view.status, view.jobs_failed), (RunStatus::Failed, 1));
    rig.close().await;
}

/// A store that has no room for what is compiled.
#[derive(Default)]
struct Small(EmbeddedRunStore);

#[async_trait]
impl RunStore for Small {
    async fn component(&self, digest: Digest) -> Result<Bytes, ProtocolError> {
        self.0.component(digest).await
    }

    async fn compiled(&self, digest: Digest, engine: &str) -> Result<Bytes, ProtocolError> {
        self.0.compiled(digest, engine).await
    }

    async fn agent(&self, run: RunId, index: u32) -> Result<AgentRecord, ProtocolError> {
        self.0.agent(run, index).await
    }
}

#[async_trait]
impl Registry for Small {
    async fn put_component(&self, run: RunId, digest: Digest, bytes: Vec<u8>) -> Result<(), ProtocolError> {
        self.0.put_component(run, digest, bytes).await
    }

    async fn put_compiled(&self, _: RunId, _: Digest, _: &str, _: Vec<u8>) -> Result<(), ProtocolError> {
        Err(ProtocolError::Invalid("it is too large".to_owned()))
    }

    async fn put_agent(&self, run: RunId, index: u32, record: AgentRecord) -> Result<(), ProtocolError> {
        self.0.put_agent(run, index, record).await
    }

    async fn keep(&self, run: RunId) -> Result<(), ProtocolError> {
        self.0.keep(run).await
    }

    async fn delete(&self, run: RunId) -> Result<(), ProtocolError> {
        self.0.delete(run).await
    }
}

/// Has a run of the smallest component prepared. Gives the record of its first agent.
async fn prepared(rig: &Rig) -> (RunId, AgentRecord) {
    let data = rig.folder.path();
    let component = wat::parse_str("(component)").unwrap();
    let new = NewRun { component: ComponentRef::of(&component), ..new_run() };
    let (run, config) = (new.run, Inputs::folder(data, new.run).join("config"));
    let options =
        serde_json::json!({"options": {}, "project": "smallest", "component": new.component, "uses": []}).to_string();
    let template = r#"{"run_message": {}, "default_agent_message": {}, "default_job_message": {}}"#;
    std::fs::create_dir_all(&config).unwrap();
    std::fs::create_dir_all(data.join("components")).unwrap();
    std::fs::write(config.join("config_template.json"), template).unwrap();
    std::fs::write(Inputs::folder(data, run).join("options.json"), options).unwrap();
    let file = format!("{}.wasm", new.component.digest.to_hex());
    std::fs::write(data.join("components").join(file), component).unwrap();
    rig.store.create_run(new).await.unwrap();
    rig.conductor.prepare(run).await.unwrap();
    (run, rig.conductor.shared.runs.agent(run, 0).await.unwrap())
}

#[tokio::test]
async fn agents_from_elsewhere_get_what_is_compiled_signed_by_their_server() {
    let (rig, elsewhere) = (Rig::embedded().await, tempfile::tempdir().unwrap());
    let Shared { runs, sandbox, credentials, .. } = &*rig.conductor.shared;
    // The second one finds it in the cache.
    for _ in 0..2 {
        let (run, record) = prepared(&rig).await;
        let (digest, compiled) = (record.component.digest, record.compiled.unwrap());
        let code = runs.compiled(digest, &compiled.engine).await.unwrap();
        let adopt = |credentials: &Credentials| {
            let key = VerifyingKey::of_token(&credentials.token(run)).unwrap();
            ComponentCache::new(elsewhere.path()).adopt(sandbox, digest, &code, &compiled, &key)
        };
        adopt(credentials).unwrap();
        let another = Credentials::open(elsewhere.path()).unwrap();
        assert!(matches!(adopt(&another), Err(ComponentError::OtherSignature)));
    }
    rig.close().await;
}

#[tokio::test]
async fn agents_of_this_machine_or_of_a_store_without_room_get_the_component_only() {
    let here = AgentMode::InProcess(InProcess { chromium: None, headed: false, temp: std::env::temp_dir() });
    let (room, none) = (Arc::new(EmbeddedRunStore::default()), Arc::new(Small::default()));
    let places: [(Arc<dyn Registry>, _); 2] = [(room, here), (none, AgentMode::External)];
    for (runs, agents) in places {
        let (folder, queue) = (tempfile::tempdir().unwrap(), Arc::new(EmbeddedQueue::default()));
        let rig = Rig::open(folder, queue, runs.clone(), |settings| settings.agents = agents.clone()).await;
        let (_, record) = prepared(&rig).await;
        assert_eq!(record.compiled, None, "{agents:?}");
        assert_eq!(Digest::of(&runs.component(record.component.digest).await.unwrap()), record.component.digest);
        rig.close().await;
    }
}
