//! Requests of pages: answered, changed, held or refused by the script.

use std::time::Duration;

use armada::browser::{Fulfillment, Header, Page, RequestOverrides};
use armada::{Result, Value, join, json};
use guests::{Case, fails, same};

guests::cases![
    a_route_aborts,
    a_route_answers,
    a_route_changes_what_is_sent,
    the_newest_route_decides_and_can_be_removed,
    held_requests_are_shown_and_sent_on_changed,
    held_requests_are_answered_and_aborted,
    a_dropped_request_is_sent_on,
    a_request_is_decided_once,
    routes_hold_for_documents_and_popups_not,
    overrides_cannot_leave_the_allowed_hosts,
    mistakes_are_invalid,
];

fn header(name: &str, value: &str) -> Header {
    Header { name: name.into(), value: value.into() }
}

/// What a fetch in the page gives: its text, or the error.
fn fetch(page: &Page, url: &str) -> impl Future<Output = Result<String>> {
    let fetched = page.evaluate("url => fetch(url).then(answer => answer.text(), error => `${error}`)").arg(url);
    async { Ok(fetched.await?) }
}

async fn a_route_aborts(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    page.route("**/echo*").abort().await?;
    same!(fetch(&page, "/echo?x").await?, "TypeError: Failed to fetch");
    armada::ensure!(fetch(&page, "/plain.html").await?.contains("Plain"));
    fails!(page.goto(case.url("echo")).await, Denied, "blocked");
    Ok(())
}

async fn a_route_answers(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    page.route("**/data").fulfill_json(&json!({"made": "up"})).await?;
    same!(page.evaluate::<Value>("fetch('/data').then(answer => answer.json())").await?, json!({"made": "up"}));
    let answer = Fulfillment { status: 418, headers: vec![header("x-own", "1")], body: vec![0, 255] };
    page.route("re=/tea$").fulfill(answer).await?;
    let script = "fetch('/tea').then(async answer => [answer.status, answer.headers.get('x-own'),
                  [...new Uint8Array(await answer.arrayBuffer())]])";
    same!(page.evaluate::<Value>(script).await?, json!([418, "1", [0, 255]]));
    page.route("**/page").fulfill(Fulfillment::text("text/html", "<title>Made up</title>")).await?;
    let answer = page.goto(case.url("page")).await?.expect("an answer");
    same!((answer.status, page.title().await?), (200, "Made up".to_owned()));
    Ok(())
}

async fn a_route_changes_what_is_sent(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    let overrides = RequestOverrides {
        url: Some(case.url("echo?changed=1")),
        method: Some("PUT".into()),
        headers: Some(vec![header("x-own", "1"), header("content-type", "text/plain")]),
        body: Some(b"body".to_vec()),
    };
    page.route("**/asked").modify(overrides).await?;
    let echo: Value = serde_json(&fetch(&page, "/asked").await?)?;
    same!((&echo["method"], &echo["body"], &echo["query"]), (&json!("PUT"), &json!("body"), &json!({"changed": "1"})));
    same!(echo["headers"]["x-own"], json!("1"));
    Ok(())
}

fn serde_json(text: &str) -> Result<Value> {
    Ok(armada::serde_json::from_str(text)?)
}

async fn the_newest_route_decides_and_can_be_removed(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    let first = page.route("**/data").fulfill_json(&json!(1)).await?;
    let second = page.route("**/{data,other}").fulfill_json(&json!(2)).await?;
    same!(fetch(&page, "/data").await?, "2");
    same!(fetch(&page, "/other").await?, "2");
    page.unroute(second).await?;
    same!(fetch(&page, "/data").await?, "1");
    page.unroute(first).await?;
    same!(fetch(&page, "/data").await?, "");
    fails!(page.unroute(first).await, NotFound, "no route");
    Ok(())
}

async fn held_requests_are_shown_and_sent_on_changed(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    page.route("**/echo*").hold().await?;
    let post =
        "fetch('/echo?a=1', { method: 'POST', body: 'sent', headers: { 'x-own': '1' } }).then(answer => answer.json())";
    let decide = async {
        let held = page.next_request().await?;
        let request = held.request();
        same!(request.url, case.url("echo?a=1"));
        same!((request.method.as_str(), request.resource_type.as_str()), ("POST", "xhr"));
        same!(request.body, Some(b"sent".to_vec()));
        armada::ensure!(request.headers.iter().any(|header| header.name.eq_ignore_ascii_case("x-own")));
        held.resume().body("changed").await?;
        Ok::<_, armada::Failure>(())
    };
    let (echo, decided) = join!(page.evaluate::<Value>(post), decide);
    decided?;
    same!(echo?["body"], json!("changed"));
    fails!(page.next_request().timeout(Duration::from_millis(100)).await, Timeout, "a route holds");
    Ok(())
}

async fn held_requests_are_answered_and_aborted(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    page.route("**/echo*").hold().await?;
    let decide = async {
        page.next_request().await?.fulfill(Fulfillment::text("text/plain", "answered")).await?;
        page.next_request().await?.abort().await?;
        Ok::<_, armada::Failure>(())
    };
    let fetches = async { Ok::<_, armada::Failure>((fetch(&page, "/echo").await?, fetch(&page, "/echo").await?)) };
    let (fetched, decided) = join!(fetches, decide);
    decided?;
    same!(fetched?, ("answered".to_owned(), "TypeError: Failed to fetch".to_owned()));
    Ok(())
}

async fn a_dropped_request_is_sent_on(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    page.route("**/echo*").hold().await?;
    let take = async { Ok::<_, armada::Failure>(drop(page.next_request().await?)) };
    let (fetched, taken) = join!(fetch(&page, "/echo"), take);
    taken?;
    same!(serde_json(&fetched?)?["method"], json!("GET"));
    Ok(())
}

async fn a_request_is_decided_once(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    page.route("**/echo*").hold().await?;
    page.evaluate::<()>("fetch('/echo').catch(() => {}); null").await?;
    let held = page.next_request().await?;
    held.abort().await?;
    fails!(held.resume().await, Invalid, "decided already");
    // One that the page has given up meanwhile.
    page.evaluate::<()>(
        "window.control = new AbortController(); fetch('/echo', { signal: control.signal }).catch(() => {}); null",
    )
    .await?;
    let held = page.next_request().await?;
    page.evaluate::<()>("control.abort(); null").await?;
    armada::sleep(Duration::from_millis(100)).await?;
    fails!(held.resume().await, Closed, "no longer wants");
    Ok(())
}

async fn routes_hold_for_documents_and_popups_not(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    page.route("**/plain.html?made").fulfill(Fulfillment::text("text/html", "<title>Made up</title>")).await?;
    let other = case.open("plain.html?made").await?;
    same!(other.title().await?, "Plain");
    page.goto(case.url("plain.html?made")).await?;
    same!(page.title().await?, "Made up");
    Ok(())
}

async fn overrides_cannot_leave_the_allowed_hosts(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    let elsewhere = |url: &str| RequestOverrides { url: Some(url.into()), ..RequestOverrides::default() };
    fails!(page.route("**/echo").modify(elsewhere("http://example.com/")).await, Denied, "allowed_hosts");
    fails!(page.route("**/echo").modify(elsewhere("file:///etc/hostname")).await, Denied, "");
    page.route("**/echo").hold().await?;
    page.evaluate::<()>("fetch('/echo').catch(() => {}); null").await?;
    let held = page.next_request().await?;
    fails!(held.resume().url("http://example.com/").await, Denied, "allowed_hosts");
    held.resume().await?;
    Ok(())
}

async fn mistakes_are_invalid(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    fails!(page.route("re=(").abort().await, Invalid, "unclosed group");
    let answer = Fulfillment { status: 99, headers: Vec::new(), body: Vec::new() };
    fails!(page.route("**").fulfill(answer).await, Invalid, "is no HTTP status");
    for (name, value) in [("x", "a\r\nInjected: 1"), ("x y", "a"), ("", "a")] {
        let headers = || vec![Header { name: name.into(), value: value.into() }];
        let overrides = RequestOverrides { headers: Some(headers()), ..RequestOverrides::default() };
        fails!(page.route("**").modify(overrides).await, Invalid, "is no header of HTTP");
        let answer = Fulfillment { status: 200, headers: headers(), body: Vec::new() };
        fails!(page.route("**").fulfill(answer).await, Invalid, "is no header of HTTP");
        fails!(page.set_extra_headers(headers()).await, Invalid, "is no header of HTTP");
        fails!(case.agent.browser.new_context().extra_headers(headers()).await, Invalid, "is no header of HTTP");
    }
    let overrides = RequestOverrides { method: Some("GET /".into()), ..RequestOverrides::default() };
    fails!(page.route("**").modify(overrides).await, Invalid, "is no method of HTTP");
    Ok(())
}
