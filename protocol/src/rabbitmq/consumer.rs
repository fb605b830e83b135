//! An agent's consumer: one delivery at a time, over as many connections as it takes.
//!
//! When the connection or the channel is lost, the broker delivers again what was not settled, to whichever agent asks;
//! what this consumer had can be settled no more, and need not be. A queue that was there and is gone is the end of its
//! run.

use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt as _;
use jiff::Timestamp;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Acker, Channel};

use super::celery::{self, Decoded};
use super::{BrokerError, Rabbit, within};
use crate::backoff::Backoff;
use crate::{Delivery, JobConsumer, ProtocolError, RunId};

pub(super) struct Consumer {
    broker: Arc<Rabbit>,
    run: RunId,
    agent: u32,
    subscription: Option<Subscription>,
    backoff: Backoff,
    next_tag: u64,
    unsettled: Option<(u64, Acker)>,
    /// A message that is no job and is to be settled before anything else, and the reason where it is to be kept.
    aside: Option<(lapin::message::Delivery, Option<String>)>,
}

struct Subscription {
    deliveries: lapin::Consumer,
    /// Closed when it is dropped, whereupon the broker takes back what was not settled.
    _channel: Channel,
}

impl Consumer {
    pub(super) fn new(broker: Arc<Rabbit>, run: RunId, agent: u32) -> Self {
        let backoff = Backoff::new();
        Self { broker, run, agent, subscription: None, backoff, next_tag: 0, unsettled: None, aside: None }
    }

    async fn subscribe(&self) -> Result<Subscription, BrokerError> {
        let channel = self.broker.channel().await?;
        within(channel.basic_qos(1, BasicQosOptions::default())).await?;
        let tag = format!("agent-{}", self.agent);
        let queue = self.run.to_string().into();
        let consume = channel.basic_consume(queue, tag.into(), BasicConsumeOptions::default(), FieldTable::default());
        Ok(Subscription { deliveries: within(consume).await?, _channel: channel })
    }

    /// Settles the message that is no job.
    async fn settle_aside(&mut self) {
        let Some((delivery, reason)) = &self.aside else { return };
        if let Some(reason) = reason
            && !delivery.acker.poisoned()
        {
            let properties = celery::dead(&delivery.properties, reason);
            if let Err(error) = self.broker.bury(self.run, &delivery.data, properties).await {
                tracing::warn!("RabbitMQ at {}: an unusable message could not be put aside: {error}", self.broker);
                return self.backoff.wait().await;
            }
        }
        let settled = within(delivery.acker.ack(BasicAckOptions::default())).await;
        self.aside = None;
        self.note(settled);
    }

    /// That a delivery cannot be settled because its channel is gone is fine: the broker delivers it again, and the
    /// ledger knows what became of the job.
    fn note(&mut self, settled: Result<bool, BrokerError>) {
        if let Err(error) = settled {
            tracing::debug!("a delivery was lost before it was settled: {error}");
            self.subscription = None;
        }
    }

    fn take(&mut self, tag: u64) -> Result<Acker, ProtocolError> {
        match self.unsettled.take_if(|(unsettled, _)| *unsettled == tag) {
            Some((_, acker)) => Ok(acker),
            None => Err(ProtocolError::Invalid(format!("delivery {tag} is not unsettled"))),
        }
    }
}

#[async_trait]
impl JobConsumer for Consumer {
    async fn next(&mut self) -> Result<Option<Delivery>, ProtocolError> {
        if self.unsettled.is_some() {
            return Err(ProtocolError::Invalid("settle the last delivery first".to_owned()));
        }
        loop {
            if self.aside.is_some() {
                self.settle_aside().await;
                continue;
            }
            let Some(subscription) = &mut self.subscription else {
                match self.subscribe().await {
                    Ok(subscription) => self.subscription = Some(subscription),
                    Err(error) if error.is_no_queue() => return Ok(None),
                    Err(error) if error.is_final() => {
                        return Err(self.broker.explain(Some(&self.run.to_string()), error));
                    }
                    Err(error) => {
                        self.backoff.tell(format_args!("RabbitMQ at {}: {error}", self.broker));
                        self.backoff.wait().await;
                    }
                }
                continue;
            };
            let delivery = match subscription.deliveries.next().await {
                Some(Ok(delivery)) => delivery,
                // The broker ends it when the queue is removed, which is how a run ends: subscribing again shows that.
                None => {
                    tracing::debug!("RabbitMQ at {}: the broker has ended the consumer", self.broker);
                    self.subscription = None;
                    self.backoff.wait().await;
                    continue;
                }
                Some(Err(error)) => {
                    self.subscription = None;
                    self.backoff.tell(format_args!("RabbitMQ at {}: the consumer was lost: {error}", self.broker));
                    self.backoff.wait().await;
                    continue;
                }
            };
            self.backoff = Backoff::new();
            match celery::decode(self.run, &delivery.properties, &delivery.data, Timestamp::now()) {
                Decoded::Job(job) => {
                    let tag = self.next_tag;
                    self.next_tag += 1;
                    self.unsettled = Some((tag, delivery.acker));
                    return Ok(Some(Delivery { tag, job }));
                }
                Decoded::Expired => {
                    tracing::warn!(
                        "run {}: a job came later than its producer wanted it done, and is not done",
                        self.run
                    );
                    self.aside = Some((delivery, None));
                }
                Decoded::Unusable(reason) => {
                    tracing::warn!("run {}: a message is put on the queue of dead jobs: {reason}", self.run);
                    self.aside = Some((delivery, Some(reason)));
                }
            }
        }
    }

    async fn acknowledge(&mut self, tag: u64) -> Result<(), ProtocolError> {
        let acker = self.take(tag)?;
        let settled = within(acker.ack(BasicAckOptions::default())).await;
        self.note(settled);
        Ok(())
    }

    async fn requeue(&mut self, tag: u64) -> Result<(), ProtocolError> {
        let options = BasicNackOptions { requeue: true, ..Default::default() };
        let acker = self.take(tag)?;
        let settled = within(acker.nack(options)).await;
        self.note(settled);
        Ok(())
    }
}
