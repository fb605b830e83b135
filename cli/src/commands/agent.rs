//! `armada agent`: a process of a run, linked to its orchestrator by its standard input or over the network.

use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use armada_host::agent::AgentOptions;
use armada_host::{ComponentCache, Sandbox, VerifyingKey};
use armada_protocol::link::{Link, RemoteLink};
use armada_protocol::patient::Patient;
use armada_protocol::rabbitmq::RabbitQueue;
use armada_protocol::redis::{self, RedisRunStore};
use armada_protocol::{Connections, Incarnation};
use tokio::net::UnixStream;
use url::Url;

use crate::Ending;
use crate::args::Agent;
use crate::run::temp::Temp;
use crate::{places, signals};

pub(crate) fn agent(arguments: &Agent) -> anyhow::Result<Ending> {
    let cache = ComponentCache::new(places::components(&places::cache(&arguments.cache)?));
    let own_temp = if arguments.temp.is_none() { Some(Temp::new()?) } else { None };
    let temp = arguments.temp.clone().or_else(|| own_temp.as_ref().map(|temp| temp.path().to_owned()));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let by = Incarnation::new(arguments.index);
    runtime.block_on(async {
        let options = AgentOptions {
            run: arguments.run,
            by,
            cache,
            // Whoever started an agent of this machine shares its cache.
            key: arguments.server.as_ref().and(arguments.token.as_deref()).and_then(VerifyingKey::of_token),
            chromium: arguments.browser.chromium.clone(),
            headed: arguments.browser.headed,
            temp: temp.unwrap_or_else(std::env::temp_dir),
        };
        let mut connections = match &arguments.server {
            Some(server) => from_elsewhere(arguments, server, by)?,
            None => from_here(arguments)?,
        };
        if let Some(url) = &arguments.amqp_url {
            let name = format!("agent {} of {}", arguments.index, arguments.run);
            connections.queue = Arc::new(RabbitQueue::new(url, &name)?);
        }
        if let Some(url) = &arguments.redis_url {
            connections.runs = Arc::new(RedisRunStore::new(url, redis::EXPIRY)?);
        }
        let interruption = signals::in_order();
        armada_host::agent::run(&Sandbox::new()?, options, connections, interruption.gently.clone()).await.ended?;
        Ok(Ending::Done)
    })
}

/// Linked by the standard input, which ends with whoever started this.
fn from_here(arguments: &Agent) -> anyhow::Result<Connections> {
    let no_link = "an agent is started by `armada run` or `armada serve`, with a link to it as standard input; from elsewhere, \
                   give --server";
    let link = StdUnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    link.set_nonblocking(true).context(no_link)?;
    link.peer_addr().context(no_link)?;
    let link = Arc::new(Link::connect(UnixStream::from_std(link)?));
    let jobs = Arc::new(Patient::new(link.clone(), Duration::from_secs_f64(arguments.patience_seconds)));
    Ok(Connections { queue: link.clone(), runs: link.clone(), jobs, lender: link })
}

/// Linked over the network.
fn from_elsewhere(arguments: &Agent, server: &Url, by: Incarnation) -> anyhow::Result<Connections> {
    let patience = Duration::from_secs_f64(arguments.patience_seconds);
    let link = Arc::new(RemoteLink::new(server, arguments.run, by, arguments.token.clone(), patience)?);
    Ok(Connections { queue: link.clone(), runs: link.clone(), jobs: link.clone(), lender: link })
}
