//! Opens pages until it is not allowed to, and gives how many there were and what was said.

use armada::{Agent, Job, Result, Value, json};

guests::hostile!(attack);

async fn attack(_job: &Job, agent: &Agent) -> Result<Value> {
    let mut pages = Vec::new();
    loop {
        match agent.browser.new_page().await {
            Ok(page) => pages.push(page),
            Err(error) => {
                return Ok(json!({"pages": pages.len(), "kind": error.kind().name(), "said": error.message()}));
            }
        }
    }
}
