//! Going from document to document.

use armada::Result;
use armada::browser::LoadState;
use guests::{Case, same};

guests::cases![goto_gives_the_answer, goto_elsewhere_in_the_document_gives_none, a_click_that_navigates_returns_after_it];

async fn goto_gives_the_answer(case: Case<'_>) -> Result<()> {
    let page = case.agent.browser.new_page().await?;
    let answer = page.goto(case.url("plain.html")).await?.expect("an answer");
    same!(answer.status, 200);
    same!(answer.url, case.url("plain.html"));
    same!(page.title().await?, "Plain");
    Ok(())
}

async fn goto_elsewhere_in_the_document_gives_none(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    same!(page.goto(case.url("plain.html#below")).await?, None);
    same!(page.url(), case.url("plain.html#below"));
    Ok(())
}

async fn a_click_that_navigates_returns_after_it(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    page.click("a").await?;
    same!(page.url(), case.url("plain.html?next"));
    page.wait_for_load_state(LoadState::Load).await?;
    Ok(())
}
