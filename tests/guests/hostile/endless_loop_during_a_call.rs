//! Computes for ever while a host call is pending.

use std::time::Duration;

use armada::{Agent, Job, Result, Value};

guests::hostile!(attack);

async fn attack(_job: &Job, _agent: &Agent) -> Result<Value> {
    let (slept, ()) = armada::join!(armada::sleep(Duration::from_secs(600)), async {
        let mut number = 0_u64;
        loop {
            number = std::hint::black_box(number.wrapping_add(1));
        }
    });
    slept?;
    Ok(Value::Null)
}
