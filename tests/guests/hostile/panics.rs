//! Panics.

use armada::{Agent, Job, Result, Value};

guests::hostile!(attack);

async fn attack(_job: &Job, _agent: &Agent) -> Result<Value> {
    let prices: Vec<u32> = Vec::new();
    panic!("there are {} prices", prices.len())
}
