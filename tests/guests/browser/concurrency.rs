//! Several host calls at once, and host calls that nobody waits for any more.

use std::pin::pin;
use std::time::Duration;

use armada::__bindings::armada::tasks::tasks;
use armada::monitoring::{Artifact, EventLevel, LogLevel};
use armada::{Result, join, try_join};
use guests::{Case, fails, same};

guests::cases![
    pages_load_together,
    one_page_does_several_things_at_once,
    acts_on_one_page_take_turns,
    a_dropped_call_is_cancelled,
    a_call_is_cancelled_by_its_number,
    everything_that_can_be_reported_is,
];

async fn pages_load_together(case: Case<'_>) -> Result<()> {
    let (one, two) = try_join!(case.open("plain.html?1"), case.open("plain.html?2"))?;
    // Each waits for what the other does: one after the other they would never end.
    let both = async |page: &armada::browser::Page, own: &str, other: &str| -> Result<bool> {
        page.evaluate::<()>("own => { localStorage[own] = 1 }").arg(own).await?;
        Ok(page.wait_for_function::<bool>("other => !!localStorage[other]").arg(other).await?)
    };
    same!(try_join!(both(&one, "one", "two"), both(&two, "two", "one"))?, (true, true));
    Ok(())
}

async fn one_page_does_several_things_at_once(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    let (late, title, text, picture) = try_join!(
        page.wait_for_function::<bool>("document.title === 'Changed'"),
        async { page.evaluate::<String>("document.title = 'Changed'").await },
        page.inner_text("h1"),
        page.screenshot()
    )?;
    same!((late, title.as_str(), text.as_str()), (true, "Changed", "Plain"));
    armada::ensure!(!picture.is_empty());
    Ok(())
}

async fn acts_on_one_page_take_turns(case: Case<'_>) -> Result<()> {
    let page = case.show("<input id=a><input id=b><input id=c>").await?;
    try_join!(
        page.press_sequentially("#a", "first text"),
        page.press_sequentially("#b", "second text"),
        page.fill("#c", "third text")
    )?;
    let values: Vec<String> = page.locator("input").evaluate_all("all => all.map(input => input.value)").await?;
    same!(values, ["first text", "second text", "third text"]);
    Ok(())
}

async fn a_dropped_call_is_cancelled(case: Case<'_>) -> Result<()> {
    let page = case.show("<p>p</p>").await?;
    {
        let mut click = pin!(page.click("button"));
        let mut popup = pin!(page.wait_for_popup());
        let begun = armada::sleep(Duration::from_millis(100));
        let mut begun = pin!(begun);
        // Polls all three until the first is over.
        std::future::poll_fn(|context| {
            let _ = click.as_mut().poll(context);
            let _ = popup.as_mut().poll(context);
            begun.as_mut().poll(context)
        })
        .await?;
    }
    // Had the click gone on, it would find its button now, and take the popup away from who waits next.
    page.evaluate::<()>("document.body.innerHTML = '<button onclick=\"window.open(`about:blank`)\">b</button>'; null")
        .await?;
    fails!(page.wait_for_popup().timeout(Duration::from_millis(700)).await, Timeout, "to open another");
    page.click("button").await?;
    page.wait_for_popup().await?;
    Ok(())
}

async fn a_call_is_cancelled_by_its_number(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    let number = tasks::next_call();
    let cancel = async {
        armada::sleep(Duration::from_millis(100)).await?;
        tasks::cancel(number);
        // Over already, and never made: both are nothing.
        tasks::cancel(number);
        tasks::cancel(u64::MAX);
        Ok::<_, armada::Failure>(())
    };
    let (clicked, cancelled) = join!(page.click("#none"), cancel);
    cancelled?;
    fails!(clicked, Closed, "was cancelled");
    Ok(())
}

async fn everything_that_can_be_reported_is(case: Case<'_>) -> Result<()> {
    let client = &case.job.monitoring_client;
    client.record_success_event("done")?;
    let attachment = Artifact { name: "a.txt".into(), media_type: "text/plain".into(), bytes: b"a".to_vec() };
    client.record_event_with(EventLevel::Info, "with a file", &attachment)?;
    client.log(LogLevel::Info, "a line");
    client.progress(1, Some(2), "half");
    client.save_artifact("b.txt", "text/plain", "b").await?;
    let job = client.current_job().expect("a job");
    same!(job.attempt, 1);
    Ok(())
}
