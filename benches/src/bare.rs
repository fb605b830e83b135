//! The thinnest programs that do with RabbitMQ and Redis what Armada does: lapin and redis with nothing around them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures::StreamExt as _;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer, PublisherConfirm};

/// How many published messages may be without their confirm.
const WINDOW: usize = 1_000;
/// How many bytes a job's message has.
const MESSAGE: usize = 330;

/// A channel that confirms what is published, with a durable queue of this name.
pub(crate) async fn channel(broker: &str, queue: &str) -> anyhow::Result<Channel> {
    let connection = Connection::connect(broker, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(queue.into(), durable, FieldTable::default()).await?;
    Ok(channel)
}

/// A message as Celery's protocol has them: who does the same work publishes the same bytes.
fn message() -> (Vec<u8>, BasicProperties) {
    let body = format!(
        r#"[["{}"], {{}}, {{"callbacks": null, "errbacks": null, "chain": null, "chord": null}}]"#,
        "x".repeat(MESSAGE)
    );
    let text = |text: &str| AMQPValue::LongString(text.into());
    let id = "0f2bd3a1-7f44-4a62-9d4f-2f2d2b1f8a11";
    let mut headers = FieldTable::default();
    for (name, value) in
        [("lang", "py"), ("task", "tasks.consume_message"), ("id", id), ("root_id", id), ("origin", "bare")]
    {
        headers.insert(name.into(), text(value));
    }
    for name in ["parent_id", "group", "eta", "expires"] {
        headers.insert(name.into(), AMQPValue::Void);
    }
    headers.insert("retries".into(), AMQPValue::LongInt(0));
    headers.insert("ignore_result".into(), AMQPValue::Boolean(true));
    headers.insert("timelimit".into(), AMQPValue::FieldArray(vec![AMQPValue::Void, AMQPValue::Void].into()));
    let properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_content_encoding("utf-8".into())
        .with_delivery_mode(2)
        .with_correlation_id(id.into())
        .with_headers(headers);
    (body.into_bytes(), properties)
}

/// Publishes so many persistent messages, with a window of confirms; gives how long it took.
pub(crate) async fn publish(channel: &Channel, queue: &str, count: u64) -> anyhow::Result<Duration> {
    let (body, properties) = message();
    let started = Instant::now();
    let mut window: VecDeque<PublisherConfirm> = VecDeque::with_capacity(WINDOW);
    for _ in 0..count {
        if window.len() == WINDOW
            && let Some(oldest) = window.pop_front()
        {
            confirmed(oldest).await?;
        }
        let options = BasicPublishOptions::default();
        window.push_back(channel.basic_publish("".into(), queue.into(), options, &body, properties.clone()).await?);
    }
    for waiting in window {
        confirmed(waiting).await?;
    }
    Ok(started.elapsed())
}

async fn confirmed(waiting: PublisherConfirm) -> anyhow::Result<()> {
    ensure!(matches!(waiting.await?, Confirmation::Ack(_)), "the broker has refused a message");
    Ok(())
}

/// Consumes a queue with a prefetch of 1.
pub(crate) async fn consumer(channel: &Channel, queue: &str) -> anyhow::Result<Consumer> {
    channel.basic_qos(1, BasicQosOptions::default()).await?;
    Ok(channel.basic_consume(queue.into(), "".into(), BasicConsumeOptions::default(), FieldTable::default()).await?)
}

/// Takes and acknowledges so many messages, one after the other; gives how long it took.
pub(crate) async fn consume(consumer: &mut Consumer, count: u64) -> anyhow::Result<Duration> {
    let started = Instant::now();
    for _ in 0..count {
        let delivery = consumer.next().await.context("the queue is gone")??;
        delivery.ack(BasicAckOptions::default()).await?;
    }
    Ok(started.elapsed())
}

/// An agent that only gets its script from Redis, takes one job, and ends.
pub(crate) async fn agent(redis: &str, key: &str, broker: &str, queue: &str) -> anyhow::Result<()> {
    let mut connection = redis::Client::open(redis)?.get_multiplexed_async_connection().await?;
    let script: Vec<u8> = redis::cmd("GET").arg(key).query_async(&mut connection).await?;
    ensure!(!script.is_empty(), "there is no script");
    let channel = channel(broker, queue).await?;
    let mut consumer = consumer(&channel, queue).await?;
    consume(&mut consumer, 1).await?;
    Ok(())
}
