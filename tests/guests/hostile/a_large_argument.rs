//! Passes the host more than one call may carry.

use armada::{Agent, Job, Result, Value};

guests::hostile!(attack);

async fn attack(_job: &Job, agent: &Agent) -> Result<Value> {
    let page = agent.browser.new_page().await?;
    page.set_content("x".repeat(64 << 20)).await?;
    Ok(Value::Null)
}
