//! Pages that pages open.

use std::time::Duration;

use armada::Result;
use guests::{Case, fails, same};

guests::cases![
    a_popup_is_handed_out_after_the_act,
    popups_come_in_order,
    a_popup_knows_its_opener_and_session,
    a_popup_that_closes_itself_is_closed,
    no_popup_is_a_timeout,
    a_click_that_closes_its_page_returns,
];

async fn a_popup_is_handed_out_after_the_act(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    page.evaluate::<()>("document.querySelector('a').target = '_blank'; null").await?;
    page.click("a").await?;
    let popup = page.wait_for_popup().await?;
    popup.wait_for_url("**/plain.html?next").await?;
    same!(popup.title().await?, "Plain");
    same!(page.url(), case.url("plain.html"));
    popup.close().await?;
    same!((popup.is_closed(), page.is_closed()), (true, false));
    Ok(())
}

async fn popups_come_in_order(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    for number in 1..=2 {
        page.evaluate::<()>("n => { open('/plain.html?' + n) }").arg(number).await?;
    }
    for number in 1..=2 {
        let popup = page.wait_for_popup().await?;
        popup.wait_for_url(format!("**/plain.html?{number}")).await?;
    }
    Ok(())
}

async fn a_popup_knows_its_opener_and_session(case: Case<'_>) -> Result<()> {
    let page = case.open("cookie?set=a%3D1").await?;
    page.evaluate::<()>("document.cookie = 'b=2'; open('/plain.html'); null").await?;
    let popup = page.wait_for_popup().await?;
    popup.wait_for_url("**/plain.html").await?;
    armada::ensure!(popup.evaluate::<String>("document.cookie").await?.contains("b=2"));
    same!(popup.evaluate::<String>("opener.document.title").await?, "Cookie");
    same!(popup.evaluate::<(u32, u32)>("[innerWidth, innerHeight]").await?, (1280, 720));
    Ok(())
}

async fn a_popup_that_closes_itself_is_closed(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    page.evaluate::<()>("open('/plain.html'); null").await?;
    let popup = page.wait_for_popup().await?;
    popup.wait_for_url("**/plain.html").await?;
    popup.evaluate::<()>("setTimeout(close, 100); null").await?;
    fails!(popup.wait_for_function::<()>("false").await, Closed, "closed");
    same!(popup.is_closed(), true);
    Ok(())
}

async fn no_popup_is_a_timeout(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    let short = Duration::from_millis(100);
    fails!(page.wait_for_popup().timeout(short).await, Timeout, "the page to open another");
    Ok(())
}

async fn a_click_that_closes_its_page_returns(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    page.evaluate::<()>("open('/plain.html'); null").await?;
    let popup = page.wait_for_popup().await?;
    popup.wait_for_url("**/plain.html").await?;
    popup.evaluate::<()>("document.querySelector('h1').onclick = () => close(); null").await?;
    popup.click("h1").await?;
    fails!(popup.wait_for_function::<()>("false").await, Closed, "closed");
    Ok(())
}
