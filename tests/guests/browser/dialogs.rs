//! Dialogs: answered at once, so that no page waits for a person.

use armada::Result;
use armada::browser::{Dialog, DialogPolicy};
use guests::{Case, same};

guests::cases![
    dialogs_are_dismissed_unless_something_else_was_said,
    dialogs_are_accepted,
    prompts_are_filled,
    dialogs_of_frames_are_answered_too,
    a_dialog_that_a_click_brings_up_does_not_hold_it,
    who_leaves_is_not_held_back,
    the_last_hundred_are_remembered,
    long_texts_are_cut,
];

fn dialog(kind: &str, message: &str, default_value: &str, accepted: bool) -> Dialog {
    Dialog { kind: kind.into(), message: message.into(), default_value: default_value.into(), accepted }
}

const ALL: &str = "[alert('a'), confirm('c'), prompt('p', 'default')]";

async fn dialogs_are_dismissed_unless_something_else_was_said(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    same!(page.evaluate::<armada::Value>(ALL).await?, armada::json!([null, false, null]));
    let expected =
        [dialog("alert", "a", "", false), dialog("confirm", "c", "", false), dialog("prompt", "p", "default", false)];
    same!(page.dialogs(), expected);
    Ok(())
}

async fn dialogs_are_accepted(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    page.set_dialog_policy(DialogPolicy::Accept);
    same!(page.evaluate::<armada::Value>(ALL).await?, armada::json!([null, true, "default"]));
    page.set_dialog_policy(DialogPolicy::Dismiss);
    same!(page.evaluate::<bool>("confirm('c')").await?, false);
    Ok(())
}

async fn prompts_are_filled(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    page.set_dialog_policy(DialogPolicy::AcceptWith("filled".into()));
    same!(page.evaluate::<armada::Value>(ALL).await?, armada::json!([null, true, "filled"]));
    Ok(())
}

async fn dialogs_of_frames_are_answered_too(case: Case<'_>) -> Result<()> {
    let page = case.show("<iframe srcdoc='<script>parent.answer = confirm(1)</script>'></iframe>").await?;
    page.wait_for_function::<bool>("answer === false").await?;
    same!(page.dialogs(), [dialog("confirm", "1", "", false)]);
    Ok(())
}

async fn a_dialog_that_a_click_brings_up_does_not_hold_it(case: Case<'_>) -> Result<()> {
    let page = case.show("<button onclick='this.textContent = confirm(2)'>b</button>").await?;
    page.set_dialog_policy(DialogPolicy::Accept);
    page.click("button").await?;
    same!(page.inner_text("button").await?, "true");
    Ok(())
}

async fn who_leaves_is_not_held_back(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    page.evaluate::<()>("onbeforeunload = event => event.preventDefault(); null").await?;
    // Without an act of a person, pages may not ask.
    page.click("h1").await?;
    page.goto(case.url("selectors.html")).await?;
    same!(page.dialogs(), [dialog("beforeunload", "", "", true)]);
    page.evaluate::<()>("onbeforeunload = event => event.preventDefault(); null").await?;
    page.click("h1").await?;
    page.close().await?;
    same!(page.is_closed(), true);
    Ok(())
}

async fn the_last_hundred_are_remembered(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    page.evaluate::<()>("() => { for (let at = 0; at < 103; at++) alert(at) }").await?;
    let dialogs = page.dialogs();
    same!((dialogs.len(), dialogs[0].message.as_str()), (100, "3"));
    Ok(())
}

async fn long_texts_are_cut(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    page.evaluate::<()>("() => { prompt('é'.repeat(100_000), 'x'.repeat(100_000)) }").await?;
    let dialogs = page.dialogs();
    same!((dialogs[0].message.len(), dialogs[0].default_value.len()), (4096, 4096));
    Ok(())
}
