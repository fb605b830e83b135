//! What is asked of a conductor at the wrong time, or while something is away.

use std::time::Duration;

use armada_host::VerifyingKey;
use armada_project::ComponentRef;
use armada_protocol::embedded::{EmbeddedQueue, EmbeddedRunStore};
use armada_protocol::rabbitmq::RabbitQueue;
use armada_protocol::{Incarnation, Job, RunStore, Start};
use async_trait::async_trait;
use bytes::Bytes;
use serde_json::value::RawValue;

use super::*;
use crate::settings::InProcess;
use crate::store::StoreOptions;
use crate::store::tests::new_run;

async fn conductor(folder: &std::path::Path, queue: Arc<dyn Broker>) -> Conductor {
    conductor_with(folder, queue, Arc::new(EmbeddedRunStore::default()), AgentMode::External).await
}

async fn conductor_with(
    folder: &std::path::Path,
    queue: Arc<dyn Broker>,
    runs: Arc<dyn Registry>,
    agents: AgentMode,
) -> Conductor {
    let mut settings = Settings::new(folder.into(), folder.join("cache"), agents);
    settings.grace = Duration::from_millis(10);
    let store = Store::open(StoreOptions {
        url: Store::file_url(&folder.join("store.db")),
        artifacts: folder.join("artifacts"),
        lease: settings.agent_silence,
        retry: settings.retry.clone(),
    });
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
async fn what_others_have_put_on_the_queue_of_a_run_that_has_ended_is_not_lost() {
    let server = tokio::task::spawn_blocking(armada_tests::servers::shared_rabbitmq).await.unwrap();
    let queue = Arc::new(RabbitQueue::new(server.url(), "test").unwrap());
    let folder = tempfile::tempdir().unwrap();
    let conductor = conductor(folder.path(), queue.clone()).await;
    let store = &conductor.shared.store;
    let run = failed(store).await;
    store.set_status(run, RunStatus::Failed, None).await.unwrap();
    store.retry_failed(run).await.unwrap();
    store.dispatched(run).await.unwrap();
    let message = || RawValue::from_string("{}".to_owned()).unwrap();
    let own = Job { uuid: run.job(0), index: 0, message: message() };
    let Start::Attempt(attempt) = store.start(run, &own, Incarnation::new(0)).await.unwrap() else { panic!() };
    let result = RawValue::from_string("1".to_owned()).unwrap();
    store.finish(attempt, Outcome::Success { result }).await.unwrap();

    queue.declare(run).await.unwrap();
    let foreign = uuid::Uuid::new_v4();
    let left = [foreign, own.uuid, foreign].map(|uuid| Job { uuid, index: 0, message: message() });
    queue.publish(run, left.to_vec()).await.unwrap();
    conductor.end(run, None).await.unwrap();
    let view = store.run(run).await.unwrap();
    assert_eq!((view.status, view.jobs, view.jobs_succeeded, view.jobs_failed), (RunStatus::Failed, 2, 1, 1));
    let error = store.job(foreign).await.unwrap().error.unwrap();
    assert!(error.get().contains("retry of the run"), "{error}");
    assert!(matches!(queue.waiting(run).await, Err(ProtocolError::NotFound(_))));
    queue.delete_dead(run).await.unwrap();
    conductor.close().await;
    store.close().await;
}

#[tokio::test]
async fn jobs_of_a_queue_that_is_gone_are_put_on_a_new_one() {
    let server = tokio::task::spawn_blocking(armada_tests::servers::shared_rabbitmq).await.unwrap();
    let queue = Arc::new(RabbitQueue::new(server.url(), "test").unwrap());
    let folder = tempfile::tempdir().unwrap();
    let conductor = conductor(folder.path(), queue.clone()).await;
    let new = new_run();
    let (run, store) = (new.run, &conductor.shared.store);
    store.create_run(new).await.unwrap();
    store.set_status(run, RunStatus::Dispatching, None).await.unwrap();
    let message = RawValue::from_string("{}".to_owned()).unwrap();
    store.add_jobs(run, vec![Job { uuid: run.job(0), index: 0, message }]).await.unwrap();
    store.dispatched(run).await.unwrap();
    store.queued(run, vec![0]).await.unwrap();
    for _ in 0..2 {
        let looked = std::time::Instant::now().checked_sub(Duration::from_secs(60)).unwrap();
        conductor.round(run, true, &mut tend::Lost { looked, times: 0 }).await.unwrap();
    }
    assert_eq!(queue.waiting(run).await.unwrap(), Some(1));
    queue.delete(run).await.unwrap();
    conductor.close().await;
    store.close().await;
}

#[tokio::test]
async fn a_queue_of_dead_jobs_that_refuses_them_does_not_keep_a_run_from_ending() {
    use lapin::options::QueueDeclareOptions;

    let server = tokio::task::spawn_blocking(armada_tests::servers::shared_rabbitmq).await.unwrap();
    let queue = Arc::new(RabbitQueue::new(server.url(), "test").unwrap());
    let folder = tempfile::tempdir().unwrap();
    let conductor = conductor(folder.path(), queue.clone()).await;
    let store = &conductor.shared.store;
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
    conductor.close().await;
    store.close().await;
}

#[tokio::test]
async fn what_waits_on_queues_is_what_those_say() {
    let folder = tempfile::tempdir().unwrap();
    let queue = Arc::new(EmbeddedQueue::default());
    let conductor = conductor(folder.path(), queue.clone()).await;
    let run = failed(&conductor.shared.store).await;
    queue.declare(run).await.unwrap();
    let message = RawValue::from_string("{}".to_owned()).unwrap();
    let jobs = (0..2).map(|index| Job { uuid: run.job(index), index, message: message.clone() });
    queue.publish(run, jobs.collect()).await.unwrap();
    let looked = std::time::Instant::now().checked_sub(Duration::from_secs(60)).unwrap();
    conductor.round(run, false, &mut tend::Lost { looked, times: 0 }).await.unwrap();
    assert_eq!(conductor.queue_depth(), 2);
    conductor.cancel(run).await.unwrap();
    conductor.end(run, None).await.unwrap();
    assert_eq!(conductor.queue_depth(), 0);
    conductor.close().await;
    conductor.shared.store.close().await;
}

#[tokio::test]
async fn a_failed_run_whose_server_died_before_its_end_fails_for_the_same_reason() {
    let folder = tempfile::tempdir().unwrap();
    let before = conductor(folder.path(), Arc::new(EmbeddedQueue::default())).await;
    let run = new_run();
    let (id, job) =
        (run.run, Job { uuid: run.run.job(0), index: 0, message: RawValue::from_string("{}".to_owned()).unwrap() });
    before.shared.store.create_run(run).await.unwrap();
    before.shared.store.set_status(id, RunStatus::Dispatching, None).await.unwrap();
    before.shared.store.add_jobs(id, vec![job]).await.unwrap();
    before.shared.store.stop_run(id, without_agents("no agent was there".to_owned())).await.unwrap();
    before.cancel(id).await.unwrap();
    before.shared.store.close().await;

    let after = conductor(folder.path(), Arc::new(EmbeddedQueue::default())).await;
    let mut changes = after.shared.store.watch();
    assert_eq!(after.resume_all().await.unwrap(), 1);
    let view = loop {
        let view = after.shared.store.run(id).await.unwrap();
        if view.status.has_ended() {
            break view;
        }
        tokio::time::timeout(Duration::from_secs(60), changes.recv()).await.unwrap().unwrap();
    };
    assert_eq!((view.status, view.reason.as_deref()), (RunStatus::Failed, Some("no agent was there")));
    assert_eq!((view.jobs_failed, view.jobs_cancelled), (1, 0));
    after.close().await;
    after.shared.store.close().await;
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
async fn prepared(conductor: &Conductor, data: &std::path::Path) -> (RunId, AgentRecord) {
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
    conductor.shared.store.create_run(new).await.unwrap();
    conductor.prepare(run).await.unwrap();
    (run, conductor.shared.runs.agent(run, 0).await.unwrap())
}

#[tokio::test]
async fn agents_from_elsewhere_get_what_is_compiled_signed_by_their_server() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let conductor = conductor(folder.path(), Arc::new(EmbeddedQueue::default())).await;
    let Shared { store, runs, sandbox, credentials, .. } = &*conductor.shared;
    // The second one finds it in the cache.
    for _ in 0..2 {
        let (run, record) = prepared(&conductor, folder.path()).await;
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
    conductor.close().await;
    store.close().await;
}

#[tokio::test]
async fn agents_of_this_machine_or_of_a_store_without_room_get_the_component_only() {
    let here = AgentMode::InProcess(InProcess { chromium: None, headed: false, temp: std::env::temp_dir() });
    let (room, none) = (Arc::new(EmbeddedRunStore::default()), Arc::new(Small::default()));
    let places: [(Arc<dyn Registry>, _); 2] = [(room, here), (none, AgentMode::External)];
    for (runs, agents) in places {
        let folder = tempfile::tempdir().unwrap();
        let conductor =
            conductor_with(folder.path(), Arc::new(EmbeddedQueue::default()), runs.clone(), agents.clone()).await;
        let (_, record) = prepared(&conductor, folder.path()).await;
        assert_eq!(record.compiled, None, "{agents:?}");
        assert_eq!(Digest::of(&runs.component(record.component.digest).await.unwrap()), record.component.digest);
        conductor.close().await;
        conductor.shared.store.close().await;
    }
}
