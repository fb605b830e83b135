//! Has a page hold and give a quarter of a gigabyte of text in every way there is.

use std::time::Duration;

use armada::{Agent, Job, Result, Value, json};

guests::hostile!(attack);

async fn attack(_job: &Job, agent: &Agent) -> Result<Value> {
    // On a busy machine a page takes a while to write so much down.
    agent.browser.current_context().await?.set_default_timeout(Duration::from_secs(110));
    let page = agent.browser.new_page().await?;
    let value = page.evaluate::<String>("'x'.repeat(2 ** 28)").await.map(|text| text.len());
    // Hidden: laying it out would take the page minutes.
    page.evaluate::<Value>("document.body.hidden = true, document.body.append('y'.repeat(2 ** 28)), null").await?;
    let text = page.text_content("body").await.map(|text| text.len());
    let content = page.content().await.map(|text| text.len());
    page.evaluate::<Value>("document.title = 'z'.repeat(2 ** 24), null").await?;
    let title = page.title().await.map(|text| text.len());
    // And things that nobody asked for.
    page.evaluate::<Value>("console.log('c'.repeat(2 ** 27)), null").await?;
    page.evaluate::<Value>("alert('a'.repeat(2 ** 24)), null").await?;
    let said = |result: std::result::Result<usize, armada::Error>| match result {
        Ok(length) => json!(length),
        Err(error) => json!(error.kind().name()),
    };
    Ok(json!({"value": said(value), "text": said(text), "content": said(content), "title": said(title)}))
}
