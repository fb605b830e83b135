//! Handles: what they hold on to, and what becomes of it when they are dropped.

use std::time::Duration;

use armada::Result;
use guests::{Case, fails, same};

guests::cases![
    a_dropped_page_is_closed,
    a_page_lives_as_long_as_something_holds_it,
    a_dropped_context_is_closed,
    everything_on_a_closed_page_is_closed,
    a_closed_page_ends_what_waits_for_it,
];

async fn a_dropped_page_is_closed(case: Case<'_>) -> Result<()> {
    let opener = case.open("plain.html").await?;
    opener.evaluate::<()>("window.opened = open('/plain.html'); null").await?;
    let popup = opener.wait_for_popup().await?;
    same!(opener.evaluate::<bool>("opened.closed").await?, false);
    drop(popup);
    opener.wait_for_function::<bool>("opened.closed").await?;
    Ok(())
}

async fn a_page_lives_as_long_as_something_holds_it(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    let heading = page.locator("h1");
    drop(page);
    armada::sleep(Duration::from_millis(200)).await?;
    same!(heading.inner_text().await?, "Plain");
    Ok(())
}

async fn a_dropped_context_is_closed(case: Case<'_>) -> Result<()> {
    let context = case.agent.browser.new_context().await?;
    let page = context.new_page().await?;
    drop(context);
    fails!(page.wait_for_function::<()>("false").await, Closed, "closed");
    same!(page.is_closed(), true);
    Ok(())
}

async fn everything_on_a_closed_page_is_closed(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    let handle = page.locator("h1").element_handles().await?.remove(0);
    page.close().await?;
    page.close().await.or_else(|error| match error.kind() {
        armada::ErrorKind::Closed => Ok(()),
        _ => Err(error),
    })?;
    fails!(page.goto(case.url("plain.html")).await, Closed, "the page is closed");
    fails!(page.click("a").await, Closed, "the page is closed");
    fails!(page.inner_text("a").await, Closed, "the page is closed");
    fails!(page.evaluate::<()>("1").await, Closed, "the page is closed");
    fails!(page.screenshot().await, Closed, "the page is closed");
    fails!(page.wait_for_popup().await, Closed, "the page is closed");
    fails!(page.content().await, Closed, "the page is closed");
    fails!(page.count("a").await, Closed, "the page is closed");
    fails!(handle.locator().inner_text().await, Closed, "the page is closed");
    same!((page.is_closed(), page.url(), page.frames().len()), (true, String::new(), 0));
    Ok(())
}

async fn a_closed_page_ends_what_waits_for_it(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    let close = async {
        armada::sleep(Duration::from_millis(200)).await?;
        page.close().await
    };
    let (click, popup, script, going, closed) = armada::join!(
        page.click("#none"),
        page.wait_for_popup(),
        page.evaluate::<()>("new Promise(() => {})"),
        page.goto(case.url("never")),
        close
    );
    closed?;
    fails!(click, Closed, "closed");
    fails!(popup, Closed, "closed");
    fails!(script, Closed, "closed");
    fails!(going, Closed, "closed");
    Ok(())
}
