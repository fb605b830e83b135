//! Secrets: typed into pages of their origins and sent to them in headers, and seen by nobody else. The job's message has the secret's text backwards, so
//! that a case can tell that a page has it.

use armada::browser::Page;
use armada::http::{self, Response, Secret};
use armada::{ErrorKind, Result, Value, json, secrets};
use guests::{Case, fails, same};

guests::cases![
    a_secret_is_typed_and_not_seen,
    pages_notice_what_is_typed,
    other_origins_do_not_get_it,
    a_frame_counts_by_its_own_origin,
    requests_with_a_secret_are_shown_without_it,
    what_is_no_field_takes_no_secret,
    requests_carry_a_secret,
    requests_to_other_origins_are_denied,
    redirects_to_other_origins_do_not_get_it,
    headers_that_are_none_are_invalid,
    only_what_may_be_seen_is_revealed,
    what_is_not_granted_is_denied,
];

/// What stands for the secret wherever a script looks.
const HIDDEN: &str = "[secret password]";

/// Opens a page of the site, with this in it.
async fn show(case: &Case<'_>, site: &str, html: &str) -> Result<Page> {
    let page = case.agent.browser.new_page().await?;
    page.goto(format!("{site}/plain.html")).await?;
    page.set_content(html).await?;
    Ok(page)
}

/// Whether a field of the page has the secret.
async fn has_it(case: &Case<'_>, page: &Page, selector: &str) -> Result<bool> {
    let backwards: String = page.locator(selector).evaluate("input => [...input.value].reverse().join('')").await?;
    Ok(backwards == case.job.job_message["backwards"].as_str().unwrap_or_default())
}

async fn a_secret_is_typed_and_not_seen(case: Case<'_>) -> Result<()> {
    let page = show(&case, &case.site, "<input id=a type=password><textarea id=b>old</textarea><p id=c></p>").await?;
    for field in ["#a", "#b"] {
        page.fill_secret(field, "password").await?;
        armada::ensure!(has_it(&case, &page, field).await?, "{field} does not have it");
        same!(page.input_value(field).await?, HIDDEN);
    }
    let script = "() => { const { value } = document.querySelector('#a');
                  document.querySelector('#c').textContent = value; document.title = 'is ' + value;
                  document.querySelector('#c').setAttribute('data-x', value); localStorage.x = value; document.cookie = 'x=1';
                  return [value, { inside: JSON.stringify({ value }) }, encodeURIComponent(value)] }";
    let seen: Value = page.evaluate(script).await?;
    same!(seen, json!([HIDDEN, {"inside": format!("{{\"value\":\"{HIDDEN}\"}}")}, HIDDEN]));
    same!(page.inner_text("#c").await?, HIDDEN);
    same!(page.get_attribute("#c", "data-x").await?, Some(HIDDEN.to_owned()));
    same!(page.title().await?, format!("is {HIDDEN}"));
    armada::ensure!(page.content().await?.contains(HIDDEN));
    armada::ensure!(case.context().await?.storage_state().await?.to_string().contains(HIDDEN));
    // What the script reports of it is what it has seen.
    case.job.monitoring_client.record_success_event(page.input_value("#a").await?)?;
    println!("{}", page.content().await?);
    let thrown = page.evaluate::<()>("() => { throw new Error(document.querySelector('#a').value) }").await;
    fails!(thrown, Other, HIDDEN);
    Ok(())
}

async fn pages_notice_what_is_typed(case: Case<'_>) -> Result<()> {
    let page =
        show(&case, &case.site, "<input id=a oninput='seen.push(1)' onchange='seen.push(2)' onfocus='seen.push(0)'>")
            .await?;
    page.evaluate::<()>("window.seen = []; undefined").await?;
    page.fill_secret("#a", "password").await?;
    same!(page.evaluate::<Vec<i32>>("seen").await?, [0, 1, 2]);
    Ok(())
}

async fn other_origins_do_not_get_it(case: Case<'_>) -> Result<()> {
    let says = format!("the secret `password` may go only to {}, and this is ", case.site);
    let page = show(&case, &case.other_site(), "<input id=a>").await?;
    fails!(page.fill_secret("#a", "password").await, Denied, &format!("{says}{}", case.other_site()));
    same!(page.input_value("#a").await?, "");
    let blank = case.show("<input id=a>").await?;
    fails!(blank.fill_secret("#a", "password").await, Denied, &says);
    same!(blank.input_value("#a").await?, "");
    // What a page says of itself does not count.
    let page = show(&case, &case.other_site(), "<input id=a>").await?;
    page.evaluate::<()>("origin => { self.origin = origin; Array.prototype.includes = () => true }")
        .arg(&case.site)
        .await?;
    fails!(page.fill_secret("#a", "password").await, Denied, &says);
    Ok(())
}

async fn a_frame_counts_by_its_own_origin(case: Case<'_>) -> Result<()> {
    let frame = |site: &str, more: &str| format!("<iframe id=f src='{site}/framed.html' {more}></iframe>");
    let page = show(&case, &case.site, &frame(&case.other_site(), "")).await?;
    fails!(page.fill_secret("frame=#f >> input", "password").await, Denied, "may go only to");
    same!(page.input_value("frame=#f >> input").await?, "");
    let page = show(&case, &case.other_site(), &frame(&case.site, "")).await?;
    page.fill_secret("frame=#f >> input", "password").await?;
    same!(page.input_value("frame=#f >> input").await?, HIDDEN);
    // In a sandbox, a page of the site is of no origin.
    let page = show(&case, &case.site, &frame(&case.site, "sandbox=allow-scripts")).await?;
    fails!(page.fill_secret("frame=#f >> input", "password").await, Denied, "this is null");
    Ok(())
}

async fn requests_with_a_secret_are_shown_without_it(case: Case<'_>) -> Result<()> {
    let page = show(&case, &case.site, "<input id=a>").await?;
    page.fill_secret("#a", "password").await?;
    page.route("**/echo*").hold().await?;
    let script = "() => { const { value } = document.querySelector('#a');
                  window.answer = fetch('/echo?q=' + encodeURIComponent(value),
                    { method: 'POST', headers: { 'x-own': encodeURIComponent(value) }, body: new URLSearchParams({ value }) })
                    .then(answer => answer.json())
                    .then(({ query, headers, body }) => [query.q, headers['x-own'], body]
                      .map(text => [...decodeURIComponent(text.replace('value=', '').replaceAll('+', ' '))].reverse().join('')));
                  return 1 }";
    same!(page.evaluate::<i32>(script).await?, 1);
    let held = page.next_request().await?;
    let request = held.request();
    armada::ensure!(request.url.ends_with("/echo?q=[secret password]"), "{}", request.url);
    same!(String::from_utf8_lossy(request.body.as_deref().unwrap_or_default()), "value=[secret password]");
    armada::ensure!(
        request.headers.iter().any(|header| header.name == "x-own" && header.value == HIDDEN),
        "{request:?}"
    );
    held.resume().await?;
    // The server has it as it is.
    let arrived: Vec<String> = page.evaluate("answer").await?;
    same!(arrived, vec![case.job.job_message["backwards"].as_str().unwrap_or_default().to_owned(); 3]);
    Ok(())
}

async fn what_is_no_field_takes_no_secret(case: Case<'_>) -> Result<()> {
    let page =
        show(&case, &case.site, "<p id=a contenteditable>x</p><input id=b type=checkbox><input id=c disabled>").await?;
    for selector in ["#a", "#b"] {
        match page.fill_secret(selector, "password").await {
            Ok(()) => armada::bail!("{selector} took it"),
            Err(error) => armada::ensure!(error.message().contains("takes no secret"), "{error:?}"),
        }
    }
    fails!(
        page.fill_secret("#c", "password").timeout(std::time::Duration::from_millis(200)).await,
        Timeout,
        "not enabled"
    );
    Ok(())
}

async fn only_what_may_be_seen_is_revealed(case: Case<'_>) -> Result<()> {
    fails!(secrets::reveal("password"), Denied, "add \"password\" to run_message.sandbox.revealed_secrets");
    same!(secrets::reveal("shown")?, "for all to see");
    fails!(secrets::reveal("missing"), NotFound, "the operator's inventory has no secret `missing`");
    let page = show(&case, &case.site, "<input id=a>").await?;
    fails!(page.fill_secret("#a", "shown").await, Denied, "add \"shown\" to run_message.sandbox.secrets");
    Ok(())
}

/// What a server was sent in a header, backwards. The server tells.
async fn received(response: Response, header: &str) -> Result<Option<String>> {
    let seen: Value = response.json().await?;
    Ok(seen["headers"][header].as_str().map(|sent| sent.chars().rev().collect()))
}

async fn requests_carry_a_secret(case: Case<'_>) -> Result<()> {
    let backwards = case.job.job_message["backwards"].as_str().unwrap_or_default();
    let echo = case.url("echo");
    let response = http::get(&echo).secret_header("X-Key", "password").send().await?;
    armada::ensure!(received(response, "x-key").await?.as_deref() == Some(backwards), "it was not sent");
    // It takes the place of what the script would send.
    let token = || Secret::new("password").prefix("Bearer ");
    let request = http::post(&echo).bearer_auth("mine").header("x-own", "1").body("x");
    let response = request.secret_header("authorization", token()).send().await?;
    armada::ensure!(
        received(response, "authorization").await? == Some(format!("{backwards} reraeB")),
        "it was not sent"
    );
    // Within its origin it is sent on.
    let redirect = case.url("redirects?status=307&times=2&to=/echo");
    let response = http::get(redirect).secret_header("x-key", "password").send().await?;
    armada::ensure!(received(response, "x-key").await?.as_deref() == Some(backwards), "it was not sent on");
    Ok(())
}

async fn requests_to_other_origins_are_denied(case: Case<'_>) -> Result<()> {
    let echo = format!("{}/echo", case.other_site());
    let says = format!(
        "the secret `password` may go only to {}, and this is {}: the operator binds secrets to origins",
        case.site,
        case.other_site()
    );
    fails!(http::get(&echo).secret_header("x-key", "password").send().await, Denied, &says);
    let unknown = http::get(case.url("echo")).secret_header("x-key", "unknown").send().await;
    fails!(unknown, Denied, "add \"unknown\" to run_message.sandbox.secrets");
    Ok(())
}

async fn redirects_to_other_origins_do_not_get_it(case: Case<'_>) -> Result<()> {
    let there = format!("{}/echo", case.other_site());
    let and_back = format!("{}/redirect?to={}", case.other_site(), case.url("echo"));
    for to in [there, and_back] {
        let redirect = case.url(&format!("redirects?status=302&times=1&to={to}"));
        let response = http::get(redirect).secret_header("x-key", "password").header("x-own", "1").send().await?;
        let seen: Value = response.json().await?;
        same!((&seen["headers"]["x-own"], &seen["headers"]["x-key"]), (&json!("1"), &Value::Null));
    }
    Ok(())
}

async fn headers_that_are_none_are_invalid(case: Case<'_>) -> Result<()> {
    for name in ["Host", "Transfer-Encoding", "a b", "Content-Length"] {
        let sent = http::get(case.url("echo")).secret_header(name, "password").send().await;
        armada::ensure!(sent.is_err_and(|error| error.kind() == ErrorKind::Invalid), "{name}");
    }
    let prefix = Secret::new("password").prefix("a\r\nx: ");
    fails!(http::get(case.url("echo")).secret_header("x", prefix).send().await, Invalid, "a line end");
    Ok(())
}

async fn what_is_not_granted_is_denied(case: Case<'_>) -> Result<()> {
    let expected = case.job.job_message["expected"].as_str().unwrap_or_default();
    let page = show(&case, &case.site, "<input id=a>").await?;
    fails!(page.fill_secret("#a", "password").await, Denied, expected);
    same!(page.input_value("#a").await?, "");
    fails!(http::get(case.url("echo")).secret_header("x-key", "password").send().await, Denied, expected);
    Ok(())
}
