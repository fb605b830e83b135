//! Ends its process, as if it had one.

use armada::{Agent, Job, Result, Value};

guests::hostile!(attack);

async fn attack(_job: &Job, _agent: &Agent) -> Result<Value> {
    std::process::exit(0)
}
