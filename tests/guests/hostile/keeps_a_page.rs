//! Keeps a page for the next job, and gives whether one was there that is still open.

use std::cell::RefCell;

use armada::browser::{BrowserContext, Page};
use armada::{Agent, Job, Result, Value, json};

guests::hostile!(attack);

thread_local! {
    static KEPT: RefCell<Vec<(BrowserContext, Page)>> = const { RefCell::new(Vec::new()) };
}

async fn attack(_job: &Job, agent: &Agent) -> Result<Value> {
    let earlier: Vec<bool> = KEPT.with_borrow(|kept| kept.iter().map(|(_, page)| page.is_closed()).collect());
    let context = agent.browser.new_context().await?;
    let page = context.new_page().await?;
    KEPT.with_borrow_mut(|kept| kept.push((context, page)));
    Ok(json!({"earlier_closed": earlier}))
}
