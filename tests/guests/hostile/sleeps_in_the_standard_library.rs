//! Blocks in the standard library's own sleep, which goes past the SDK.

use std::time::Duration;

use armada::{Agent, Job, Result, Value};

guests::hostile!(attack);

async fn attack(_job: &Job, _agent: &Agent) -> Result<Value> {
    std::thread::sleep(Duration::from_secs(3600));
    Ok(Value::Null)
}
