//! Pages and browsers that end, and scripts that do not. Run with little time for each call.

use std::time::Duration;

use armada::Result;
use guests::{Case, fails, same};

guests::cases![
    a_page_that_crashes_is_closed,
    an_endless_script_ends_and_leaves_the_page,
    a_page_that_hangs_can_be_left,
    a_browser_that_hangs_ends_with_its_job,
    the_next_job_has_another_browser,
];

async fn a_page_that_crashes_is_closed(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    // The server kills the page's process when it gets this.
    page.evaluate::<()>("fetch('/kill'); null").await?;
    fails!(page.wait_for_function::<()>("false").timeout(Duration::from_secs(30)).await, Closed, "the page crashed");
    same!(page.is_closed(), true);
    fails!(page.title().await, Closed, "the page crashed");
    fails!(page.evaluate::<()>("1").await, Closed, "the page crashed");
    page.close().await?;
    // The browser is as good as before.
    same!(case.open("plain.html").await?.title().await?, "Plain");
    Ok(())
}

async fn an_endless_script_ends_and_leaves_the_page(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    fails!(page.evaluate::<()>("for (;;);").await, Timeout, "seconds_per_call");
    same!(page.evaluate::<i32>("1 + 1").await?, 2);
    same!(page.inner_text("h1").await?, "Plain");
    Ok(())
}

async fn a_page_that_hangs_can_be_left(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    page.evaluate::<()>("setTimeout(() => { for (;;); }, 0); null").await?;
    fails!(page.click("a").timeout(Duration::from_millis(500)).await, Timeout, "does not respond");
    page.close().await?;
    same!(case.open("plain.html").await?.title().await?, "Plain");
    Ok(())
}

async fn a_browser_that_hangs_ends_with_its_job(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    // The server stops the browser's processes when it gets this.
    page.evaluate::<()>("fetch('/stop'); null").await?;
    fails!(page.wait_for_function::<()>("false").await, Timeout, "");
    Ok(())
}

async fn the_next_job_has_another_browser(case: Case<'_>) -> Result<()> {
    same!(case.open("plain.html").await?.title().await?, "Plain");
    Ok(())
}
