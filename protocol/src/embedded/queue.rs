//! A queue in memory that behaves as a broker's: bounded, shared by consumers, redelivering what was not settled.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::{Notify, Semaphore};

use crate::{Broker, Delivery, Job, JobConsumer, JobQueue, ProtocolError, RunId};

/// How many jobs wait on a queue before `publish` waits.
const CAPACITY: usize = 1_000;

/// The [`Broker`] of this process.
#[derive(Debug, Default)]
pub struct EmbeddedQueue {
    queues: Mutex<HashMap<RunId, Arc<Queue>>>,
}

#[derive(Debug)]
struct Queue {
    state: Mutex<State>,
    /// Told whenever a consumer might find something new.
    arrived: Notify,
    /// A permit for each further job that may be published.
    room: Semaphore,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<Job>,
    deleted: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a job back where it came from: the front. It takes no permit, so that redelivery never waits.
    fn put_back(&self, job: Job) {
        self.lock().ready.push_front(job);
        self.arrived.notify_one();
    }
}

impl EmbeddedQueue {
    fn queues(&self) -> MutexGuard<'_, HashMap<RunId, Arc<Queue>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self, run: RunId) -> Result<Arc<Queue>, ProtocolError> {
        self.queues().get(&run).cloned().ok_or_else(|| ProtocolError::NotFound(format!("the queue of run {run}")))
    }
}

#[async_trait]
impl JobQueue for EmbeddedQueue {
    async fn consume(&self, run: RunId, _agent: u32) -> Result<Box<dyn JobConsumer>, ProtocolError> {
        Ok(Box::new(Consumer { queue: self.queue(run)?, next_tag: 0, unsettled: None }))
    }
}

#[async_trait]
impl Broker for EmbeddedQueue {
    async fn declare(&self, run: RunId) -> Result<(), ProtocolError> {
        let new =
            || Arc::new(Queue { state: Mutex::default(), arrived: Notify::new(), room: Semaphore::new(CAPACITY) });
        self.queues().entry(run).or_insert_with(new);
        Ok(())
    }

    async fn publish(&self, run: RunId, jobs: Vec<Job>) -> Result<(), ProtocolError> {
        let queue = self.queue(run)?;
        for job in jobs {
            let permit = queue.room.acquire().await.map_err(|_| ProtocolError::Closed)?;
            permit.forget();
            queue.lock().ready.push_back(job);
            queue.arrived.notify_one();
        }
        Ok(())
    }

    async fn waiting(&self, run: RunId) -> Result<Option<u64>, ProtocolError> {
        Ok(u64::try_from(self.queue(run)?.lock().ready.len()).ok())
    }

    /// Nobody could look at a queue of dead jobs in here: the ledger has them.
    async fn bury(&self, _run: RunId, _jobs: Vec<Job>) -> Result<(), ProtocolError> {
        Ok(())
    }

    async fn delete_dead(&self, _run: RunId) -> Result<(), ProtocolError> {
        Ok(())
    }

    async fn delete(&self, run: RunId) -> Result<(), ProtocolError> {
        let queue = self.queues().remove(&run);
        if let Some(queue) = queue {
            let mut state = queue.lock();
            state.deleted = true;
            state.ready.clear();
            drop(state);
            queue.room.close();
            queue.arrived.notify_waiters();
        }
        Ok(())
    }
}

struct Consumer {
    queue: Arc<Queue>,
    next_tag: u64,
    unsettled: Option<Delivery>,
}

impl Consumer {
    fn settle(&mut self, tag: u64) -> Result<Job, ProtocolError> {
        match self.unsettled.take() {
            Some(delivery) if delivery.tag == tag => Ok(delivery.job),
            other => {
                self.unsettled = other;
                Err(ProtocolError::Invalid(format!("delivery {tag} is not unsettled")))
            }
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
            // Registered before the look, so that a job that arrives in between is not missed.
            let arrived = self.queue.arrived.notified();
            tokio::pin!(arrived);
            arrived.as_mut().enable();
            {
                let mut state = self.queue.lock();
                if let Some(job) = state.ready.pop_front() {
                    let more = !state.ready.is_empty();
                    drop(state);
                    if more {
                        self.queue.arrived.notify_one();
                    }
                    let delivery = Delivery { tag: self.next_tag, job };
                    self.next_tag += 1;
                    self.unsettled = Some(delivery.clone());
                    return Ok(Some(delivery));
                }
                if state.deleted {
                    return Ok(None);
                }
            }
            arrived.await;
        }
    }

    async fn acknowledge(&mut self, tag: u64) -> Result<(), ProtocolError> {
        self.settle(tag)?;
        self.queue.room.add_permits(1);
        Ok(())
    }

    async fn requeue(&mut self, tag: u64) -> Result<(), ProtocolError> {
        let job = self.settle(tag)?;
        self.queue.put_back(job);
        Ok(())
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        if let Some(delivery) = self.unsettled.take() {
            self.queue.put_back(delivery.job);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::value::RawValue;
    use uuid::Uuid;

    use super::*;

    fn job(index: u64) -> Job {
        let message = RawValue::from_string("{}".to_owned()).unwrap();
        Job { uuid: Uuid::from_u128(index.into()), index, message }
    }

    async fn queue() -> (Arc<EmbeddedQueue>, RunId) {
        let (queue, run) = (Arc::new(EmbeddedQueue::default()), RunId::new());
        queue.declare(run).await.unwrap();
        (queue, run)
    }

    #[tokio::test]
    async fn consumers_share_a_queue_in_order() {
        let (queue, run) = queue().await;
        for index in 0..3 {
            queue.publish(run, vec![job(index)]).await.unwrap();
        }
        let mut a = queue.consume(run, 0).await.unwrap();
        let mut b = queue.consume(run, 1).await.unwrap();
        assert_eq!(a.next().await.unwrap().unwrap().job.index, 0);
        assert_eq!(b.next().await.unwrap().unwrap().job.index, 1);
        a.acknowledge(0).await.unwrap();
        assert_eq!(a.next().await.unwrap().unwrap().job.index, 2);
    }

    #[tokio::test]
    async fn what_a_lost_consumer_had_is_delivered_again_first() {
        let (queue, run) = queue().await;
        queue.publish(run, vec![job(0)]).await.unwrap();
        queue.publish(run, vec![job(1)]).await.unwrap();
        let mut lost = queue.consume(run, 0).await.unwrap();
        lost.next().await.unwrap();
        drop(lost);
        let mut next = queue.consume(run, 1).await.unwrap();
        assert_eq!(next.next().await.unwrap().unwrap().job.index, 0);
    }

    #[tokio::test]
    async fn only_one_delivery_is_unsettled_and_only_it_can_be_settled() {
        let (queue, run) = queue().await;
        queue.publish(run, vec![job(0)]).await.unwrap();
        let mut consumer = queue.consume(run, 0).await.unwrap();
        let delivery = consumer.next().await.unwrap().unwrap();
        assert!(consumer.next().await.is_err());
        assert!(consumer.acknowledge(delivery.tag + 1).await.is_err());
        consumer.requeue(delivery.tag).await.unwrap();
        assert_eq!(consumer.next().await.unwrap().unwrap().job.index, 0);
    }

    #[tokio::test]
    async fn publishing_waits_while_the_queue_is_full_and_ends_when_it_is_deleted() {
        let (queue, run) = queue().await;
        for index in 0..CAPACITY as u64 {
            queue.publish(run, vec![job(index)]).await.unwrap();
        }
        let publisher = tokio::spawn({
            let queue = queue.clone();
            async move { (queue.publish(run, vec![job(7)]).await, queue.publish(run, vec![job(8)]).await) }
        });
        let mut consumer = queue.consume(run, 0).await.unwrap();
        let first = consumer.next().await.unwrap().unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!publisher.is_finished());
        consumer.acknowledge(first.tag).await.unwrap();
        queue.delete(run).await.unwrap();
        let (_, second) = publisher.await.unwrap();
        assert!(matches!(second, Err(ProtocolError::Closed | ProtocolError::NotFound(_))), "{second:?}");
        assert!(consumer.next().await.unwrap().is_none());
    }
}
