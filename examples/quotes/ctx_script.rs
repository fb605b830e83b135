//! What a job does. Shows how a script reads and fills pages, does several things at once, and what it gives.

use armada::{Result, ensure, try_join};
use serde::Serialize;

use crate::addon::site::Site;
use crate::ctx_agent_context::AgentContext;
use crate::ctx_job_context::JobContext;

/// What a job gives. It becomes the job's result, as JSON.
#[derive(Serialize)]
pub struct Found {
    word: String,
    /// How many quotes there are, and on how many pages.
    quotes: usize,
    pages: usize,
    /// Of the quotes that were opened: their words, and the hearts that readers gave them.
    words: usize,
    hearts: u32,
    /// How many cards were ordered in the task's month.
    cards: u32,
    /// What the site says about the note that was added.
    note: String,
}

pub async fn ctx_script(job_ctx: &mut JobContext, agent_ctx: &AgentContext) -> Result<Found> {
    let context = agent_ctx.member_context().await?;
    let site = Site::new(&agent_ctx.site, context);

    let (quotes, pages) = site.search(&job_ctx.task.word).await?;
    ensure!(!quotes.is_empty(), "nothing is said about “{}”", job_ctx.task.word);
    job_ctx.done(&format!("found {} quotes", quotes.len()))?;

    // Several operations in flight: every page that is opened and the orders, all at the same time.
    let open = job_ctx.task.open.iter().filter_map(|place| quotes.get(*place));
    let (opened, cards) =
        try_join!(armada::try_join_all(open.map(|path| site.quote(path))), site.cards_ordered(&job_ctx.task.month))?;
    job_ctx.done(&format!("read {} of them", opened.len()))?;

    let (note, picture) = site.add_note(&quotes[0], &job_ctx.task.note).await?;
    job_ctx.monitoring_client.save_artifact("note.png", "image/png", picture).await?;
    job_ctx.done(&note)?;

    Ok(Found {
        word: job_ctx.task.word.clone(),
        quotes: quotes.len(),
        pages,
        words: opened.iter().map(|quote| quote.words).sum(),
        hearts: opened.iter().map(|quote| quote.hearts).sum(),
        cards,
        note,
    })
}
