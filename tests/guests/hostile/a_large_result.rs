//! Gives a result that is larger than one may be.

use armada::{Agent, Job, Result, Value};

guests::hostile!(attack);

async fn attack(_job: &Job, _agent: &Agent) -> Result<Value> {
    Ok("x".repeat(48 << 20).into())
}
