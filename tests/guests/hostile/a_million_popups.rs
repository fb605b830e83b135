//! Has a page open others until it is done, and gives how many of them the script could take.

use std::time::Duration;

use armada::{Agent, Job, Result, Value, json};

guests::hostile!(attack);

async fn attack(_job: &Job, agent: &Agent) -> Result<Value> {
    let page = agent.browser.new_page().await?;
    page.evaluate::<()>("() => { for (let popup = 0; popup < 200; popup++) window.open('about:blank'); }").await?;
    let mut popups = Vec::new();
    while let Ok(popup) = page.wait_for_popup().timeout(Duration::from_secs(2)).await {
        popups.push(popup);
    }
    let after = agent.browser.new_page().await.map(|_| ());
    Ok(json!({"popups": popups.len(), "after": after.err().map(|error| error.kind().name())}))
}
