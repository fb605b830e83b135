//! A real Celery at the other end of a queue: its producers feed our consumers, and its workers do what we publish.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use armada_protocol::job::FOREIGN_PLACES;
use armada_protocol::rabbitmq::RabbitQueue;
use armada_protocol::{Broker as _, Job, JobConsumer, JobQueue as _, RunId};
use armada_tests::processes::{signal, wait_for};
use armada_tests::pypi;
use armada_tests::servers::shared_rabbitmq;
use lapin::options::BasicGetOptions;
use lapin::{Connection, ConnectionProperties};
use serde_json::value::RawValue;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(90);

/// As the predecessor's orchestrator sends jobs.
const PRODUCER: &str = r#"
import datetime, json, sys
from celery import Celery
url, run_id, options, *messages = sys.argv[1:]
app = Celery("celery_app", broker=url)
for message in messages:
    sent = app.send_task("tasks.consume_message", args=[json.loads(message)], queue=run_id, **json.loads(options))
    print(sent.id)
"#;

/// As the predecessor's agents take jobs. It ends with its standard input.
const WORKER: &str = r#"
import json, os, sys, threading
from celery import Celery
url, run_id, file = sys.argv[1:]
app = Celery("celery_app", broker=url)

@app.task(name="tasks.consume_message", bind=True)
def consume_message(self, job_message):
    with open(file, "a") as done:
        print(json.dumps([self.request.id, job_message]), file=done, flush=True)

threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
app.worker_main([
    "worker", "--queues", run_id, "--pool", "solo", "--prefetch-multiplier", "1", "--loglevel", "INFO",
    "--without-gossip", "--without-mingle",
])
"#;

/// Sends jobs as a program in Python does; gives their names.
fn send(url: &str, run: RunId, options: Value, messages: &[Value]) -> Vec<String> {
    let mut command = Command::new(pypi::python(pypi::CELERY));
    command.args(["-c", PRODUCER, url, &run.to_string(), &options.to_string()]);
    command.args(messages.iter().map(Value::to_string));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

async fn next(consumer: &mut Box<dyn JobConsumer>) -> (u64, Job) {
    let delivery = tokio::time::timeout(PATIENCE, consumer.next()).await.expect("a job").unwrap().expect("a queue");
    (delivery.tag, delivery.job)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_takes_what_a_celery_producer_sends() {
    let server = tokio::task::spawn_blocking(shared_rabbitmq).await.unwrap();
    let queue = RabbitQueue::new(server.url(), "test").unwrap();
    for declared_before in [true, false] {
        let run = RunId::new();
        if declared_before {
            queue.declare(run).await.unwrap();
        }
        let messages = [
            json!({"run_id": run.to_string(), "page": "Überblick \u{1f6a2} 1", "exact": 1.5, "nothing": null}),
            json!({"run_id": run.to_string(), "targetted_job": 7}),
        ];
        let names = send(server.url(), run, json!({}), &messages);
        // One that is to wait, which agents cannot do, and one that is in time.
        send(server.url(), run, json!({"countdown": 3_600}), &messages[..1]);
        let lasting = send(server.url(), run, json!({"expires": 3_600}), &messages[..1]);

        let mut consumer = queue.consume(run, 0).await.unwrap();
        let mut places = Vec::new();
        for (name, message) in names.iter().chain(&lasting).zip(messages.iter().chain(&messages[..1])) {
            let (tag, job) = next(&mut consumer).await;
            assert_eq!(job.uuid.to_string(), *name);
            assert_eq!(serde_json::from_str::<Value>(job.message.get()).unwrap(), *message);
            assert!(job.index >= FOREIGN_PLACES);
            places.push(job.index);
            consumer.acknowledge(tag).await.unwrap();
        }
        places.dedup();
        assert_eq!(places.len(), 3);

        let connection = Connection::connect(server.url(), ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        let dead = channel.basic_get(format!("{run}.dead").into(), BasicGetOptions { no_ack: true }).await.unwrap();
        let headers = dead.unwrap().properties.headers().clone().unwrap();
        let reason = headers.inner()["armada_reason"].as_long_string().unwrap().to_string();
        assert!(reason.contains("send it when it is due"), "{reason}");
    }
}

struct Worker(Child);

impl Worker {
    fn start(url: &str, run: RunId, file: &Path) -> Self {
        let log = std::fs::File::create(file.with_extension("log")).unwrap();
        let mut command = Command::new(pypi::python(pypi::CELERY));
        command.args(["-c", WORKER, url, &run.to_string()]).arg(file).current_dir(file.parent().unwrap());
        command.env("C_FORCE_ROOT", "1").stdin(Stdio::piped()).stdout(log.try_clone().unwrap()).stderr(log);
        Self(command.spawn().unwrap())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_celery_worker_does_what_is_published() {
    let server = tokio::task::spawn_blocking(shared_rabbitmq).await.unwrap();
    let queue = RabbitQueue::new(server.url(), "test").unwrap();
    let run = RunId::new();
    queue.declare(run).await.unwrap();
    let job = |index| {
        let message = json!({"run_id": run.to_string(), "targetted_job": index, "page": "Überblick \u{1f6a2}"});
        Job { uuid: run.job(index), index, message: RawValue::from_string(message.to_string()).unwrap() }
    };
    queue.publish(run, (0..3).map(job).collect()).await.unwrap();

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("done");
    let done = tokio::task::spawn_blocking({
        let (url, file) = (server.url().to_owned(), file.clone());
        move || {
            let mut worker = Worker::start(&url, run, &file);
            let done = wait_for("three jobs to be done", PATIENCE, || {
                let done = std::fs::read_to_string(&file).unwrap_or_default();
                (done.lines().count() == 3).then_some(done)
            });
            // It ends in order: what it has not acknowledged goes back to the queue.
            signal(worker.0.id(), "TERM");
            wait_for("the worker to end", PATIENCE, || worker.0.try_wait().unwrap());
            done
        }
    });
    let done: Vec<Value> = done.await.unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (index, done) in (0..).zip(done) {
        let message: Value = serde_json::from_str(job(index).message.get()).unwrap();
        assert_eq!(done, json!([run.job(index).to_string(), message]));
    }
    assert_eq!(queue.waiting(run).await.unwrap(), Some(0));
}
