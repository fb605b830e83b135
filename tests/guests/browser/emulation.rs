//! How pages see the device.

use armada::browser::{ColorScheme, Page, Viewport};
use armada::{Result, Value, json};
use guests::{Case, fails, same};

guests::cases![
    the_browser_says_what_it_is,
    the_viewport_is_set,
    a_context_has_a_viewport_of_its_own,
    media_are_emulated,
    language_time_zone_and_user_agent_are_what_the_context_says,
    a_page_comes_to_the_front,
];

fn viewport(width: u32, height: u32) -> Viewport {
    Viewport { width, height, scale: None, mobile: None, touch: None }
}

async fn the_browser_says_what_it_is(case: Case<'_>) -> Result<()> {
    let info = case.agent.browser.launch().await?;
    armada::ensure!(info.product.contains("Chrome/") && info.headless, "{info:?}");
    let page = case.open("plain.html").await?;
    same!(page.evaluate::<String>("navigator.userAgent").await?, info.user_agent);
    page.goto(case.url("echo")).await?;
    same!(page.evaluate::<String>("JSON.parse(document.body.innerText).headers['user-agent']").await?, info.user_agent);
    Ok(())
}

async fn size(page: &Page) -> Result<Value> {
    Ok(page.evaluate("[innerWidth, innerHeight, devicePixelRatio, 'ontouchstart' in window]").await?)
}

async fn the_viewport_is_set(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    same!(size(&page).await?, json!([1280, 720, 1, false]));
    page.set_viewport(viewport(400, 300)).await?;
    same!(size(&page).await?, json!([400, 300, 1, false]));
    page.set_viewport(Viewport { scale: Some(2.0), touch: Some(true), ..viewport(500, 600) }).await?;
    page.reload().await?;
    same!(size(&page).await?, json!([500, 600, 2, true]));
    fails!(page.set_viewport(viewport(0, 300)).await, Invalid, "1 to 10000");
    fails!(page.set_viewport(Viewport { scale: Some(f64::NAN), ..viewport(1, 1) }).await, Invalid, "scale");
    Ok(())
}

async fn a_context_has_a_viewport_of_its_own(case: Case<'_>) -> Result<()> {
    let phone = Viewport { scale: Some(3.0), mobile: Some(true), touch: Some(true), ..viewport(390, 844) };
    let context = case.agent.browser.new_context().viewport(phone).await?;
    let page = context.new_page().await?;
    page.goto(case.url("phone.html")).await?;
    same!(size(&page).await?, json!([390, 844, 3, true]));
    fails!(case.agent.browser.new_context().viewport(viewport(1, 20_000)).await, Invalid, "10000");
    Ok(())
}

async fn media_are_emulated(case: Case<'_>) -> Result<()> {
    let context = case.agent.browser.new_context().color_scheme(ColorScheme::Dark).await?;
    let page = context.new_page().await?;
    page.goto(case.url("plain.html")).await?;
    let media = async || -> Result<Value> {
        let queries = "['print', '(prefers-color-scheme: dark)', '(prefers-reduced-motion: reduce)']";
        Ok(page.evaluate(format!("{queries}.map(query => matchMedia(query).matches)")).await?)
    };
    same!(media().await?, json!([false, true, false]));
    page.emulate_media().reduced_motion(true).await?;
    same!(media().await?, json!([false, true, true]));
    page.emulate_media().media("print").color_scheme(ColorScheme::Light).await?;
    same!(media().await?, json!([true, false, true]));
    page.emulate_media().media("").reduced_motion(false).await?;
    same!(media().await?, json!([false, false, false]));
    fails!(page.emulate_media().media("paper").await, Invalid, "print");
    Ok(())
}

async fn language_time_zone_and_user_agent_are_what_the_context_says(case: Case<'_>) -> Result<()> {
    let context = case.agent.browser.new_context();
    let context = context.locale("de-DE").timezone("Asia/Tokyo").user_agent("Own/1").await?;
    let page = context.new_page().await?;
    page.goto(case.url("echo")).await?;
    let seen = "[navigator.language, navigator.userAgent, new Date(0).getHours(), (1.5).toLocaleString(),
                 JSON.parse(document.body.innerText).headers['accept-language'].split(',')[0],
                 JSON.parse(document.body.innerText).headers['user-agent']]";
    same!(page.evaluate::<Value>(seen).await?, json!(["de-DE", "Own/1", 9, "1,5", "de-DE", "Own/1"]));
    page.evaluate::<()>("open('/echo'); null").await?;
    let popup = page.wait_for_popup().await?;
    popup.wait_for_url("**/echo").await?;
    same!(popup.evaluate::<Value>(seen).await?, json!(["de-DE", "Own/1", 9, "1,5", "de-DE", "Own/1"]));
    let context = case.agent.browser.new_context().timezone("Middle/Earth").await?;
    fails!(context.new_page().await, Invalid, "timezone");
    Ok(())
}

async fn a_page_comes_to_the_front(case: Case<'_>) -> Result<()> {
    let first = case.open("plain.html").await?;
    let second = case.open("plain.html").await?;
    first.bring_to_front().await?;
    for page in [first, second] {
        same!(page.evaluate::<String>("document.visibilityState").await?, "visible");
        same!(page.evaluate::<bool>("document.hasFocus()").await?, true);
    }
    Ok(())
}
