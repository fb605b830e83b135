//! Ends in the way that the job's message says.

use std::time::Duration;

use armada::monitoring::LogLevel;
use armada::{ErrorKind, Failure, FailureExt as _, Result, Value, bail, json};

use crate::ctx_agent_context::AgentContext;
use crate::ctx_job_context::JobContext;

const FOR_EVER: Duration = Duration::from_secs(3600);

pub async fn ctx_script(job_ctx: &mut JobContext, agent_ctx: &mut AgentContext) -> Result<Value> {
    agent_ctx.jobs_seen += 1;
    let current = job_ctx.monitoring_client.current_job();
    let (index, attempt) = current.map_or((0, 0), |job| (job.index, job.attempt));
    // Its own kind, or one of a list for all jobs, by its place.
    let message = &job_ctx.job.job_message;
    let kind = message["kind"].as_str().or(message["kinds"][index as usize].as_str()).unwrap_or("quick").to_owned();
    let seen = json!({"kind": kind, "attempt": attempt, "jobs_seen": agent_ctx.jobs_seen});
    match kind.as_str() {
        "quick" => Ok(seen),
        "prints" => {
            println!("to standard output");
            eprintln!("to standard error");
            print!("without an end");
            Ok(seen)
        }
        "fail" => deep(0),
        "parse" => Ok(json!("seven".parse::<u32>().context("while reading the price")?)),
        "retry" => Err(Failure::new("not yet").retry()),
        "retry_once" if attempt == 1 => Err(Failure::new("not yet").retry()),
        "fatal_once" if attempt == 1 => Err(Failure::new("this agent is worn out").fatal()),
        "panic_once" if attempt == 1 => panic!("once"),
        "retry_once" | "fatal_once" => Ok(seen),
        // Waits with a page open, the first time: whoever kills something does it then.
        "wait_once" if attempt > 1 => Ok(seen),
        "wait" | "wait_once" => {
            let page = agent_ctx.agent.browser.new_page().await?;
            page.set_content("<h1>Waiting</h1>").await?;
            job_ctx.monitoring_client.record_success_event("ready")?;
            page.wait_for_function::<bool>("false").timeout(FOR_EVER).await?;
            Ok(seen)
        }
        "artifact" => {
            job_ctx.monitoring_client.record_success_event("ready")?;
            armada::sleep(Duration::from_secs(1)).await?;
            job_ctx.monitoring_client.save_artifact("page.txt", "text/plain", "hello").await?;
            Ok(seen)
        }
        // Two versions of one, and another: each of 400 kB.
        "artifacts" => {
            let client = &job_ctx.monitoring_client;
            client.save_artifact("page.txt", "text/plain", "first ".repeat(66_667)).await?;
            client.record_success_event("ready")?;
            armada::sleep(Duration::from_secs(2)).await?;
            client.save_artifact("page.txt", "text/plain", "again ".repeat(66_667)).await?;
            client.save_artifact("other.txt", "text/plain", "other ".repeat(66_667)).await?;
            Ok(seen)
        }
        // Reports three megabytes, after a while.
        "reports" => {
            let client = &job_ctx.monitoring_client;
            client.record_success_event("ready")?;
            armada::sleep(Duration::from_secs(5)).await?;
            for number in 0..30 {
                client.save_artifact(format!("{number}.txt"), "text/plain", "a".repeat(100_000)).await?;
                client.log(LogLevel::Info, format!("line {number}"));
                client.record_success_event(format!("event {number}"))?;
            }
            Ok(seen)
        }
        // Takes long enough that whoever cuts something can do so in the middle.
        "slow" => {
            job_ctx.monitoring_client.record_success_event("ready")?;
            armada::sleep(Duration::from_secs(12)).await?;
            Ok(seen)
        }
        // Does not end when it is told to.
        "stubborn" => {
            job_ctx.monitoring_client.record_success_event("ready")?;
            loop {
                match armada::sleep(Duration::from_millis(10)).await {
                    Err(error) if error.kind() == ErrorKind::Closed => std::thread::sleep(Duration::from_millis(10)),
                    _ => {}
                }
            }
        }
        other => bail!("there is no kind `{other}`"),
    }
}

#[inline(never)]
fn deep(depth: u32) -> Result<Value> {
    if depth == 2 {
        bail!("the page has no price");
    }
    deep(depth + 1)
}
