//! The screen that the browser is on. The first case needs a visible browser and the second one that is not.

use std::time::Duration;

use armada::Result;
use guests::{Case, fails, same};

guests::cases![pages_are_on_the_screen, there_is_no_screen];

async fn pages_are_on_the_screen(case: Case<'_>) -> Result<()> {
    let size = case.agent.screen.size()?;
    same!((size.width, size.height), (800, 600));
    same!(case.agent.browser.launch().await?.headless, false);
    let page = case.show("<body style='background: rgb(200, 30, 90)'>").await?;
    page.bring_to_front().await?;
    // What a page has drawn is on the screen a little later.
    for number in 0..10 {
        let picture = case.agent.screen.screenshot().await?;
        case.job.monitoring_client.save_artifact(format!("{number}.png"), "image/png", picture).await?;
        armada::sleep(Duration::from_millis(300)).await?;
    }
    Ok(())
}

async fn there_is_no_screen(case: Case<'_>) -> Result<()> {
    same!(case.agent.browser.launch().await?.headless, true);
    fails!(case.agent.screen.size(), Unavailable, "\"screen_visible\": 1 in config_fantomas.config_screen");
    fails!(case.agent.screen.screenshot().await, Unavailable, "there is no screen");
    Ok(())
}
