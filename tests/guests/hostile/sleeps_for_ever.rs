//! Waits for ever, without computing.

use std::time::Duration;

use armada::{Agent, Job, Result, Value};

guests::hostile!(attack);

async fn attack(_job: &Job, _agent: &Agent) -> Result<Value> {
    loop {
        armada::sleep(Duration::from_secs(3600)).await?;
    }
}
