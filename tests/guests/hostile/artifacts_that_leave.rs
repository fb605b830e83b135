//! Keeps artifacts under names that lead elsewhere, and more bytes of them than it may.

use armada::{Agent, Job, Result, Value, json};

guests::hostile!(attack);

async fn attack(job: &Job, _agent: &Agent) -> Result<Value> {
    let monitoring = &job.monitoring_client;
    let mut refused = Vec::new();
    for name in ["../escape", "/etc/escape", "a/b", "..", "", "a\0b"] {
        let error = monitoring.save_artifact(name, "text/plain", "x").await.err();
        refused.push(error.map(|error| error.kind().name()));
    }
    let mut kept = 0;
    let full = loop {
        match monitoring.save_artifact(format!("file-{kept}"), "text/plain", vec![0; 1 << 20]).await {
            Ok(()) => kept += 1,
            Err(error) => break error.kind().name(),
        }
    };
    // One that replaces another of its size is no more than before.
    monitoring.save_artifact("file-0", "text/plain", vec![1; 1 << 20]).await?;
    Ok(json!({"refused": refused, "kept": kept, "full": full}))
}
