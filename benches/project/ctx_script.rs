//! Does something many times, and gives the time that each took, in seconds.

use std::hint::black_box;
use std::time::{Duration, Instant};

use armada::{Agent, Job, Result, bail, ensure};

pub async fn ctx_script(job_ctx: &Job, agent_ctx: &Agent) -> Result<f64> {
    let (measure, times): (String, u32) = (job_ctx.job_message.field("measure")?, job_ctx.job_message.field("times")?);
    if measure == "host_call" {
        let started = Instant::now();
        for _ in 0..times {
            black_box(job_ctx.monitoring_client.current_job());
        }
        return Ok(started.elapsed().as_secs_f64() / f64::from(times.max(1)));
    }
    // The first such job keeps its agent from others.
    if measure == "wait" {
        if job_ctx.monitoring_client.current_job().is_some_and(|job| job.index == 0) {
            armada::sleep(Duration::from_secs(600)).await?;
        }
        return Ok(0.0);
    }
    if measure == "launch" {
        let started = Instant::now();
        agent_ctx.browser.launch().await?;
        return Ok(started.elapsed().as_secs_f64());
    }
    let page = agent_ctx.browser.new_page().await?;
    page.goto(job_ctx.job_message.field::<String>("url")?).await?;
    let heading = page.locator("h1");
    let started = Instant::now();
    for _ in 0..times {
        match measure.as_str() {
            "evaluate" => ensure!(page.evaluate::<u32>("1 + 1").await? == 2, "1 + 1 is not 2"),
            "text_content" => ensure!(heading.text_content().await? == "Plain", "the heading is another"),
            other => bail!("there is no operation `{other}`"),
        }
    }
    Ok(started.elapsed().as_secs_f64() / f64::from(times))
}
