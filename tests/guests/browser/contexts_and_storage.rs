//! Browser contexts: cookies, storage, and what they keep apart.

use armada::browser::{Cookie, Header, SameSite};
use armada::{Result, Value, json};
use guests::{Case, fails, same};

guests::cases![
    a_job_leaves_a_cookie,
    another_job_does_not_see_it,
    yet_another_job_does_not_see_it,
    cookies_are_set_read_and_cleared,
    cookies_are_chosen_by_url,
    contexts_share_nothing,
    storage_goes_from_context_to_context,
    a_context_begins_with_a_storage_state,
    storage_that_is_none_is_invalid,
    headers_of_a_context_and_of_a_page_are_sent,
    a_closed_context_is_closed,
    the_current_context_is_one,
];

async fn a_job_leaves_a_cookie(case: Case<'_>) -> Result<()> {
    leave_and_find(case).await
}

async fn another_job_does_not_see_it(case: Case<'_>) -> Result<()> {
    leave_and_find(case).await
}

async fn yet_another_job_does_not_see_it(case: Case<'_>) -> Result<()> {
    leave_and_find(case).await
}

/// Finds nothing of an earlier job, and leaves something to be found.
async fn leave_and_find(case: Case<'_>) -> Result<()> {
    let page = case.open("cookie?set=left%3D1%3B+Max-Age%3D1000").await?;
    same!(page.evaluate::<Value>("localStorage.left ?? null").await?, Value::Null);
    page.goto(case.url("plain.html")).await?;
    let found: String = page.evaluate("document.cookie").await?;
    same!(found, "left=1");
    page.evaluate::<()>("localStorage.left = 1; document.cookie = 'also=left; Max-Age=1000'; null").await?;
    Ok(())
}

fn cookie(name: &str, value: &str) -> Cookie {
    Cookie {
        name: name.into(),
        value: value.into(),
        domain: "127.0.0.1".into(),
        path: "/".into(),
        expires: None,
        http_only: false,
        secure: false,
        same_site: None,
    }
}

async fn cookies_are_set_read_and_cleared(case: Case<'_>) -> Result<()> {
    let context = case.context().await?;
    let full = Cookie {
        path: "/echo".into(),
        expires: Some(4_000_000_000.0),
        http_only: true,
        same_site: Some(SameSite::Strict),
        ..cookie("full", "2")
    };
    context.set_cookies(vec![cookie("plain", "1"), full]).await?;
    let page = case.open("echo").await?;
    let sent: String = page.evaluate("JSON.parse(document.body.innerText).headers.cookie").await?;
    let mut sent: Vec<_> = sent.split("; ").collect();
    sent.sort();
    same!(sent, ["full=2", "plain=1"]);
    same!(page.evaluate::<String>("document.cookie").await?, "plain=1");
    let mut cookies = context.cookies().await?;
    cookies.sort_by(|a, b| a.name.cmp(&b.name));
    same!(cookies.len(), 2);
    same!(
        (cookies[0].http_only, cookies[0].same_site, cookies[0].path.as_str()),
        (true, Some(SameSite::Strict), "/echo")
    );
    armada::ensure!(cookies[0].expires.is_some() && cookies[1].expires.is_none());
    context.clear_cookies().await?;
    same!(context.cookies().await?, Vec::new());
    fails!(context.set_cookies(vec![cookie("a;b", "1")]).await, Invalid, "");
    Ok(())
}

async fn cookies_are_chosen_by_url(case: Case<'_>) -> Result<()> {
    let context = case.context().await?;
    let elsewhere = Cookie { domain: "localhost".into(), ..cookie("elsewhere", "1") };
    context.set_cookies(vec![cookie("here", "1"), elsewhere]).await?;
    let names: Vec<_> = context.cookies_for([case.url("")]).await?.into_iter().map(|cookie| cookie.name).collect();
    same!(names, ["here"]);
    fails!(context.cookies_for(["nonsense"]).await, Invalid, "is no URL");
    Ok(())
}

async fn contexts_share_nothing(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    page.evaluate::<()>("document.cookie = 'a=1'; localStorage.a = 1; null").await?;
    let other = case.agent.browser.new_context().await?;
    let page = other.new_page().await?;
    page.goto(case.url("plain.html")).await?;
    same!(page.evaluate::<Value>("[document.cookie, localStorage.a ?? null]").await?, json!(["", null]));
    same!(other.cookies().await?, Vec::new());
    Ok(())
}

async fn storage_goes_from_context_to_context(case: Case<'_>) -> Result<()> {
    let first = case.agent.browser.new_context().await?;
    let page = first.new_page().await?;
    page.goto(case.url("plain.html")).await?;
    page.evaluate::<()>("document.cookie = 'a=1'; localStorage.setItem('key', 'välue'); null").await?;
    let state = first.storage_state().await?;
    same!(state["cookies"][0]["name"], "a");
    same!(state["origins"], json!([{"origin": case.site, "localStorage": [{"name": "key", "value": "välue"}]}]));
    let second = case.agent.browser.new_context().await?;
    second.set_storage_state(&state).await?;
    let page = second.new_page().await?;
    page.goto(case.url("plain.html")).await?;
    same!(page.evaluate::<Value>("[document.cookie, localStorage.getItem('key')]").await?, json!(["a=1", "välue"]));
    Ok(())
}

async fn a_context_begins_with_a_storage_state(case: Case<'_>) -> Result<()> {
    let state =
        json!({"cookies": [], "origins": [{"origin": case.site, "localStorage": [{"name": "k", "value": "v"}]}]});
    let context = case.agent.browser.new_context().storage_state(state).await?;
    let page = context.new_page().await?;
    page.goto(case.url("plain.html")).await?;
    same!(page.evaluate::<String>("localStorage.k").await?, "v");
    Ok(())
}

async fn storage_that_is_none_is_invalid(case: Case<'_>) -> Result<()> {
    let context = case.context().await?;
    fails!(context.set_storage_state(&json!({"cookies": 7})).await, Invalid, "");
    fails!(case.agent.browser.new_context().storage_state(json!([7])).await, Invalid, "");
    let elsewhere =
        json!({"origins": [{"origin": "http://example.com", "localStorage": [{"name": "k", "value": "v"}]}]});
    fails!(context.set_storage_state(&elsewhere).await, Denied, "allowed_hosts");
    Ok(())
}

fn header(name: &str, value: &str) -> Header {
    Header { name: name.into(), value: value.into() }
}

async fn headers_of_a_context_and_of_a_page_are_sent(case: Case<'_>) -> Result<()> {
    let context =
        case.agent.browser.new_context().extra_headers(vec![header("x-one", "1"), header("x-two", "2")]).await?;
    let page = context.new_page().await?;
    let sent = async || -> Result<Value> {
        page.goto(case.url("echo")).await?;
        let script = "(({ headers }) => [headers['x-one'] ?? 0, headers['x-two'] ?? 0, headers['x-page'] ?? 0])\
                      (JSON.parse(document.body.innerText))";
        Ok(page.evaluate(script).await?)
    };
    same!(sent().await?, json!(["1", "2", 0]));
    page.set_extra_headers(vec![header("x-page", "3"), header("x-two", "own")]).await?;
    same!(sent().await?, json!(["1", "own", "3"]));
    context.set_extra_headers(vec![header("x-one", "new")]).await?;
    same!(sent().await?, json!(["new", "own", "3"]));
    Ok(())
}

async fn a_closed_context_is_closed(case: Case<'_>) -> Result<()> {
    let context = case.agent.browser.new_context().await?;
    let page = context.new_page().await?;
    context.close().await?;
    same!(page.is_closed(), true);
    fails!(page.title().await, Closed, "closed");
    fails!(context.new_page().await, Closed, "closed");
    fails!(context.cookies().await, Closed, "closed");
    context.close().await?;
    Ok(())
}

async fn the_current_context_is_one(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    page.evaluate::<()>("document.cookie = 'a=1'; null").await?;
    drop(case.context().await?);
    same!(case.context().await?.cookies().await?.len(), 1);
    same!(page.is_closed(), false);
    Ok(())
}
