//! What rules and modifiers do to a browser's traffic, and what a script sees of it. What the modifier does with a request is
//! said by the request's own `do`.

use std::collections::BTreeMap;
use std::time::Duration;

use armada::browser::{Fulfillment, Page, RequestOverrides};
use armada::modifiers::{Modifier, Request, RequestVerdict, Response, ResponseVerdict};
use armada::proxy::{Exchange, Watch};
use armada::{Result, Value, json};
use guests::{Case, fails, same};

guests::cases![
    rules_block_redirect_answer_and_change_headers,
    a_modifier_changes_requests,
    a_modifier_changes_responses,
    a_modifier_answers_and_blocks,
    a_modifier_that_fails_fails_the_request,
    what_was_sent_is_not_sent_again,
    a_modifier_sends_requests_elsewhere,
    a_modifier_has_only_monitoring,
    what_is_too_long_is_not_given_to_a_modifier,
    a_watch_sees_what_goes_through,
    a_watch_sees_what_fails,
    a_watch_that_is_dropped_sees_nothing,
    secrets_are_not_seen,
    everything_at_once;
    modifiers: { "changes": Changes, "second": Second }
];

fn header(n: usize) -> armada::modifiers::Header {
    armada::modifiers::Header { name: format!("x-{n}"), value: "x".repeat(200) }
}

struct Changes;

impl Modifier for Changes {
    async fn modify_request(mut request: Request) -> Result<RequestVerdict> {
        let (url, query) = request.url.split_once('?').unwrap_or((&request.url, ""));
        let todo = query.strip_prefix("do=").and_then(|query| query.split('&').next()).unwrap_or_default();
        let site = url.trim_end_matches("/echo").to_owned();
        match todo {
            "header" => {
                request.set_header("x-modified", "1");
                request.remove_header("accept-language");
                request.set_header("host", "evil.example");
                request.set_header("content-length", "7");
            }
            "body" => {
                let text = request.text().unwrap_or_default().replace("old", "a new");
                request.set_text(text);
            }
            "method" => "PUT".clone_into(&mut request.method),
            "path" => request.url = format!("{site}/echo?do=nothing&moved"),
            "other-origin" => request.url = format!("{}/echo?moved", site.replace("127.0.0.1", "localhost")),
            "denied" => "http://127.0.0.9:1/".clone_into(&mut request.url),
            "no-url" => "file:///etc/passwd".clone_into(&mut request.url),
            "bad-header" => request.set_header("x-bad", "a\r\nhost: evil.example"),
            "redirect" | "redirect-away" => {
                let host = if todo == "redirect" { site } else { site.replace("127.0.0.1", "localhost") };
                let mut response = Response::new(307, "text/plain", "");
                response.set_header("location", format!("{host}/echo?unheld=/"));
                return Ok(RequestVerdict::Answered(response));
            }
            "answer" => return Ok(RequestVerdict::Answered(Response::new(418, "text/plain", "answered"))),
            "block" => return Ok(RequestVerdict::Blocked("not today".to_owned())),
            "fail" => armada::bail!("it does not like that"),
            "panic" => panic!("on purpose"),
            "loop" => loop {
                std::hint::black_box(());
            },
            "wait" => armada::sleep(Duration::from_secs(60)).await?,
            "headers" => (0..30_000).for_each(|n| request.headers.push(header(n))),
            "denied-call" => {
                let denied = armada::http::get(format!("{site}/echo")).send().await.unwrap_err();
                return Ok(RequestVerdict::Answered(Response::new(200, "text/plain", denied.message())));
            }
            "show" => {
                let shown = json!({"headers": request.headers.len(), "body": request.text()}).to_string();
                return Ok(RequestVerdict::Answered(Response::new(200, "application/json", shown)));
            }
            _ => return Ok(RequestVerdict::Unchanged),
        }
        Ok(RequestVerdict::Changed(request))
    }

    async fn modify_response(request: &Request, mut response: Response) -> Result<ResponseVerdict> {
        if request.url.contains("response-head") {
            response.status = 202;
            response.set_header("x-modified", "2");
        } else if request.url.contains("/compressed") {
            let text = response.text().unwrap_or("no text").to_uppercase();
            response.set_text(format!("{text}!"));
        } else if request.url.contains("response-block") {
            return Ok(ResponseVerdict::Blocked("not that".to_owned()));
        } else if request.url.contains("response-fail") {
            armada::bail!("no such thing");
        } else {
            return Ok(ResponseVerdict::Unchanged);
        }
        Ok(ResponseVerdict::Changed(response))
    }
}

/// Comes after the other.
struct Second;

impl Modifier for Second {
    async fn modify_request(mut request: Request) -> Result<RequestVerdict> {
        let seen = request.header("x-modified").unwrap_or("nothing").to_owned();
        request.set_header("x-second", seen);
        Ok(RequestVerdict::Changed(request))
    }
}

/// What a page gets for a request that fails.
fn failed() -> Value {
    json!({"failed": "TypeError: Failed to fetch"})
}

async fn site(case: &Case<'_>) -> Result<Page> {
    case.open("plain.html").await
}

/// What a page gets for a request: status, some headers and text, or the error.
async fn fetched(page: &Page, path: &str) -> Result<Value> {
    asked(page, path, json!({})).await
}

async fn asked(page: &Page, path: &str, options: Value) -> Result<Value> {
    let script = "async ({ path, options }) => {
        try {
            const response = await fetch(path, { ...options, cache: 'no-store' });
            const headers = Object.fromEntries(response.headers);
            return { status: response.status, headers, text: await response.text(), url: response.url };
        } catch (error) { return { failed: String(error) } }
    }";
    Ok(page.evaluate(script).arg(&json!({"path": path, "options": options})).await?)
}

/// What a server saw of a request.
async fn echoed(page: &Page, path: &str, options: Value) -> Result<BTreeMap<String, Value>> {
    let answer = asked(page, path, options).await?;
    let text = answer["text"].as_str().unwrap_or_default();
    Ok(serde_json::from_str(text)?)
}

async fn rules_block_redirect_answer_and_change_headers(case: Case<'_>) -> Result<()> {
    let page = site(&case).await?;
    same!(fetched(&page, "/echo?rule=block").await?, failed());
    let redirected = fetched(&page, "/echo?rule=redirect").await?;
    same!(redirected["url"], json!(case.url("plain.html")));
    let answered = fetched(&page, "/nowhere?rule=respond").await?;
    same!((&answered["status"], &answered["text"]), (&json!(203), &json!("by rule")));
    same!(answered["headers"]["content-type"], json!("text/x-rule"));
    let answer = fetched(&page, "/echo?rule=headers").await?;
    same!(answer["headers"]["x-rule"], json!("response"));
    same!(answer["headers"].get("content-type"), None);
    let seen: Value = serde_json::from_str(answer["text"].as_str().unwrap_or_default())?;
    same!(seen["headers"]["x-rule"], json!("request"));
    same!(seen["headers"].get("referer"), None);
    Ok(())
}

async fn a_modifier_changes_requests(case: Case<'_>) -> Result<()> {
    let page = site(&case).await?;
    let seen = echoed(&page, "/echo?do=header", json!({})).await?;
    same!((&seen["headers"]["x-modified"], &seen["headers"]["x-second"]), (&json!("1"), &json!("1")));
    same!(seen["headers"].get("accept-language"), None);
    same!(seen["headers"]["host"], json!(case.site.trim_start_matches("http://")));
    let old = json!({"method": "POST", "body": "the old body"});
    same!(echoed(&page, "/echo?do=body", old.clone()).await?["body"], json!("the a new body"));
    same!(echoed(&page, "/echo?do=nothing", old.clone()).await?["body"], json!("the old body"));
    let seen = echoed(&page, "/echo?do=method", old).await?;
    same!((&seen["method"], &seen["body"]), (&json!("PUT"), &json!("the old body")));
    Ok(())
}

async fn a_modifier_changes_responses(case: Case<'_>) -> Result<()> {
    let page = site(&case).await?;
    let answer = fetched(&page, "/echo?response-head").await?;
    same!((&answer["status"], &answer["headers"]["x-modified"]), (&json!(202), &json!("2")));
    for coding in ["gzip", "br", "zstd", "deflate"] {
        let answer = fetched(&page, &format!("/compressed?coding={coding}&bytes=1000")).await?;
        armada::ensure!(answer["text"] == "X".repeat(1000) + "!", "{coding}: {answer}");
        armada::ensure!(answer["headers"].get("content-encoding").is_none(), "{answer}");
    }
    // What it cannot read is not passed on as if it had.
    same!(fetched(&page, "/compressed?coding=rot13&bytes=10").await?, failed());
    same!(fetched(&page, "/echo?response-block").await?, failed());
    same!(fetched(&page, "/echo?response-fail").await?, failed());
    Ok(())
}

async fn a_modifier_answers_and_blocks(case: Case<'_>) -> Result<()> {
    let page = site(&case).await?;
    let answer = fetched(&page, "/echo?do=answer").await?;
    same!((&answer["status"], &answer["text"]), (&json!(418), &json!("answered")));
    same!(fetched(&page, "/echo?do=block").await?, failed());
    // Whoever goes there is told why.
    fails!(page.goto(case.url("echo?do=block#x")).await, Denied, "the modifier `changes`: not today");
    fails!(page.goto(case.url("echo?rule=block")).await, Denied, "/echo?rule=block: config_proxy.rules[0] blocks it");
    Ok(())
}

async fn a_modifier_that_fails_fails_the_request(case: Case<'_>) -> Result<()> {
    let page = site(&case).await?;
    for todo in ["fail", "panic", "loop", "wait", "no-url", "bad-header", "headers"] {
        let answer = fetched(&page, &format!("/echo?do={todo}")).await?;
        same!(answer, failed());
        // The next one is not troubled by that.
        same!(fetched(&page, "/echo?do=answer").await?["text"], json!("answered"));
    }
    Ok(())
}

async fn what_was_sent_is_not_sent_again(case: Case<'_>) -> Result<()> {
    let page = site(&case).await?;
    let watch = case.agent.proxy.watch("**/echo*")?;
    for path in ["/echo?response-fail", "/echo?response-block"] {
        // On a connection that was used before, browsers try again where there was no answer.
        fetched(&page, "/plain.html").await?;
        same!(asked(&page, path, json!({"method": "POST", "body": "an order"})).await?, failed());
        same!(watch.next().await?.url, format!("{}{path}", case.site));
    }
    fails!(watch.next().timeout(Duration::from_millis(500)).await, Timeout, "nothing that matches");
    Ok(())
}

async fn a_modifier_sends_requests_elsewhere(case: Case<'_>) -> Result<()> {
    let page = site(&case).await?;
    same!(echoed(&page, "/echo?do=path", json!({})).await?["query"], json!({"do": "nothing", "moved": ""}));
    page.evaluate::<()>("() => { document.cookie = 'mine=1' }").await?;
    let seen = echoed(&page, "/echo?do=other-origin", json!({})).await?;
    same!(seen["headers"]["host"], json!(case.other_site().trim_start_matches("http://")));
    same!(seen["headers"].get("cookie"), None);
    same!(fetched(&page, "/echo?do=denied").await?, failed());
    fails!(page.goto(case.url("echo?do=denied")).await, Denied, "127.0.0.9:1");
    Ok(())
}

async fn a_modifier_has_only_monitoring(case: Case<'_>) -> Result<()> {
    let page = site(&case).await?;
    let answer = fetched(&page, "/echo?do=denied-call").await?;
    let told = answer["text"].as_str().unwrap_or_default();
    armada::ensure!(told.contains("a modifier cannot use the capability `http`"), "{answer}");
    Ok(())
}

async fn what_is_too_long_is_not_given_to_a_modifier(case: Case<'_>) -> Result<()> {
    let page = site(&case).await?;
    let long = json!({"method": "POST", "body": "x".repeat(200_000)});
    same!(asked(&page, "/echo", long.clone()).await?, failed());
    same!(fetched(&page, "/attachment?name=a&bytes=200000").await?, failed());
    // Whose body nobody asks for may be as long as it likes.
    same!(asked(&page, "/echo?unheld=/", long).await?["status"], json!(200));
    Ok(())
}

async fn a_watch_sees_what_goes_through(case: Case<'_>) -> Result<()> {
    let (all, bodies) =
        (case.agent.proxy.watch("**")?, case.agent.proxy.watch_with_bodies("re=/(echo|compressed)")?);
    let page = site(&case).await?;
    let first = all.next().await?;
    same!((first.method.as_str(), first.url, first.status), ("GET", case.url("plain.html"), Some(200)));
    same!((first.response_body, first.failure), (None, None));
    let post = json!({"method": "POST", "body": "to be seen", "headers": {"x-own": "1"}});
    asked(&page, "/echo?do=header", post).await?;
    let seen = bodies.next().timeout(Duration::from_secs(20)).await?;
    same!((seen.method.as_str(), seen.request_body.as_deref()), ("POST", Some(b"to be seen".as_slice())));
    same!(seen.request_header("X-Modified"), Some("1"));
    same!(seen.response_header("content-type"), Some("application/json"));
    let echoed: Value = seen.response_json()?;
    same!(echoed["body"], json!("to be seen"));
    fetched(&page, "/compressed?coding=gzip&bytes=2").await?;
    let seen = bodies.next().await?;
    same!(seen.response_text().as_deref(), Some("XX!"));
    fails!(seen.response_json::<Value>(), Other, "is not the expected JSON");
    armada::ensure!(seen.duration_ms > 0.0);
    Ok(())
}

/// The next exchange whose URL has this in it: what fails, the browser may try again.
async fn next_of(watch: &Watch, part: &str) -> Result<Exchange> {
    loop {
        let seen = watch.next().await?;
        if seen.url.contains(part) {
            return Ok(seen);
        }
    }
}

async fn a_watch_sees_what_fails(case: Case<'_>) -> Result<()> {
    let page = site(&case).await?;
    let watch = case.agent.proxy.watch_with_bodies("**")?;
    fetched(&page, "/echo?rule=block").await?;
    let seen = watch.next().await?;
    same!((seen.status, seen.failure.as_deref()), (None, Some("config_proxy.rules[0] blocks it")));
    fetched(&page, "/echo?do=fail").await?;
    let seen = next_of(&watch, "do=fail").await?;
    armada::ensure!(seen.failure.is_some_and(|why| why.contains("the modifier `changes`: it does not like that")));
    fetched(&page, "/broken").await?;
    let seen = next_of(&watch, "/broken").await?;
    same!((seen.status, seen.response_body), (Some(200), None));
    armada::ensure!(seen.failure.is_some());
    // What a modifier sends elsewhere is seen where the browser has asked for it.
    let asked = case.agent.proxy.watch("**/echo?do=path")?;
    fetched(&page, "/echo?do=path").await?;
    same!(asked.next().await?.url, case.url("echo?do=nothing&moved"));
    let waited = case.agent.proxy.watch("**")?.next().timeout(Duration::from_millis(50)).await;
    fails!(waited, Timeout, "nothing that matches `**` went through within 0.05 s");
    fails!(case.agent.proxy.watch("re=("), Invalid, "the URL pattern is no good");
    Ok(())
}

async fn a_watch_that_is_dropped_sees_nothing(case: Case<'_>) -> Result<()> {
    let page = site(&case).await?;
    for _ in 0..300 {
        drop(case.agent.proxy.watch("**")?);
    }
    fetched(&page, "/echo").await?;
    let held: Vec<Watch> = (0..100).map(|_| case.agent.proxy.watch("**")).collect::<Result<_, _>>()?;
    fails!(case.agent.proxy.watch("**"), Limit, "there are 100 watches already");
    drop(held);
    let late = case.agent.proxy.watch("**")?;
    fails!(late.next().timeout(Duration::from_millis(50)).await, Timeout, "nothing that matches");
    Ok(())
}

async fn secrets_are_not_seen(case: Case<'_>) -> Result<()> {
    let page = site(&case).await?;
    page.set_content("<input id=a>").await?;
    page.fill_secret("#a", "password").await?;
    let watch = case.agent.proxy.watch_with_bodies("**/echo*")?;
    // The page sends it: in the URL, in a header, in the body.
    let send = "async path => {
        const secret = document.querySelector('#a').value;
        const headers = { 'x-secret': secret, authorization: 'Bearer ' + secret };
        const answer = await fetch(`${path}&s=${secret}`, { method: 'POST', headers, body: 'is ' + secret });
        const { body } = await answer.json();
        return [body.includes(secret), [...secret].reverse().join('')];
    }";
    let (arrived, _): (bool, String) = page.evaluate(send).arg("/echo?do=header").await?;
    armada::ensure!(arrived, "what the page sends arrives as it is");
    let seen = watch.next().await?;
    same!(seen.request_body.as_deref(), Some(b"is [secret password]".as_slice()));
    let shown = format!("{seen:?}");
    armada::ensure!(shown.contains("&s=[secret password]") && shown.contains("Bearer [secret password]"), "{shown}");
    let (shown, _): (bool, String) = page.evaluate(send).arg("/echo?do=show").await?;
    armada::ensure!(!shown, "the modifier does not see it");
    // What would take it elsewhere fails: another body around it, another server.
    let tried = "async path => {
        const secret = document.querySelector('#a').value;
        try { return (await fetch(path, { method: 'POST', body: 'the old ' + secret })).url }
        catch { return 'failed' }
    }";
    for (path, becomes) in [
        ("/echo?do=body", "failed".to_owned()),
        ("/echo?do=redirect-away", "failed".to_owned()),
        ("/echo?do=redirect", case.url("echo?unheld=/")),
    ] {
        let told: String = page.evaluate(tried).arg(path).await?;
        armada::ensure!(told == becomes, "{path}: {told}, not {becomes}");
    }
    // Nor does a route take it there.
    let away = format!("{}/echo", case.other_site());
    let overrides = RequestOverrides { url: Some(away.clone()), method: None, headers: None, body: None };
    let location = armada::browser::Header { name: "location".to_owned(), value: away };
    let answer = Fulfillment { status: 307, headers: vec![location], body: Vec::new() };
    let routes = [
        page.route("**/plain.html?moved").modify(overrides).await?,
        page.route("**/plain.html?answered").fulfill(answer).await?,
    ];
    for path in ["/plain.html?moved", "/plain.html?answered"] {
        same!(page.evaluate::<String>(tried).arg(path).await?, "failed");
    }
    for route in routes {
        page.unroute(route).await?;
    }
    // It is within a text within a text.
    let nested = "async () => {
        const secret = document.querySelector('#a').value;
        const body = JSON.stringify({ within: JSON.stringify({ secret }) });
        await fetch('/echo?unheld=/&json=' + encodeURIComponent(body), { method: 'POST', body });
    }";
    page.evaluate::<()>(nested).await?;
    let moved = "async () => { try { await fetch('/echo?do=other-origin'); return 'sent' } catch { return 'failed' } }";
    same!(page.evaluate::<String>(moved).await?, "failed");
    Ok(())
}

async fn everything_at_once(case: Case<'_>) -> Result<()> {
    let page = site(&case).await?;
    let script = "async () => (await Promise.all(Array.from({ length: 40 }, async (_, n) => {
        const answer = await fetch(`/echo?n=${n}`, { method: 'POST', body: `body ${n}`, cache: 'no-store' });
        const seen = await answer.json();
        return seen.body === `body ${n}` && seen.query.n === `${n}` && seen.headers['x-second'] === 'nothing';
    }))).every(Boolean)";
    armada::ensure!(page.evaluate::<bool>(script).await?, "some were mixed up");
    Ok(())
}
