//! Prints a million lines, and one without an end.

use std::io::Write as _;

use armada::{Agent, Job, Result, Value};

guests::hostile!(attack);

async fn attack(_job: &Job, _agent: &Agent) -> Result<Value> {
    for number in 0..1_000_000 {
        println!("line {number}");
    }
    let endless = vec![b'x'; 1 << 20];
    for _ in 0..64 {
        std::io::stderr().write_all(&endless)?;
    }
    Ok(Value::Null)
}
