//! Uses capabilities that it was not granted, and gives what it was told.

use armada::{Agent, Job, Result, Value, json};

guests::hostile!(attack);

async fn attack(job: &Job, agent: &Agent) -> Result<Value> {
    let browser = agent.browser.new_page().await.err().map(|error| error.to_string());
    let event = job.monitoring_client.record_success_event("x").err().map(|error| error.to_string());
    let artifact = job.monitoring_client.save_artifact("a", "b", "c").await.err().map(|error| error.to_string());
    // This cannot fail, and does nothing.
    job.monitoring_client.progress(1, None, "x");
    // This needs no grant, as what is printed does not.
    job.monitoring_client.log(armada::monitoring::LogLevel::Error, "logged");
    let known = job.monitoring_client.current_job().is_some();
    Ok(json!({"browser": browser, "event": event, "artifact": artifact, "job": known}))
}
