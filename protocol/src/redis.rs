//! Components, compiled or not, and agent records in Redis, for agents on many machines.
//!
//! An agent's record is where the predecessor has it and in its form: the agent message as JSON under
//! `{run_id}{agent_index}`, with what Armada needs beside it under one key more. Everything expires, so that nothing is
//! left of runs whose orchestrator never came back; who goes on with a run says so from time to time. Every command is
//! one that may be given twice, and is given again while Redis is away.

use std::fmt;
use std::time::Duration;

use ::redis::aio::{ConnectionManager, ConnectionManagerConfig};
use ::redis::{Client, ErrorKind, FromRedisValue, Pipeline, RedisError, pipe};
use armada_project::{ComponentRef, Digest, Grant};
use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout};

use crate::backoff::Backoff;
use crate::traits::check_stored;
use crate::{AgentRecord, CompiledRef, ProtocolError, Registry, RunId, RunStore};

/// How long records and components are kept where nothing else is said, should nobody remove them: a week.
pub const EXPIRY: Duration = Duration::from_secs(7 * 24 * 3600);

/// How long a command may take, the connection that it may need included.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long one may take that carries a component.
const COMPONENT_TIMEOUT: Duration = Duration::from_secs(60);
/// How long somebody waits for a Redis that is away, when nothing else is asked for.
const PATIENCE: Duration = Duration::from_secs(30);
/// The key of an agent message under which the rest of its record is.
const OWN: &str = "armada";

/// The [`Registry`] of a Redis server.
pub struct RedisRunStore {
    client: Client,
    connection: OnceCell<ConnectionManager>,
    /// In seconds.
    expiry: u64,
    patience: Duration,
}

/// What of a record is not the agent message.
#[derive(Serialize, Deserialize)]
struct Own {
    component: ComponentRef,
    grant: Grant,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    compiled: Option<CompiledRef>,
    /// What the agent message has under the same key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message: Option<Value>,
}

impl RedisRunStore {
    /// The server at an address such as `redis://user:password@host:6379/0`, or `rediss://…` for TLS. It is not
    /// connected to yet. What is stored is kept for this long after it was last stored or its run last kept. Who asks
    /// something of a server that is away waits for 30 seconds.
    pub fn new(url: &str, expiry: Duration) -> Result<Self, ProtocolError> {
        Self::with_patience(url, expiry, PATIENCE)
    }

    /// The same with a patience of one's own.
    pub fn with_patience(url: &str, expiry: Duration, patience: Duration) -> Result<Self, ProtocolError> {
        // What is wrong with an address is not cited: there may be a password in it.
        let client = Client::open(url).map_err(|_| {
            let form = "redis://user:password@host:6379/0";
            ProtocolError::Invalid(format!("the address of Redis is not one: it looks like {form}"))
        })?;
        // Redis refuses to keep something for no time at all.
        let expiry = expiry.as_secs().max(1);
        Ok(Self { client, connection: OnceCell::new(), expiry, patience })
    }

    /// Asks whether the server can be used now.
    pub async fn check(&self) -> Result<(), ProtocolError> {
        self.command(pipe().cmd("PING").ignore(), TIMEOUT).await.map_err(|error| self.explain(error))
    }

    /// Sends commands once.
    async fn command<T: FromRedisValue>(&self, commands: &Pipeline, within: Duration) -> Result<T, RedisError> {
        let connect = async || {
            // How long anything takes is bounded below, and what fails is tried again there.
            let config = ConnectionManagerConfig::new()
                .set_number_of_retries(0)
                .set_connection_timeout(Some(TIMEOUT))
                .set_response_timeout(None);
            ConnectionManager::new_lazy_with_config(self.client.clone(), config)
        };
        let mut connection = self.connection.get_or_try_init(connect).await?.clone();
        match timeout(within, commands.query_async(&mut connection)).await {
            Ok(answer) => answer,
            Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
        }
    }

    /// Sends commands until they are answered, or cannot be, or patience is at its end.
    async fn persist<T: FromRedisValue>(&self, commands: &Pipeline, within: Duration) -> Result<T, ProtocolError> {
        let (started, mut backoff) = (Instant::now(), Backoff::new());
        loop {
            match self.command(commands, within).await {
                Ok(answer) => return Ok(answer),
                Err(error) if is_final(&error) || started.elapsed() > self.patience => return Err(self.explain(error)),
                Err(error) => {
                    backoff.tell(format_args!("{self} cannot be used: {error}"));
                    backoff.wait().await;
                }
            }
        }
    }

    /// Stores something that a run needs.
    async fn put(&self, run: RunId, key: String, bytes: Vec<u8>, within: Duration) -> Result<(), ProtocolError> {
        let expiry = self.expiry;
        let mut commands = pipe();
        // Noted before it is there, so that it is found by who keeps or deletes the run.
        commands.atomic().sadd(run_key(run), &key).ignore();
        commands.expire(run_key(run), expiry.cast_signed()).ignore();
        commands.set_ex(key, bytes, expiry).ignore();
        self.persist(&commands, within).await
    }

    async fn get(&self, key: String, within: Duration) -> Result<Option<Vec<u8>>, ProtocolError> {
        let mut commands = pipe();
        commands.get(key);
        let (bytes,) = self.persist(&commands, within).await?;
        Ok(bytes)
    }

    /// The keys of what a run needs.
    async fn keys(&self, run: RunId) -> Result<Vec<String>, ProtocolError> {
        let mut members = pipe();
        members.smembers(run_key(run));
        let (keys,) = self.persist(&members, TIMEOUT).await?;
        Ok(keys)
    }

    fn explain(&self, error: RedisError) -> ProtocolError {
        match error.kind() {
            ErrorKind::AuthenticationFailed | ErrorKind::InvalidClientConfig | ErrorKind::UnexpectedReturnType => {
                ProtocolError::Invalid(format!("{self} refuses: {error}"))
            }
            _ => ProtocolError::Unavailable(format!("{self} cannot be used: {error}")),
        }
    }
}

/// Whether it would be the same again, however often it is tried: the server was there and said no.
fn is_final(error: &RedisError) -> bool {
    use ::redis::RetryMethod;
    let is_wait = matches!(
        error.retry_method(),
        RetryMethod::Reconnect
            | RetryMethod::RetryImmediately
            | RetryMethod::WaitAndRetry
            | RetryMethod::RefreshSlotsAndRetry
    );
    !is_wait && !error.is_io_error()
}

impl fmt::Display for RedisRunStore {
    /// Where the server is, without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redis at {}", self.client.get_connection_info().addr())
    }
}

impl fmt::Debug for RedisRunStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisRunStore({self})")
    }
}

/// What every key begins with but those of agents' records.
const PREFIX: &str = "armada:";

fn component_key(digest: Digest) -> String {
    format!("{PREFIX}component:{digest}")
}

fn compiled_key(digest: Digest, engine: &str) -> String {
    format!("{PREFIX}compiled:{digest}:{engine}")
}

fn agent_key(run: RunId, index: u32) -> String {
    format!("{run}{index}")
}

/// The key of the set of the other keys that a run needs.
fn run_key(run: RunId) -> String {
    format!("{PREFIX}run:{run}")
}

/// A record as it is stored.
fn write(record: AgentRecord) -> Result<String, ProtocolError> {
    let AgentRecord { mut message, component, grant, compiled } = record;
    let own = Own { component, grant, compiled, message: message.remove(OWN) };
    message.insert(OWN.to_owned(), serde_json::to_value(own)?);
    Ok(serde_json::to_string(&message)?)
}

fn read(text: &[u8]) -> Result<AgentRecord, ProtocolError> {
    let mut message: Map<String, Value> = serde_json::from_slice(text)?;
    let own = message.remove(OWN).ok_or_else(|| {
        ProtocolError::Invalid(format!("the agent message has no key `{OWN}`: it was not stored by Armada"))
    })?;
    let Own { component, grant, compiled, message: shadowed } = serde_json::from_value(own)?;
    if let Some(value) = shadowed {
        message.insert(OWN.to_owned(), value);
    }
    Ok(AgentRecord { message, component, grant, compiled })
}

#[async_trait]
impl RunStore for RedisRunStore {
    async fn component(&self, digest: Digest) -> Result<Bytes, ProtocolError> {
        let bytes = self.get(component_key(digest), COMPONENT_TIMEOUT).await?;
        bytes.map(Bytes::from).ok_or_else(|| ProtocolError::NotFound(format!("the component {digest}")))
    }

    async fn compiled(&self, digest: Digest, engine: &str) -> Result<Bytes, ProtocolError> {
        let code = self.get(compiled_key(digest, engine), COMPONENT_TIMEOUT).await?;
        code.map(Bytes::from).ok_or_else(|| ProtocolError::NotFound(format!("the compiled component {digest}")))
    }

    async fn agent(&self, run: RunId, index: u32) -> Result<AgentRecord, ProtocolError> {
        let text = self.get(agent_key(run, index), TIMEOUT).await?;
        read(&text.ok_or_else(|| ProtocolError::NotFound(format!("the record of agent {index} of run {run}")))?)
    }
}

#[async_trait]
impl Registry for RedisRunStore {
    async fn put_component(&self, run: RunId, digest: Digest, bytes: Vec<u8>) -> Result<(), ProtocolError> {
        check_stored(format_args!("the component {digest}"), bytes.len())?;
        self.put(run, component_key(digest), bytes, COMPONENT_TIMEOUT).await
    }

    async fn put_compiled(&self, run: RunId, digest: Digest, engine: &str, code: Vec<u8>) -> Result<(), ProtocolError> {
        check_stored(format_args!("the compiled component {digest}"), code.len())?;
        self.put(run, compiled_key(digest, engine), code, COMPONENT_TIMEOUT).await
    }

    async fn put_agent(&self, run: RunId, index: u32, record: AgentRecord) -> Result<(), ProtocolError> {
        let text = write(record)?;
        check_stored(format_args!("the message of agent {index}"), text.len())?;
        self.put(run, agent_key(run, index), text.into_bytes(), TIMEOUT).await
    }

    async fn keep(&self, run: RunId) -> Result<(), ProtocolError> {
        let mut keys = self.keys(run).await?;
        keys.push(run_key(run));
        let mut keep = pipe();
        for key in keys {
            keep.expire(key, self.expiry.cast_signed()).ignore();
        }
        self.persist(&keep, TIMEOUT).await
    }

    async fn delete(&self, run: RunId) -> Result<(), ProtocolError> {
        let mut keys = self.keys(run).await?;
        // Other runs may need the components, of this orchestrator or another one's.
        keys.retain(|key| !key.starts_with(PREFIX));
        keys.push(run_key(run));
        let mut delete = pipe();
        delete.del(keys).ignore();
        self.persist(&delete, TIMEOUT).await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::link::tests::record;

    #[test]
    fn a_record_is_stored_as_before() {
        let mut record = record();
        record.message =
            serde_json::from_str(r#"{"run_id": "r", "targetted_agent": 3, "big": 12345678901234567890}"#).unwrap();
        insta::assert_snapshot!("record", write(record).unwrap());
    }

    #[test]
    fn a_record_is_read_as_it_was_whatever_the_message_has() {
        for message in [json!({}), json!({"a": 1}), json!({OWN: 2, "a": 1}), json!({OWN: {OWN: null}})] {
            let mut record = record();
            record.message = serde_json::from_value(message).unwrap();
            let read = read(write(record.clone()).unwrap().as_bytes()).unwrap();
            assert_eq!(read.message, record.message);
            assert_eq!((read.component, read.grant), (record.component, record.grant));
            assert_eq!(read.compiled, record.compiled);
        }
    }

    #[test]
    fn a_record_without_anything_compiled_is_one() {
        let mut record = record();
        record.compiled = None;
        let text = write(record).unwrap();
        assert!(!text.contains("compiled"), "{text}");
        assert_eq!(read(text.as_bytes()).unwrap().compiled, None);
    }

    #[test]
    fn what_was_not_stored_by_armada_is_told() {
        for (text, expected) in [
            ("", "unreadable message"),
            ("[]", "unreadable message"),
            (r#"{"a": 1}"#, "no key `armada`"),
            (r#"{"armada": {"component": 1}}"#, "unreadable message"),
        ] {
            let error = read(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn an_address_is_shown_without_its_password() {
        let store = RedisRunStore::new("redis://user:geheim@redis.example:6380/1", EXPIRY).unwrap();
        assert_eq!(format!("{store:?}"), "RedisRunStore(Redis at redis.example:6380)");
        for url in ["", "redis", "http://user:geheim@redis/", "redis://user:geheim@redis:port/"] {
            let error = RedisRunStore::new(url, EXPIRY).unwrap_err().to_string();
            assert!(error.contains("redis://user:password@") && !error.contains("geheim"), "{url}: {error}");
        }
    }
}
