//! The queues of runs in RabbitMQ: durable queues named by their runs, with messages as Celery has them.
//!
//! A connection is made when it is first needed and again whenever it was lost; who publishes or asks waits for that
//! with patience, and who consumes for as long as it takes. Each thing done has a channel of its own, because a channel
//! is closed with the first thing on it that fails. Attempts are not counted here, and messages that come twice do no
//! harm: the ledger knows.

mod celery;
mod connection;
mod consumer;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};
use lapin::types::FieldTable;
use lapin::uri::AMQPUri;
use lapin::{BasicProperties, Channel, Confirmation, Connection, ErrorKind, PublisherConfirm};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use url::{Host, Url};

use self::connection::connect;
use self::consumer::Consumer;
use crate::backoff::Backoff;
use crate::{Broker, Job, JobConsumer, JobQueue, ProtocolError, RunId};

/// How long one thing that is asked of the broker may take: a connection, a channel, a declaration, a confirm.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long somebody waits for a broker that is away, when nothing else is asked for.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often the broker shows that it is alive, in seconds; it is taken for dead after twice as long.
const HEARTBEAT: u16 = 10;
/// How many published messages may be without their confirm.
const WINDOW: usize = 1_000;

/// The [`Broker`] that is RabbitMQ. Clones share their connections.
#[derive(Clone)]
pub struct RabbitQueue {
    broker: Arc<Rabbit>,
}

struct Rabbit {
    uri: AMQPUri,
    /// What the connection is called in the broker's own lists.
    name: String,
    patience: Duration,
    /// For what is published. A broker that is short of memory or disk reads nothing from a connection that publishes.
    publishing: Mutex<Option<Connection>>,
    /// For everything else: what makes room on a broker must reach it then, too.
    consuming: Mutex<Option<Connection>>,
}

/// What is done with a queue.
#[derive(Clone, Copy)]
enum Ask {
    /// Make it, if it is not there yet.
    Declare,
    /// Look at it, as it is.
    Look,
    /// Remove it, if it is there.
    Delete,
}

/// Why the broker did not do something.
#[derive(Debug, thiserror::Error)]
enum BrokerError {
    #[error("{0}")]
    Lapin(#[from] lapin::Error),
    #[error("it did not answer within {} seconds", TIMEOUT.as_secs())]
    Silent,
    #[error("it refused a message")]
    Refused,
    #[error("there is no such queue")]
    NoQueue,
    #[error("{0}")]
    Message(#[from] ProtocolError),
}

impl BrokerError {
    /// Whether a queue is not there. The same code is for a queue that is there and cannot be used now.
    fn is_no_queue(&self) -> bool {
        match self {
            Self::NoQueue => true,
            Self::Lapin(error) => match error.kind() {
                ErrorKind::ProtocolError(error) => {
                    *error.kind() == AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND)
                        && error.get_message().as_str().contains("no queue")
                }
                _ => false,
            },
            _ => false,
        }
    }

    /// Whether it would be the same again, however often it is tried.
    fn is_final(&self) -> bool {
        match self {
            Self::Lapin(error) => match error.kind() {
                ErrorKind::ProtocolError(error) => matches!(
                    error.kind(),
                    AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED | AMQPSoftError::PRECONDITIONFAILED)
                        | AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED)
                ),
                ErrorKind::AuthProviderError(_) | ErrorKind::InvalidProtocolVersion(_) => true,
                _ => false,
            },
            Self::Message(_) => true,
            Self::Silent | Self::Refused | Self::NoQueue => false,
        }
    }
}

impl RabbitQueue {
    /// The broker at an address such as `amqp://user:password@host:5672/virtual-host`. It is not connected to yet.
    /// `name` is what its connections are called in the broker's own lists. Who asks something of a broker that is away
    /// waits for 30 seconds; who consumes, for as long as it takes.
    pub fn new(url: &str, name: &str) -> Result<Self, ProtocolError> {
        Self::with_patience(url, name, PATIENCE)
    }

    /// The same with a patience of one's own.
    pub fn with_patience(url: &str, name: &str, patience: Duration) -> Result<Self, ProtocolError> {
        // Parsers cite what they cannot read, and there is a password in it.
        let invalid = || {
            let form = "amqp://user:password@host:5672/virtual-host";
            ProtocolError::Invalid(format!("the address of RabbitMQ is not one: it looks like {form}"))
        };
        let parsed = Url::parse(url).map_err(|_| invalid())?;
        let mut uri: AMQPUri = url.parse().map_err(|_| invalid())?;
        match parsed.host() {
            Some(Host::Ipv6(address)) => uri.authority.host = address.to_string(),
            Some(_) => {}
            None => return Err(invalid()),
        }
        // Without a path, the virtual host is the one that every broker has.
        if uri.vhost.is_empty() {
            uri.vhost = "/".to_owned();
        }
        uri.query.heartbeat = uri.query.heartbeat.or(Some(HEARTBEAT));
        let (name, publishing, consuming) = (name.to_owned(), Mutex::default(), Mutex::default());
        Ok(Self { broker: Arc::new(Rabbit { uri, name, patience, publishing, consuming }) })
    }

    /// Asks whether the broker can be used now.
    pub async fn check(&self) -> Result<(), ProtocolError> {
        match self.broker.channel().await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.broker.explain(None, error)),
        }
    }
}

impl Rabbit {
    /// A channel for anything but publishing.
    async fn channel(&self) -> Result<Channel, BrokerError> {
        self.channel_of(&self.consuming).await
    }

    /// A channel of a connection, which is made when there is none.
    async fn channel_of(&self, connection: &Mutex<Option<Connection>>) -> Result<Channel, BrokerError> {
        let mut held = connection.lock().await;
        if let Some(connection) = held.as_ref().filter(|connection| connection.status().connected()) {
            return within(connection.create_channel()).await;
        }
        *held = None;
        let connection = within(connect(self.uri.clone(), &self.name)).await?;
        let channel = within(connection.create_channel()).await?;
        *held = Some(connection);
        Ok(channel)
    }

    /// Publishes jobs, and goes on with those that are left when the broker was away.
    async fn publish_all(&self, queue: &str, run: RunId, jobs: &[Job]) -> Result<(), ProtocolError> {
        let mut published = 0;
        let mut backoff = Backoff::new();
        let (mut reached, mut last) = (0, Instant::now());
        loop {
            let Err(error) = self.publish(queue, run, jobs, &mut published).await else { return Ok(()) };
            if published > reached {
                (reached, last) = (published, Instant::now());
                backoff = Backoff::new();
            }
            self.again_after(Some(queue), error, last, &mut backoff).await?;
        }
    }

    /// Publishes what is not yet counted as published, with a window of confirms.
    async fn publish(&self, queue: &str, run: RunId, jobs: &[Job], published: &mut usize) -> Result<(), BrokerError> {
        let channel = self.publishing_channel().await?;
        let mut window = VecDeque::with_capacity(WINDOW);
        for job in jobs.iter().skip(*published) {
            if window.len() == WINDOW
                && let Some(oldest) = window.pop_front()
            {
                confirmed(oldest).await?;
                *published += 1;
            }
            let (body, properties) = celery::encode(run, job)?;
            window.push_back(send(&channel, queue, &body, properties).await?);
        }
        for sent in window {
            confirmed(sent).await?;
            *published += 1;
        }
        Ok(())
    }

    async fn publishing_channel(&self) -> Result<Channel, BrokerError> {
        let channel = self.channel_of(&self.publishing).await?;
        within(channel.confirm_select(ConfirmSelectOptions::default())).await?;
        Ok(channel)
    }

    /// Puts a message that is no job on the run's queue of dead jobs.
    async fn bury(&self, run: RunId, body: &[u8], properties: BasicProperties) -> Result<(), BrokerError> {
        let queue = dead_queue(run);
        self.ask(Ask::Declare, &queue).await?;
        let channel = self.publishing_channel().await?;
        confirmed(send(&channel, &queue, body, properties).await?).await
    }

    /// Does something with a queue, on a channel of its own. Says how many messages were ready on it.
    async fn ask(&self, ask: Ask, queue: &str) -> Result<u64, BrokerError> {
        let channel = self.channel().await?;
        let declare = |options| channel.queue_declare(queue.into(), options, FieldTable::default());
        match ask {
            Ask::Declare => Ok(within(declare(QueueDeclareOptions::durable())).await?.message_count().into()),
            Ask::Look => Ok(within(declare(QueueDeclareOptions::durable().passive())).await?.message_count().into()),
            Ask::Delete => Ok(within(channel.queue_delete(queue.into(), QueueDeleteOptions::default())).await?.into()),
        }
    }

    /// The same, again until it is done, or cannot be, or patience is at its end.
    async fn persist(&self, ask: Ask, queue: &str) -> Result<u64, ProtocolError> {
        let (started, mut backoff) = (Instant::now(), Backoff::new());
        loop {
            match self.ask(ask, queue).await {
                Ok(ready) => return Ok(ready),
                Err(error) => self.again_after(Some(queue), error, started, &mut backoff).await?,
            }
        }
    }

    /// Waits until something is to be tried again, or says why it is not.
    async fn again_after(
        &self,
        queue: Option<&str>,
        error: BrokerError,
        since: Instant,
        backoff: &mut Backoff,
    ) -> Result<(), ProtocolError> {
        if error.is_no_queue() || error.is_final() || since.elapsed() > self.patience {
            return Err(self.explain(queue, error));
        }
        backoff.tell(format_args!("RabbitMQ at {self}: {error}"));
        backoff.wait().await;
        Ok(())
    }

    fn explain(&self, queue: Option<&str>, error: BrokerError) -> ProtocolError {
        match error {
            BrokerError::Message(error) => error,
            error if error.is_no_queue() => {
                ProtocolError::NotFound(format!("the queue {} of RabbitMQ at {self}", queue.unwrap_or_default()))
            }
            error if error.is_final() => ProtocolError::Invalid(format!("RabbitMQ at {self} refuses: {error}")),
            error => ProtocolError::Unavailable(format!("RabbitMQ at {self} cannot be used: {error}")),
        }
    }
}

impl fmt::Display for Rabbit {
    /// Where the broker is, without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = &self.uri.authority;
        write!(f, "{}:{}, virtual host {}", authority.host, authority.port, self.uri.vhost)
    }
}

impl fmt::Debug for RabbitQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RabbitQueue({})", self.broker)
    }
}

async fn within<T>(asked: impl Future<Output = lapin::Result<T>>) -> Result<T, BrokerError> {
    Ok(timeout(TIMEOUT, asked).await.map_err(|_| BrokerError::Silent)??)
}

/// Publishes a message.
async fn send(
    channel: &Channel,
    queue: &str,
    body: &[u8],
    properties: BasicProperties,
) -> Result<PublisherConfirm, BrokerError> {
    // Without `mandatory`, a message for a queue that is not there is confirmed and thrown away.
    let options = BasicPublishOptions { mandatory: true, ..Default::default() };
    within(channel.basic_publish("".into(), queue.into(), options, body, properties)).await
}

/// Waits until the broker has a message for good.
async fn confirmed(sent: PublisherConfirm) -> Result<(), BrokerError> {
    match within(sent).await? {
        Confirmation::Ack(None) => Ok(()),
        Confirmation::Ack(Some(_)) => Err(BrokerError::NoQueue),
        Confirmation::Nack(_) | Confirmation::NotRequested => Err(BrokerError::Refused),
    }
}

fn dead_queue(run: RunId) -> String {
    format!("{run}.dead")
}

#[async_trait]
impl JobQueue for RabbitQueue {
    async fn consume(&self, run: RunId, agent: u32) -> Result<Box<dyn JobConsumer>, ProtocolError> {
        self.declare(run).await?;
        Ok(Box::new(Consumer::new(self.broker.clone(), run, agent)))
    }
}

#[async_trait]
impl Broker for RabbitQueue {
    async fn declare(&self, run: RunId) -> Result<(), ProtocolError> {
        self.broker.persist(Ask::Declare, &run.to_string()).await.map(drop)
    }

    async fn publish(&self, run: RunId, jobs: Vec<Job>) -> Result<(), ProtocolError> {
        self.broker.publish_all(&run.to_string(), run, &jobs).await
    }

    async fn waiting(&self, run: RunId) -> Result<Option<u64>, ProtocolError> {
        self.broker.persist(Ask::Look, &run.to_string()).await.map(Some)
    }

    async fn bury(&self, run: RunId, jobs: Vec<Job>) -> Result<(), ProtocolError> {
        let queue = dead_queue(run);
        self.broker.persist(Ask::Declare, &queue).await?;
        self.broker.publish_all(&queue, run, &jobs).await
    }

    async fn delete_dead(&self, run: RunId) -> Result<(), ProtocolError> {
        self.broker.persist(Ask::Delete, &dead_queue(run)).await.map(drop)
    }

    async fn delete(&self, run: RunId) -> Result<(), ProtocolError> {
        self.broker.persist(Ask::Delete, &run.to_string()).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_password() {
        for (url, shown) in [
            ("amqp://user:geheim@broker.example:5673/armada", "broker.example:5673, virtual host armada"),
            ("amqp://user:geheim@127.0.0.1", "127.0.0.1:5672, virtual host /"),
            ("amqps://user:geheim@[::1]/%2f", "::1:5671, virtual host /"),
        ] {
            let queue = RabbitQueue::new(url, "test").unwrap();
            assert_eq!(format!("{queue:?}"), format!("RabbitQueue({shown})"));
        }
        for url in ["", "broker", "http://user:geheim@broker/", "amqp:broker", "amqp://user:geheim@broker:port/"] {
            let error = RabbitQueue::new(url, "test").unwrap_err().to_string();
            assert!(error.contains("amqp://user:password@") && !error.contains("geheim"), "{url}: {error}");
        }
    }
}
