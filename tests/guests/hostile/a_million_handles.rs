//! Takes handles on elements until it is not allowed to.

use armada::{Agent, Job, Result, Value, json};

guests::hostile!(attack);

async fn attack(_job: &Job, agent: &Agent) -> Result<Value> {
    let page = agent.browser.new_page().await?;
    page.set_content("<p></p>".repeat(90)).await?;
    let mut handles = Vec::new();
    loop {
        match page.locator("p").element_handles().await {
            Ok(more) => handles.extend(more),
            Err(error) => return Ok(json!({"kind": error.kind().name(), "held": handles.len()})),
        }
    }
}
