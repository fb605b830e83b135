//! Calls itself for ever.

use armada::{Agent, Job, Result, Value};

guests::hostile!(attack);

async fn attack(_job: &Job, _agent: &Agent) -> Result<Value> {
    Ok(deeper(0).into())
}

#[inline(never)]
#[expect(unconditional_recursion, reason = "that is the attack")]
fn deeper(depth: u64) -> u64 {
    let here = std::hint::black_box([depth; 32]);
    deeper(depth + 1) + here[0]
}
