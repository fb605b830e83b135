//! A script with a part that can be tested.

use armada::browser::Page;
use armada::{Job, Result};

use crate::ctx_agent_context::AgentContext;

pub async fn ctx_script(_: &Job, agent_ctx: &AgentContext) -> Result<(String, f64)> {
    let page = armada::browser::Browser::default().new_page().await?;
    Ok((agent_ctx.shop.clone(), read_price(&page).await?))
}

/// The price that a page shows.
pub async fn read_price(page: &Page) -> Result<f64> {
    Ok(page.locator(".price").inner_text().await?.parse()?)
}
