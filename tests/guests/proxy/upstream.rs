//! Does what its job message says, step by step, and tells what came of each: who a page was asked by, where traffic
//! leaves, or the error.

use armada::{Agent, Job, Result, Value, json};

async fn ctx_script(job: &Job, agent: &Agent) -> Result<Value> {
    let steps: Vec<Value> = job.job_message.field("steps")?;
    let mut told = Vec::new();
    for step in &steps {
        let done = take(step, agent).await;
        told.push(done.unwrap_or_else(|error| json!({"error": error.kind().name(), "says": error.message()})));
    }
    Ok(Value::Array(told))
}

async fn take(step: &Value, agent: &Agent) -> Result<Value, armada::Error> {
    if let Some(url) = step["goto"].as_str() {
        let page = agent.browser.new_page().await?;
        page.goto(url).await?;
        return page.evaluate("() => document.body.innerText").await;
    }
    if let Some(wanted) = step.get("change") {
        let mut change = agent.proxy.change_upstream();
        if let Some(location) = wanted["location"].as_str() {
            change = change.location(location);
        }
        if let Some(tag) = wanted["tag"].as_str() {
            change = change.tag(tag);
        }
        if let Some(text) = wanted["sticky"].as_str() {
            change = change.sticky(text);
        }
        return Ok(json!(change.await?));
    }
    match step.as_str() {
        Some("status") => Ok(json!(agent.proxy.status()?)),
        _ => Ok(json!(agent.proxy.verify_ip().await?)),
    }
}

armada::project! { script: ctx_script }
