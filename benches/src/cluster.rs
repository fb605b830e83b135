//! What agents on many machines need, on this one: Redis, RabbitMQ and `armada serve` between them, each real and its
//! own process.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use armada_tests::serve::Serve;
use armada_tests::servers::{Server, rabbitmq, redis};
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use crate::component::built;

/// How long something may take that takes seconds.
const PATIENCE: Duration = Duration::from_secs(240);
/// How often it is looked whether something has come about.
const LOOK: Duration = Duration::from_millis(2);
/// A job's message has about 330 bytes with this, as messages of real projects do.
const PADDING: usize = 200;

/// A server and what it uses.
pub(crate) struct Cluster {
    pub(crate) redis: Server,
    pub(crate) broker: Server,
    pub(crate) serve: Serve,
    component: Vec<u8>,
}

impl Cluster {
    /// Starts everything; `armada serve` with these arguments.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let (redis, broker) = (redis(), rabbitmq(""));
        let serve = Serve::start(arguments, &[("ARMADA_AMQP_URL", broker.url()), ("ARMADA_REDIS_URL", redis.url())]);
        Self { redis, broker, serve, component: built() }
    }

    /// Launches `benches/project` with so many agents, and so many jobs that all have this message. Gives the run's id.
    pub(crate) fn launch(&self, agents: u32, jobs: u64, message: &Value) -> anyhow::Result<String> {
        let limits = json!({"seconds_per_job": 3600, "seconds_per_call": 3600});
        let template = json!({
            "run_message": {"sandbox": {"capabilities": ["browser", "monitoring"], "limits": limits}},
            "default_job_message": message,
        });
        let options = json!({"agents": agents, "jobs": jobs}).to_string();
        let component = Part::bytes(self.component.clone()).file_name("component.wasm");
        let template = Part::text(template.to_string()).file_name("config_template.json");
        let form = Form::new().part("component", component).part("configtemplate", template).text("options", options);
        let (status, answer) = self.serve.start_run(form, None);
        ensure!(status == 202, "the run was not launched: {answer}");
        Ok(answer.get("run_id").and_then(Value::as_str).context("no run_id")?.to_owned())
    }

    /// Waits until something holds of a run; gives when it was seen to.
    pub(crate) fn until(&self, run: &str, holds: impl Fn(&Value) -> bool) -> anyhow::Result<Instant> {
        let begun = Instant::now();
        loop {
            let view = self.serve.run(run);
            if holds(&view) {
                return Ok(Instant::now());
            }
            ensure!(begun.elapsed() < PATIENCE, "it takes too long: {view}");
            std::thread::sleep(LOOK);
        }
    }

    /// Waits until so many jobs of a run have succeeded; gives when that was seen.
    pub(crate) fn until_done(&self, run: &str, jobs: u64) -> anyhow::Result<Instant> {
        self.until(run, |run| run.get("jobs_succeeded").and_then(Value::as_u64) >= Some(jobs))
    }

    /// Ends a run before its jobs have.
    pub(crate) fn cancel(&self, run: &str) -> anyhow::Result<()> {
        let (status, answer) = self.serve.ask("POST", &format!("/api/runs/{run}/cancel"), None);
        ensure!((200..300).contains(&status), "the run was not cancelled: {answer}");
        self.until(run, |run| run.get("status").is_some_and(|status| status == "Cancelled")).map(drop)
    }
}

/// The message of a job that does nothing.
pub(crate) fn nothing() -> Value {
    json!({"measure": "host_call", "times": 0, "padding": "x".repeat(PADDING)})
}

/// The message of a job that keeps its agent from others.
pub(crate) fn waiting() -> Value {
    json!({"measure": "wait", "times": 0})
}
