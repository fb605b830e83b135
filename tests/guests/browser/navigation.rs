//! Going from document to document.

use std::time::Duration;

use armada::browser::{Header, LoadState};
use armada::{Result, join};
use guests::{Case, fails, same};

guests::cases![
    a_click_that_navigates_returns_after_it,
    a_click_that_navigates_slowly_returns_after_it,
    goto_gives_the_answer,
    goto_elsewhere_in_the_document_gives_none,
    goto_to_nowhere_gives_none,
    an_error_status_is_an_answer,
    a_redirect_gives_the_last_answer,
    the_referrer_is_sent,
    a_download_is_no_page,
    an_answer_without_content_is_no_page,
    a_page_that_embeds_itself_loads,
    a_page_that_sends_itself_on_arrives,
    a_slow_page_times_out_and_leaves_the_page_usable,
    who_waits_for_less_waits_less,
    network_idle_comes_when_the_page_has_stopped_talking,
    an_earlier_document_does_not_count,
    history_goes_back_and_forward,
    the_end_of_the_history_gives_none,
    reload_loads_again,
    pages_move_within_their_document,
    a_url_is_waited_for_by_glob_and_by_regular_expression,
    the_second_of_two_navigations_wins,
    content_is_set_and_read,
    refused_schemes_and_hosts_are_denied,
    what_is_no_url_is_invalid,
    an_unreachable_server_is_unavailable,
    a_page_cannot_leave_for_a_file,
];

async fn a_click_that_navigates_returns_after_it(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    page.click("a").await?;
    same!(page.url(), case.url("plain.html?next"));
    page.wait_for_load_state(LoadState::Load).await?;
    Ok(())
}

async fn a_click_that_navigates_slowly_returns_after_it(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    page.evaluate::<()>("document.querySelector('a').href = '/after?ms=700'; null").await?;
    page.click("a").await?;
    same!(page.url(), case.url("after?ms=700"));
    Ok(())
}

async fn goto_gives_the_answer(case: Case<'_>) -> Result<()> {
    let page = case.agent.browser.new_page().await?;
    let answer = page.goto(case.url("plain.html")).await?.expect("an answer");
    same!(answer.status, 200);
    same!(answer.status_text, "OK");
    same!(answer.url, case.url("plain.html"));
    let is_type = |header: &&Header| header.name.eq_ignore_ascii_case("content-type");
    let media_type = answer.headers.iter().find(is_type).map(|header| header.value.as_str());
    same!(media_type, Some("text/html; charset=utf-8"));
    same!(page.title().await?, "Plain");
    Ok(())
}

async fn goto_elsewhere_in_the_document_gives_none(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    same!(page.goto(case.url("plain.html#below")).await?, None);
    same!(page.url(), case.url("plain.html#below"));
    Ok(())
}

async fn goto_to_nowhere_gives_none(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    same!(page.goto("about:blank").await?, None);
    same!(page.url(), "about:blank");
    Ok(())
}

async fn an_error_status_is_an_answer(case: Case<'_>) -> Result<()> {
    let page = case.agent.browser.new_page().await?;
    let answer = page.goto(case.url("missing.html")).await?.expect("an answer");
    same!(answer.status, 404);
    Ok(())
}

async fn a_redirect_gives_the_last_answer(case: Case<'_>) -> Result<()> {
    let page = case.agent.browser.new_page().await?;
    let answer = page.goto(case.url("redirect?to=/plain.html")).await?.expect("an answer");
    same!((answer.url, answer.status), (case.url("plain.html"), 200));
    same!(page.url(), case.url("plain.html"));
    Ok(())
}

async fn the_referrer_is_sent(case: Case<'_>) -> Result<()> {
    let page = case.agent.browser.new_page().await?;
    page.goto(case.url("echo")).referer(case.url("from.html")).await?;
    let sent: String = page.evaluate("JSON.parse(document.body.innerText).headers.referer").await?;
    same!(sent, case.url("from.html"));
    Ok(())
}

async fn a_download_is_no_page(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    fails!(page.goto(case.url("attachment?name=a.bin&bytes=3")).await, Other, "is a download");
    same!(page.wait_for_download().await?.bytes().await?, b"xxx");
    same!(page.url(), case.url("plain.html"));
    same!(page.title().await?, "Plain");
    Ok(())
}

async fn an_answer_without_content_is_no_page(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    fails!(page.goto(case.url("nothing")).await, Unavailable, "was given up");
    same!(page.url(), case.url("plain.html"));
    Ok(())
}

async fn a_page_that_embeds_itself_loads(case: Case<'_>) -> Result<()> {
    let page = case.open("embeds_itself.html").await?;
    same!(page.title().await?, "Embeds itself");
    Ok(())
}

async fn a_page_that_sends_itself_on_arrives(case: Case<'_>) -> Result<()> {
    let page = case.open("sends_itself_on.html").await?;
    page.wait_for_url("**/plain.html").await?;
    same!(page.title().await?, "Plain");
    Ok(())
}

async fn a_slow_page_times_out_and_leaves_the_page_usable(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    fails!(page.goto(case.url("never")).timeout(Duration::from_millis(300)).await, Timeout, "/never to reach load");
    same!(page.url(), case.url("plain.html"));
    same!(page.title().await?, "Plain");
    page.goto(case.url("plain.html?again")).await?;
    same!(page.url(), case.url("plain.html?again"));
    Ok(())
}

async fn who_waits_for_less_waits_less(case: Case<'_>) -> Result<()> {
    let page = case.agent.browser.new_page().await?;
    page.goto(case.url("never_loads.html")).wait_until(LoadState::DomContentLoaded).await?;
    same!(page.title().await?, "Never loads");
    let short = Duration::from_millis(300);
    fails!(page.wait_for_load_state(LoadState::Load).timeout(short).await, Timeout, "to reach load");
    page.goto(case.url("never_loads.html?2")).wait_until(LoadState::Commit).await?;
    same!(page.url(), case.url("never_loads.html?2"));
    Ok(())
}

async fn network_idle_comes_when_the_page_has_stopped_talking(case: Case<'_>) -> Result<()> {
    let page = case.agent.browser.new_page().await?;
    page.goto(case.url("talks.html")).wait_until(LoadState::NetworkIdle).await?;
    same!(page.title().await?, "Has talked");
    Ok(())
}

async fn an_earlier_document_does_not_count(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    page.goto(case.url("never_loads.html")).wait_until(LoadState::Commit).await?;
    let short = Duration::from_millis(300);
    fails!(page.wait_for_load_state(LoadState::Load).timeout(short).await, Timeout, "never_loads.html to reach load");
    Ok(())
}

async fn history_goes_back_and_forward(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html?1").await?;
    page.goto(case.url("plain.html?2")).await?;
    let answer = page.go_back().await?.expect("an answer");
    same!(answer.url, case.url("plain.html?1"));
    same!(page.url(), case.url("plain.html?1"));
    page.go_forward().await?;
    same!(page.url(), case.url("plain.html?2"));
    Ok(())
}

async fn the_end_of_the_history_gives_none(case: Case<'_>) -> Result<()> {
    let page = case.agent.browser.new_page().await?;
    same!(page.go_back().await?, None);
    same!(page.go_forward().await?, None);
    page.goto(case.url("plain.html")).await?;
    same!(page.go_forward().await?, None);
    same!(page.url(), case.url("plain.html"));
    Ok(())
}

async fn reload_loads_again(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    page.evaluate::<()>("document.title = 'Changed'; null").await?;
    let answer = page.reload().await?.expect("an answer");
    same!(answer.status, 200);
    same!(page.title().await?, "Plain");
    Ok(())
}

async fn pages_move_within_their_document(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    page.evaluate::<()>(
        "document.querySelector('a').onclick = () => { history.pushState(null, '', '/pushed'); return false; }; null",
    )
    .await?;
    page.click("a").await?;
    same!(page.url(), case.url("pushed"));
    page.wait_for_url("**/pushed").await?;
    same!(page.title().await?, "Plain");
    same!(page.go_back().wait_until(LoadState::Commit).await?.is_some(), true);
    same!(page.url(), case.url("plain.html"));
    page.evaluate::<()>(
        "document.querySelector('a').onclick = null; document.querySelector('a').href = '#below'; null",
    )
    .await?;
    page.click("a").await?;
    same!(page.url(), case.url("plain.html#below"));
    Ok(())
}

async fn a_url_is_waited_for_by_glob_and_by_regular_expression(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    page.evaluate::<()>("setTimeout(() => { location = '/plain.html?later=1' }, 200); null").await?;
    page.wait_for_url("**/plain.html?later=*").await?;
    page.wait_for_url(r"re=later=\d$").await?;
    let nowhere = page.wait_for_url("**/nowhere").timeout(Duration::from_millis(100)).await;
    fails!(nowhere, Timeout, "plain.html?later=1");
    fails!(page.wait_for_url("re=(").await, Invalid, "unclosed group");
    Ok(())
}

async fn the_second_of_two_navigations_wins(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    let second = async {
        armada::sleep(Duration::from_millis(200)).await?;
        page.goto(case.url("plain.html?second")).await
    };
    let (first, second) = join!(page.goto(case.url("never")), second);
    fails!(first, Unavailable, "was given up");
    same!(second?.map(|answer| answer.status), Some(200));
    same!(page.url(), case.url("plain.html?second"));
    Ok(())
}

async fn content_is_set_and_read(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    page.set_content("<!doctype html><title>Set</title><p>new").await?;
    same!(page.title().await?, "Set");
    let content = page.content().await?;
    same!(content, "<!DOCTYPE html>\n<html><head><title>Set</title></head><body><p>new</p></body></html>");
    let slow = format!("<img src={}>", case.url("never"));
    fails!(page.set_content(slow).timeout(Duration::from_millis(300)).await, Timeout, "load");
    Ok(())
}

async fn refused_schemes_and_hosts_are_denied(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    let view_source = format!("view-source:{}", case.url("plain.html"));
    let filesystem = format!("filesystem:{}", case.url("temporary/x"));
    for url in [
        "file:///etc/hostname",
        "FILE:///etc/hostname",
        "chrome://version",
        "chrome://crash",
        "chrome-extension://abc/x.html",
        "devtools://devtools/bundled/inspector.html",
        "data:text/html,<h1>x</h1>",
        "javascript:alert(1)",
        "blob:null/7",
        "ftp://127.0.0.1/",
        "about:version",
        view_source.as_str(),
        filesystem.as_str(),
    ] {
        fails!(page.goto(url).await, Denied, "");
    }
    fails!(page.goto("http://example.com/").await, Denied, "allowed_hosts");
    same!(page.url(), case.url("plain.html"));
    Ok(())
}

async fn what_is_no_url_is_invalid(case: Case<'_>) -> Result<()> {
    let page = case.agent.browser.new_page().await?;
    fails!(page.goto("plain.html").await, Invalid, "write it in full");
    Ok(())
}

async fn an_unreachable_server_is_unavailable(case: Case<'_>) -> Result<()> {
    let page = case.agent.browser.new_page().await?;
    fails!(page.goto("http://127.0.0.1:1024/").await, Unavailable, "Connection refused");
    page.goto(case.url("plain.html")).await?;
    Ok(())
}

async fn a_page_cannot_leave_for_a_file(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    for url in ["file:///etc/hostname", "chrome://version", "devtools://devtools/bundled/inspector.html"] {
        page.evaluate::<()>("url => { document.querySelector('a').href = url }").arg(url).await?;
        page.click("a").await?;
        same!(page.url(), case.url("plain.html"));
        page.evaluate::<()>("url => { location = url }").arg(url).await?;
        same!(page.evaluate::<String>("location.href").await?, case.url("plain.html"));
    }
    Ok(())
}
