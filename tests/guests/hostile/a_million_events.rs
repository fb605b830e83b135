//! Reports a million events, and gives how many were taken, and why the last was not.

use armada::{Agent, Job, Result, Value, json};

guests::hostile!(attack);

async fn attack(job: &Job, _agent: &Agent) -> Result<Value> {
    let (mut taken, mut last) = (0, String::new());
    for number in 0..1_000_000 {
        match job.monitoring_client.record_success_event(format!("event {number}")) {
            Ok(()) => taken += 1,
            Err(error) => last = error.to_string(),
        }
    }
    Ok(json!({"taken": taken, "last": last}))
}
