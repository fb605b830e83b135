//! Queues in a real RabbitMQ: what agents and orchestrator may rely on, also while the broker dies under them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use armada_protocol::rabbitmq::RabbitQueue;
use armada_protocol::{Broker as _, Delivery, Job, JobConsumer, JobQueue as _, ProtocolError, RunId};
use armada_tests::cut::Cut;
use armada_tests::servers::{Server, free_port, rabbitmq, shared_rabbitmq};
use lapin::options::{BasicGetOptions, BasicPublishOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use serde_json::value::RawValue;
use tokio::io::AsyncReadExt as _;

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

fn job(run: RunId, index: u64) -> Job {
    let message = RawValue::from_string(format!(r#"{{"run_id": "{run}", "targetted_job": {index}}}"#)).unwrap();
    Job { uuid: run.job(index), index, message }
}

fn jobs(run: RunId, count: u64) -> Vec<Job> {
    (0..count).map(|index| job(run, index)).collect()
}

fn queue_of(server: &Server) -> RabbitQueue {
    RabbitQueue::new(server.url(), "test").unwrap()
}

/// The broker that tests share, a queue of jobs there, and a run that has one.
async fn shared() -> (Arc<Server>, RabbitQueue, RunId) {
    let server = tokio::task::spawn_blocking(shared_rabbitmq).await.unwrap();
    let (queue, run) = (queue_of(&server), RunId::new());
    queue.declare(run).await.unwrap();
    (server, queue, run)
}

/// A broker to be killed, a queue of jobs there, and a run that has one which outlives that: a broker writes down that
/// there is a queue two seconds late, unless it is told to.
async fn to_be_killed() -> (Server, RabbitQueue, RunId) {
    let server = tokio::task::spawn_blocking(|| rabbitmq("")).await.unwrap();
    let (queue, run) = (queue_of(&server), RunId::new());
    queue.declare(run).await.unwrap();
    let writing = tokio::task::spawn_blocking(move || {
        server.control(&["eval", "mnesia:sync_log()."]);
        server
    });
    (writing.await.unwrap(), queue, run)
}

async fn next(consumer: &mut Box<dyn JobConsumer>) -> Delivery {
    let next = tokio::time::timeout(PATIENCE, consumer.next()).await.expect("a job");
    next.unwrap().expect("a queue")
}

/// A channel for what nothing of ours does.
async fn channel(server: &Server) -> (Connection, Channel) {
    let connection = Connection::connect(server.url(), ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    (connection, channel)
}

/// Takes a message from a queue, if there is one.
async fn get(channel: &Channel, queue: &str) -> Option<lapin::message::BasicGetMessage> {
    channel.basic_get(queue.into(), BasicGetOptions { no_ack: true }).await.unwrap()
}

/// Waits until so many jobs wait on the run's queue.
async fn until_waiting(queue: &RabbitQueue, run: RunId, count: u64) {
    let looking = async {
        while queue.waiting(run).await.unwrap() != Some(count) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("{count} jobs do not wait"));
}

#[tokio::test]
async fn jobs_come_in_their_order_and_each_once() {
    let (_server, queue, run) = shared().await;
    queue.publish(run, jobs(run, 2_500)).await.unwrap();
    assert_eq!(queue.waiting(run).await.unwrap(), Some(2_500));
    let mut consumer = queue.consume(run, 0).await.unwrap();
    for index in 0..2_500 {
        let Delivery { tag, job: came } = next(&mut consumer).await;
        assert_eq!((came.index, came.uuid), (index, run.job(index)));
        assert_eq!(came.message.get(), job(run, index).message.get());
        consumer.acknowledge(tag).await.unwrap();
    }
    drop(consumer);
    until_waiting(&queue, run, 0).await;
}

#[tokio::test]
async fn consumers_share_a_queue_and_have_one_delivery_each() {
    let (_server, queue, run) = shared().await;
    queue.publish(run, jobs(run, 4)).await.unwrap();
    let mut first = queue.consume(run, 0).await.unwrap();
    let mut second = queue.consume(run, 1).await.unwrap();
    let one = next(&mut first).await;
    let two = next(&mut second).await;
    assert_eq!((one.job.index, two.job.index), (0, 1));
    assert_eq!(queue.waiting(run).await.unwrap(), Some(2));

    assert!(matches!(first.next().await, Err(ProtocolError::Invalid(_))));
    assert!(matches!(first.acknowledge(one.tag + 1).await, Err(ProtocolError::Invalid(_))));
    first.requeue(one.tag).await.unwrap();
    let again = next(&mut first).await;
    assert_eq!(again.job.index, 0);
    assert_ne!(again.tag, one.tag);

    drop(first);
    second.acknowledge(two.tag).await.unwrap();
    let left: BTreeSet<u64> = [next(&mut second).await.job.index].into();
    assert!(left.is_subset(&[0, 2].into()), "{left:?}");
    drop(second);
    until_waiting(&queue, run, 3).await;
}

#[tokio::test]
async fn waiting_for_a_job_can_be_given_up_and_nothing_is_lost() {
    let (_server, queue, run) = shared().await;
    let mut consumer = queue.consume(run, 0).await.unwrap();
    for _ in 0..3 {
        assert!(tokio::time::timeout(Duration::from_millis(30), consumer.next()).await.is_err());
    }
    queue.publish(run, jobs(run, 1)).await.unwrap();
    assert_eq!(next(&mut consumer).await.job.index, 0);
}

#[tokio::test]
async fn a_deleted_queue_is_the_end_and_nobody_makes_it_again() {
    let (server, queue, run) = shared().await;
    queue.publish(run, jobs(run, 1)).await.unwrap();
    let mut consumer = queue.consume(run, 0).await.unwrap();
    let delivery = next(&mut consumer).await;
    let mut idle = queue.consume(run, 1).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(30), idle.next()).await.is_err());
    queue.delete(run).await.unwrap();
    assert!(tokio::time::timeout(PATIENCE, idle.next()).await.unwrap().unwrap().is_none());
    consumer.acknowledge(delivery.tag).await.unwrap();
    assert!(tokio::time::timeout(PATIENCE, consumer.next()).await.unwrap().unwrap().is_none());
    for error in [queue.publish(run, jobs(run, 2)).await.unwrap_err(), queue.waiting(run).await.unwrap_err()] {
        assert!(matches!(&error, ProtocolError::NotFound(what) if what.contains(&run.to_string())), "{error:?}");
    }
    queue.delete(run).await.unwrap();
    let (_connection, channel) = channel(&server).await;
    let look = QueueDeclareOptions::durable().passive();
    assert!(channel.queue_declare(run.to_string().into(), look, FieldTable::default()).await.is_err());
}

#[tokio::test]
async fn what_is_no_job_is_put_aside_with_the_reason_and_the_next_job_comes() {
    let (server, queue, run) = shared().await;
    let (_connection, channel) = channel(&server).await;
    let headers = |task: &str, more: &[(&str, AMQPValue)]| {
        let mut headers = FieldTable::default();
        headers.insert("task".into(), AMQPValue::LongString(task.into()));
        headers.insert("id".into(), AMQPValue::LongString(run.0.to_string().into()));
        for (name, value) in more {
            headers.insert((*name).into(), value.clone());
        }
        BasicProperties::default().with_content_type("application/json".into()).with_headers(headers)
    };
    let ours = "tasks.consume_message";
    let copy_here = AMQPValue::FieldArray(vec![AMQPValue::LongString(run.to_string().into())].into());
    let large = AMQPValue::LongString(LongString::from("x".repeat(100_000)));
    let past = AMQPValue::LongString("2020-01-01T00:00:00+00:00".into());
    for (body, properties) in [
        (b"\xff\0nonsense".to_vec(), BasicProperties::default()),
        (b"not JSON".to_vec(), headers(ours, &[])),
        (b"[[{}], {}, {}]".to_vec(), headers("tasks.other", &[])),
        (b"[[1], {}, {}]".to_vec(), headers(ours, &[("argsrepr", large)])),
        (vec![b' '; 17 << 20], headers(ours, &[])),
        // Late: it is dropped, as its producer wanted it.
        (b"[[{}], {}, {}]".to_vec(), headers(ours, &[("expires", past)])),
    ] {
        let options = BasicPublishOptions::default();
        channel.basic_publish("".into(), run.to_string().into(), options, &body, properties).await.unwrap();
    }
    // Delivered to the queue twice, because it says so itself.
    let properties = headers("tasks.copied", &[("CC", copy_here)]);
    let options = BasicPublishOptions::default();
    channel.basic_publish("".into(), run.to_string().into(), options, b"{}", properties).await.unwrap();
    until_waiting(&queue, run, 7).await;
    queue.publish(run, jobs(run, 1)).await.unwrap();

    let mut consumer = queue.consume(run, 0).await.unwrap();
    let delivery = next(&mut consumer).await;
    assert_eq!(delivery.job.index, 0);
    consumer.acknowledge(delivery.tag).await.unwrap();
    drop(consumer);
    until_waiting(&queue, run, 0).await;

    let dead = format!("{run}.dead");
    let mut reasons = Vec::new();
    while let Some(message) = get(&channel, &dead).await {
        let headers = message.properties.headers().clone().unwrap();
        reasons.push((headers.inner()["armada_reason"].as_long_string().unwrap().to_string(), message.delivery.data));
    }
    let expected = ["has no headers", "not `[[job", "`tasks.other`", "not a JSON object", "16 MiB", "`tasks.copied`"];
    assert_eq!(reasons.len(), expected.len(), "{reasons:?}");
    for ((reason, _), expected) in reasons.iter().zip(expected) {
        assert!(reason.contains(expected), "{reason}");
    }
    assert_eq!(reasons[0].1, b"\xff\0nonsense");
}

#[tokio::test]
async fn dead_jobs_outlive_their_queue_and_can_be_read_as_jobs() {
    let (server, queue, run) = shared().await;
    let (_connection, channel) = channel(&server).await;
    let dead = format!("{run}.dead");
    queue.bury(run, jobs(run, 2)).await.unwrap();
    queue.bury(run, vec![job(run, 7)]).await.unwrap();
    queue.delete(run).await.unwrap();
    let message = get(&channel, &dead).await.unwrap();
    assert_eq!(message.message_count, 2);
    assert!(String::from_utf8_lossy(&message.data).starts_with(&format!("[[{}]", job(run, 0).message.get())));
    queue.delete_dead(run).await.unwrap();
    let look = QueueDeclareOptions::durable().passive();
    assert!(channel.queue_declare(dead.into(), look, FieldTable::default()).await.is_err());
    queue.delete_dead(run).await.unwrap();
}

#[tokio::test]
async fn who_is_not_let_in_is_told_so_without_the_password() {
    let (server, ..) = shared().await;
    let run = RunId::new();
    for (url, expected) in [
        (format!("amqp://guest:geheim@127.0.0.1:{}/%2f", server.port()), "ACCESS-REFUSED"),
        (format!("amqp://guest:guest@127.0.0.1:{}/elsewhere", server.port()), "NOT-ALLOWED"),
    ] {
        let queue = RabbitQueue::new(&url, "test").unwrap();
        for error in [queue.check().await.unwrap_err(), queue.consume(run, 0).await.err().unwrap()] {
            let text = error.to_string();
            assert!(matches!(error, ProtocolError::Invalid(_)), "{error:?}");
            assert!(text.contains(&format!("127.0.0.1:{}", server.port())) && text.contains(expected), "{text}");
            assert!(!text.contains("geheim"), "{text}");
        }
    }
}

#[tokio::test]
async fn a_broker_that_is_away_is_waited_for_no_longer_than_patience_allows() {
    let url = format!("amqp://guest:geheim@127.0.0.1:{}/%2f", free_port());
    let queue = RabbitQueue::with_patience(&url, "test", Duration::from_millis(300)).unwrap();
    let run = RunId::new();
    for error in [
        queue.check().await.unwrap_err(),
        queue.publish(run, jobs(run, 1)).await.unwrap_err(),
        queue.declare(run).await.unwrap_err(),
        queue.consume(run, 0).await.err().unwrap(),
    ] {
        assert!(matches!(error, ProtocolError::Unavailable(_)), "{error:?}");
        assert!(error.to_string().contains("refused") && !error.to_string().contains("geheim"), "{error}");
    }
}

#[tokio::test]
async fn an_attempt_to_connect_that_is_given_up_leaves_no_connection() {
    // It takes connections, and then is silent.
    let listener = tokio::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("amqp://127.0.0.1:{}", listener.local_addr().unwrap().port());
    let queue = RabbitQueue::new(&url, "test").unwrap();
    let asking = tokio::spawn(async move { queue.check().await });
    let (mut taken, _) = tokio::time::timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    let mut header = [0; 8];
    taken.read_exact(&mut header).await.unwrap();
    assert_eq!(&header, b"AMQP\0\0\x09\x01");
    asking.abort();
    let mut rest = Vec::new();
    tokio::time::timeout(PATIENCE, taken.read_to_end(&mut rest)).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_address_with_tls_is_spoken_to_in_tls() {
    let listener = tokio::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("amqps://127.0.0.1:{}", listener.local_addr().unwrap().port());
    let queue = RabbitQueue::new(&url, "test").unwrap();
    let answering = async {
        let (mut taken, _) = listener.accept().await.unwrap();
        let mut begun = [0; 2];
        taken.read_exact(&mut begun).await.unwrap();
        begun
    };
    let both = async { tokio::join!(queue.check(), answering) };
    let (refused, begun) = tokio::time::timeout(PATIENCE, both).await.unwrap();
    // A record of the handshake, and not the greeting of AMQP.
    assert_eq!(begun, [0x16, 0x03]);
    assert!(matches!(refused, Err(ProtocolError::Unavailable(_))), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_the_network_is_cut_for_a_while() {
    let server = tokio::task::spawn_blocking(shared_rabbitmq).await.unwrap();
    let direct = queue_of(&server);
    let cut = Cut::before(server.port());
    let url = format!("amqp://guest:guest@127.0.0.1:{}/%2f?heartbeat=1", cut.port());
    let (queue, run) = (RabbitQueue::new(&url, "test").unwrap(), RunId::new());
    queue.declare(run).await.unwrap();
    queue.publish(run, jobs(run, 3)).await.unwrap();
    let mut consumer = queue.consume(run, 0).await.unwrap();
    let lost = next(&mut consumer).await;
    assert_eq!(lost.job.index, 0);

    cut.cut();
    let publishing = tokio::spawn({
        let queue = queue.clone();
        async move { queue.publish(run, vec![job(run, 3)]).await }
    });
    // The broker misses the consumer, and has its job back.
    until_waiting(&direct, run, 3).await;
    consumer.acknowledge(lost.tag).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_secs(3), consumer.next()).await.is_err());
    cut.mend();
    publishing.await.unwrap().unwrap();
    let mut came = BTreeSet::new();
    while came.len() < 4 {
        let delivery = next(&mut consumer).await;
        came.insert(delivery.job.index);
        consumer.acknowledge(delivery.tag).await.unwrap();
    }
    assert_eq!(came, (0..4).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_done_while_the_broker_has_no_memory_for_more() {
    let server = Arc::new(tokio::task::spawn_blocking(|| rabbitmq("")).await.unwrap());
    let control = async |watermark: &'static str| {
        let server = server.clone();
        let controlling = tokio::task::spawn_blocking(move || {
            server.control(&["set_vm_memory_high_watermark", watermark]);
        });
        controlling.await.unwrap();
    };
    let (queue, run) = (queue_of(&server), RunId::new());
    queue.declare(run).await.unwrap();
    queue.publish(run, jobs(run, 3)).await.unwrap();
    let mut consumer = queue.consume(run, 0).await.unwrap();
    let first = next(&mut consumer).await;

    control("0.00001").await;
    let publishing = tokio::spawn({
        let queue = queue.clone();
        async move { queue.publish(run, vec![job(run, 3)]).await }
    });
    consumer.acknowledge(first.tag).await.unwrap();
    for index in [1, 2] {
        let delivery = next(&mut consumer).await;
        assert_eq!(delivery.job.index, index);
        consumer.acknowledge(delivery.tag).await.unwrap();
    }
    assert!(!publishing.is_finished(), "the broker had memory");
    control("0.4").await;
    publishing.await.unwrap().unwrap();
    assert_eq!(next(&mut consumer).await.job.index, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_survives_that_the_broker_is_killed() {
    let (mut server, queue, run) = to_be_killed().await;
    queue.publish(run, jobs(run, 20)).await.unwrap();
    let mut consumer = queue.consume(run, 0).await.unwrap();
    let settled = next(&mut consumer).await;
    consumer.acknowledge(settled.tag).await.unwrap();
    let unsettled = next(&mut consumer).await;
    assert_eq!(unsettled.job.index, 1);
    let mut waiting = queue.consume(RunId::new(), 1).await.unwrap();
    let waiting =
        tokio::spawn(async move { tokio::time::timeout(Duration::from_secs(2), waiting.next()).await.is_err() });

    server.kill();
    // Nobody is there to hear it, and nothing is lost by that.
    consumer.acknowledge(unsettled.tag).await.unwrap();
    let server = tokio::task::spawn_blocking(move || {
        server.restart();
        server
    });
    let mut came = BTreeSet::from([0]);
    while came.len() < 20 {
        let delivery = next(&mut consumer).await;
        came.insert(delivery.job.index);
        consumer.acknowledge(delivery.tag).await.unwrap();
    }
    assert_eq!(came, (0..20).collect());
    assert!(waiting.await.unwrap(), "a consumer of an empty queue has ended with its broker");
    drop(consumer);
    until_waiting(&queue, run, 0).await;
    drop(server.await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_job_is_on_its_queue_although_the_broker_was_killed_meanwhile() {
    let (mut server, queue, run) = to_be_killed().await;
    const JOBS: u64 = 20_000;
    let publishing = tokio::spawn({
        let queue = queue.clone();
        async move { queue.publish(run, jobs(run, JOBS)).await }
    });
    let begun = async { while queue.waiting(run).await.unwrap() == Some(0) {} };
    tokio::time::timeout(PATIENCE, begun).await.unwrap();
    server.kill();
    assert!(!publishing.is_finished(), "the broker was killed too late");
    let server = tokio::task::spawn_blocking(move || {
        server.restart();
        server
    });
    publishing.await.unwrap().unwrap();
    let server = server.await.unwrap();

    let (_connection, channel) = channel(&server).await;
    let mut came = BTreeSet::new();
    let mut doubled = 0;
    while let Some(message) = get(&channel, &run.to_string()).await {
        let headers = message.properties.headers().clone().unwrap();
        if !came.insert(headers.inner()["armada_index"].as_long_long_int().unwrap()) {
            doubled += 1;
        }
    }
    assert_eq!(came.len() as u64, JOBS);
    // No more than what was without its confirm when the broker died.
    assert!(doubled <= 1_000, "{doubled}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_may_take_longer_than_the_broker_waits_for_its_acknowledgement() {
    let server =
        tokio::task::spawn_blocking(|| rabbitmq("-rabbit consumer_timeout 1000 -rabbit channel_tick_interval 1000"));
    let server = server.await.unwrap();
    let (queue, run) = (queue_of(&server), RunId::new());
    queue.declare(run).await.unwrap();
    queue.publish(run, jobs(run, 1)).await.unwrap();
    let mut consumer = queue.consume(run, 0).await.unwrap();
    let late = next(&mut consumer).await;
    // The broker takes the job back.
    until_waiting(&queue, run, 1).await;
    consumer.acknowledge(late.tag).await.unwrap();
    let again = next(&mut consumer).await;
    assert_eq!(again.job.uuid, late.job.uuid);
    consumer.acknowledge(again.tag).await.unwrap();
    drop(consumer);
    until_waiting(&queue, run, 0).await;
}
