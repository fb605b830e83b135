//! Keeps empty artifacts, as many as it may, and gives how many those were and what was said.

use armada::{Agent, Job, Result, Value, json};

guests::hostile!(attack);

async fn attack(job: &Job, _agent: &Agent) -> Result<Value> {
    let mut kept = 0;
    let error = loop {
        match job.monitoring_client.save_artifact(format!("file-{kept}"), "text/plain", "").await {
            Ok(()) => kept += 1,
            Err(error) => break error,
        }
    };
    // One in the place of another is no more than before.
    job.monitoring_client.save_artifact("file-0", "text/plain", "again").await?;
    Ok(json!({"kept": kept, "kind": error.kind().name(), "said": error.message()}))
}
