//! Makes host calls that are answered at once, for ever.

use armada::{Agent, Job, Result, Value};

guests::hostile!(attack);

async fn attack(job: &Job, _agent: &Agent) -> Result<Value> {
    loop {
        std::hint::black_box(job.monitoring_client.current_job());
    }
}
