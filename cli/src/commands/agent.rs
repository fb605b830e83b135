//! `armada agent`: a process of a run. Its standard input is a link to the process that started it.

use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use armada_host::agent::{AgentOptions, Connections};
use armada_host::{ComponentCache, Sandbox};
use armada_protocol::link::Link;
use armada_protocol::patient::Patient;
use armada_protocol::rabbitmq::RabbitQueue;
use armada_protocol::redis::{self, RedisRunStore};
use armada_protocol::{JobQueue, RunStore};
use tokio::net::UnixStream;

use crate::Ending;
use crate::args::Agent;
use crate::places;
use crate::signals;

/// How long an agent waits for a ledger that is away, with the outcome of a job in its hands.
const PATIENCE: Duration = Duration::from_secs(600);

pub(crate) fn agent(arguments: &Agent) -> anyhow::Result<Ending> {
    let cache = ComponentCache::new(places::components(&places::cache(&arguments.cache)?));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let link = std::io::stdin().as_fd().try_clone_to_owned()?;
        let link = StdUnixStream::from(link);
        let no_link = "an agent is started by `armada run`, with a link to it as standard input";
        link.set_nonblocking(true).context(no_link)?;
        link.peer_addr().context(no_link)?;
        let link = Arc::new(Link::connect(UnixStream::from_std(link)?));
        let options = AgentOptions {
            run: arguments.run,
            index: arguments.index,
            cache,
            chromium: arguments.chromium.clone(),
            headed: arguments.headed,
            temp: arguments.temp.clone(),
        };
        let queue: Arc<dyn JobQueue> = match &arguments.amqp_url {
            Some(url) => Arc::new(RabbitQueue::new(url, &format!("agent {} of {}", arguments.index, arguments.run))?),
            None => link.clone(),
        };
        let runs: Arc<dyn RunStore> = match &arguments.redis_url {
            Some(url) => Arc::new(RedisRunStore::new(url, redis::EXPIRY)?),
            None => link.clone(),
        };
        let jobs = Arc::new(Patient::new(link, PATIENCE));
        let connections = Connections { queue, runs, jobs };
        let interruption = signals::in_order();
        armada_host::agent::run(&Sandbox::new()?, options, connections, interruption.gently.clone()).await?;
        Ok(Ending::Done)
    })
}
