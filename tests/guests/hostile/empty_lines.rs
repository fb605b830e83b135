//! Prints a million lines with nothing in them.

use armada::{Agent, Job, Result, Value, json};

guests::hostile!(attack);

async fn attack(_job: &Job, _agent: &Agent) -> Result<Value> {
    for _ in 0..1_000_000 {
        println!();
    }
    Ok(json!(null))
}
