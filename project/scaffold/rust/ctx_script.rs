//! What a job does.

use armada::browser::Page;
use armada::{Agent, Job, Result};
use serde::Serialize;

/// What a job gives. It becomes the job's result, as JSON.
#[derive(Serialize)]
pub struct Found {
    title: String,
    headings: Vec<String>,
}

/// Opens the page that the job names, and reads its title and headings.
pub async fn ctx_script(job_ctx: &Job, agent_ctx: &Agent) -> Result<Found> {
    let url: String = job_ctx.job_message.field("url")?;

    let page = agent_ctx.browser.new_page().await?;
    page.goto(&url).await?;
    let found = Found { title: page.title().await?, headings: read_headings(&page).await? };

    job_ctx.monitoring_client.record_success_event(format!("{url}: {} headings", found.headings.len()))?;
    Ok(found)
}

/// The headings of a page, as its readers see them.
pub async fn read_headings(page: &Page) -> Result<Vec<String>> {
    Ok(page.locator("h1, h2").all_inner_texts().await?)
}
