//! Frames, of the same site and of others.

use std::time::Duration;

use armada::Result;
use armada::browser::{Page, SelectorState};
use guests::{Case, fails, same};

guests::cases![
    frames_are_listed_with_their_depth,
    elements_in_frames_are_acted_on,
    elements_in_frames_of_other_sites_are_acted_on,
    frames_in_frames_are_entered,
    a_frame_that_navigates_is_entered_anew,
    a_click_in_a_frame_waits_for_its_navigation,
    a_frame_that_goes_is_gone,
    handles_reach_into_frames,
    scripts_run_in_the_frame_of_their_element,
    two_frames_are_an_error_and_no_frame_is_a_timeout,
    frames_off_screen_are_scrolled_to,
];

/// A page with a frame of the same site, or of another one.
async fn open(case: &Case<'_>, site: &str) -> Result<Page> {
    let page = case.open("frames.html").await?;
    page.evaluate::<()>("url => { document.querySelector('#outer').src = url }")
        .arg(format!("{site}/framed.html"))
        .await?;
    page.wait_for_selector("frame=#outer >> h1", SelectorState::Visible).await?;
    Ok(page)
}

async fn frames_are_listed_with_their_depth(case: Case<'_>) -> Result<()> {
    let page = open(&case, &case.site).await?;
    page.wait_for_selector("frame=#outer >> frame=iframe >> p", SelectorState::Attached).await?;
    let frames: Vec<_> = page.frames().into_iter().map(|frame| (frame.depth, frame.name, frame.url)).collect();
    let expected = [
        (0, String::new(), case.url("frames.html")),
        (1, "outer".to_owned(), case.url("framed.html")),
        (2, "inner".to_owned(), "about:srcdoc".to_owned()),
    ];
    same!(frames, expected);
    Ok(())
}

/// Acts on what is in the frame, in ways that need a place.
async fn act_inside(page: &Page) -> Result<()> {
    page.click("frame=#outer >> #press").await?;
    same!(page.inner_text("frame=#outer >> #press").await?, "Pressed");
    page.fill("frame=#outer >> input", "filled").await?;
    same!(page.input_value("frame=#outer >> input").await?, "filled");
    page.press_sequentially("frame=#outer >> input", "!").await?;
    same!(page.locator("frame=#outer >> input").evaluate::<String>("input => input.value").await?, "filled!");
    page.hover("frame=#outer >> #press").await?;
    let picture = page.locator("frame=#outer >> #press").screenshot().await?;
    armada::ensure!(picture.len() > 100);
    same!(page.count("frame=#outer >> h1").await?, 1);
    same!(page.all_inner_texts("frame=#outer >> h1").await?, ["Framed"]);
    Ok(())
}

async fn elements_in_frames_are_acted_on(case: Case<'_>) -> Result<()> {
    act_inside(&open(&case, &case.site).await?).await
}

async fn elements_in_frames_of_other_sites_are_acted_on(case: Case<'_>) -> Result<()> {
    let page = open(&case, &case.other_site()).await?;
    let blocked =
        "(() => { try { return document.querySelector('#outer').contentDocument === null } catch { return true } })()";
    same!(page.evaluate::<bool>(blocked).await?, true);
    act_inside(&page).await
}

async fn frames_in_frames_are_entered(case: Case<'_>) -> Result<()> {
    let page = open(&case, &case.other_site()).await?;
    let inner = page.frame_locator("#outer").frame_locator("iframe");
    inner.locator("p").click().await?;
    same!(inner.locator("p").inner_text().await?, "clicked inside");
    Ok(())
}

async fn a_frame_that_navigates_is_entered_anew(case: Case<'_>) -> Result<()> {
    let page = open(&case, &case.site).await?;
    page.evaluate::<()>("setTimeout(() => { document.querySelector('#outer').src = '/selectors.html' }, 200); null")
        .await?;
    same!(page.inner_text("frame=#outer >> #send").await?, "Send");
    same!(page.frames()[1].url, case.url("selectors.html"));
    Ok(())
}

async fn a_click_in_a_frame_waits_for_its_navigation(case: Case<'_>) -> Result<()> {
    let page = open(&case, &case.other_site()).await?;
    page.click("frame=#outer >> #slow").await?;
    same!(page.frames()[1].url, format!("{}/after?ms=400", case.other_site()));
    same!(page.url(), case.url("frames.html"));
    Ok(())
}

async fn a_frame_that_goes_is_gone(case: Case<'_>) -> Result<()> {
    let page = open(&case, &case.site).await?;
    let removal = "setTimeout(() => document.querySelector('#outer').remove(), 200); null";
    page.evaluate::<()>(removal).await?;
    page.wait_for_selector("frame=#outer >> h1", SelectorState::Hidden).await?;
    same!(page.frames().len(), 1);
    same!(page.is_visible("frame=#outer >> h1").await?, false);
    // The same in the middle of a wait for something inside.
    let page = open(&case, &case.site).await?;
    page.evaluate::<()>(removal).await?;
    let waited = page.click("frame=#outer >> #none").timeout(Duration::from_millis(600)).await;
    fails!(waited, Timeout, "the frame on the way is not there");
    Ok(())
}

async fn handles_reach_into_frames(case: Case<'_>) -> Result<()> {
    let page = open(&case, &case.other_site()).await?;
    let handles = page.locator("frame=#outer >> #press").element_handles().await?;
    same!(handles.len(), 1);
    handles[0].locator().click().await?;
    same!(handles[0].locator().inner_text().await?, "Pressed");
    page.evaluate::<()>("document.querySelector('#outer').remove(); null").await?;
    fails!(handles[0].locator().inner_text().await, Closed, "gone");
    Ok(())
}

async fn scripts_run_in_the_frame_of_their_element(case: Case<'_>) -> Result<()> {
    let page = open(&case, &case.other_site()).await?;
    let url = format!("{}/framed.html", case.other_site());
    let heading = page.locator("frame=#outer >> h1");
    same!(heading.evaluate::<String>("() => location.href").await?, url);
    same!(heading.evaluate::<i32>("() => own").await?, 7);
    same!(heading.evaluate_all::<String>("() => location.href").await?, url);
    Ok(())
}

async fn two_frames_are_an_error_and_no_frame_is_a_timeout(case: Case<'_>) -> Result<()> {
    let page = case.show("<iframe></iframe><iframe></iframe><p>p</p>").await?;
    fails!(page.click("frame=iframe >> p").await, Invalid, "matches 2 elements");
    fails!(page.click("frame=p >> p").await, Invalid, "no iframe");
    Ok(())
}

async fn frames_off_screen_are_scrolled_to(case: Case<'_>) -> Result<()> {
    let page = open(&case, &case.other_site()).await?;
    page.evaluate::<()>("document.querySelector('#outer').style.marginTop = '3000px'; null").await?;
    act_inside(&page).await
}
