//! Requests of a script's own. Run with the limits `http_requests_at_once` 4 and `http_response_bytes` 1,000,000, and with
//! 127.0.0.1 and localhost as the only hosts.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use armada::http::{self, Request};
use armada::{Result, Value, json, try_join};
use guests::{Case, fails, same};

guests::cases![
    a_page_is_got,
    what_is_sent_arrives,
    what_is_not_given_is_added,
    bodies_are_read_in_pieces,
    bodies_are_decompressed,
    redirects_are_followed,
    redirects_can_be_taken_as_they_are,
    redirects_change_methods_as_browsers_do,
    credentials_do_not_go_to_other_origins,
    credentials_in_a_url_are_sent,
    a_status_is_an_answer,
    what_takes_too_long_ends,
    what_is_too_large_ends,
    what_breaks_off_says_so,
    so_many_requests_are_made_at_once,
    hosts_that_are_not_allowed_are_denied,
    mistakes_are_invalid,
    what_is_dropped_ends,
];

type Echo = BTreeMap<String, Value>;

async fn a_page_is_got(case: Case<'_>) -> Result<()> {
    let response = http::get(case.url("plain.html")).send().await?;
    same!((response.status(), response.is_success(), response.url()), (200, true, case.url("plain.html").as_str()));
    same!(response.header("Content-Type"), Some("text/html; charset=utf-8"));
    armada::ensure!(response.text().await?.contains("<title>Plain</title>"));
    same!(http::head(case.url("plain.html")).send().await?.bytes().await?, b"");
    same!(http::get(case.url("nothing")).send().await?.text().await?, "");
    Ok(())
}

async fn what_is_sent_arrives(case: Case<'_>) -> Result<()> {
    let echo = case.url("echo?a=1#part");
    let request = http::post(&echo).query([("b c", "é&")]).header("X-Own", "ü").json(&json!({"n": [1, 2]}));
    let seen: Echo = request.send().await?.json().await?;
    same!((&seen["method"], &seen["query"]), (&json!("POST"), &json!({"a": "1", "b c": "é&"})));
    same!(seen["body"], json!({"n": [1, 2]}).to_string());
    same!(
        (&seen["headers"]["content-type"], &seen["headers"]["content-length"]),
        (&json!("application/json"), &json!("11"))
    );
    let seen: Echo = http::put(&echo).form([("name", "Ada L")]).send().await?.json().await?;
    same!((&seen["method"], &seen["body"]), (&json!("PUT"), &json!("name=Ada+L")));
    for (method, request) in
        [("PATCH", http::patch(&echo)), ("DELETE", http::delete(&echo)), ("QUERY", Request::new("QUERY", &echo))]
    {
        let seen: Echo = request.body("x").send().await?.json().await?;
        same!((&seen["method"], &seen["body"]), (&json!(method), &json!("x")));
    }
    Ok(())
}

async fn what_is_not_given_is_added(case: Case<'_>) -> Result<()> {
    let seen: Echo = http::get(case.url("echo")).send().await?.json().await?;
    let headers = &seen["headers"];
    same!((&headers["accept"], &headers["accept-encoding"]), (&json!("*/*"), &json!("gzip, br, zstd, deflate")));
    armada::ensure!(headers["user-agent"].as_str().is_some_and(|agent| agent.starts_with("armada/")));
    let mine = http::get(case.url("echo")).header("User-Agent", "mine").header("Accept", "text/plain");
    let seen: Echo = mine.send().await?.json().await?;
    same!((&seen["headers"]["user-agent"], &seen["headers"]["accept"]), (&json!("mine"), &json!("text/plain")));
    Ok(())
}

async fn bodies_are_read_in_pieces(case: Case<'_>) -> Result<()> {
    let response = http::get(case.url("pieces?ms=1")).send().await?;
    same!(response.chunk(2).await?, Some(b"on".to_vec()));
    let mut rest = Vec::new();
    while let Some(piece) = response.chunk(1000).await? {
        rest.extend(piece);
    }
    same!(rest, b"etwo");
    same!(response.chunk(1).await?, None);
    fails!(http::get(case.url("pieces")).send().await?.chunk(0).await, Invalid, "at least 1 byte");
    // The first piece is there although the second never comes.
    let response = http::get(case.url("pieces?ms=600000")).send().await?;
    same!(response.chunk(1000).await?, Some(b"one".to_vec()));
    Ok(())
}

async fn bodies_are_decompressed(case: Case<'_>) -> Result<()> {
    for coding in ["gzip", "br", "zstd", "deflate"] {
        let url = case.url(&format!("compressed?coding={coding}&bytes=100000"));
        let response = http::get(&url).send().await?;
        same!((response.header("content-encoding"), response.header("content-length")), (None, None));
        same!(response.bytes().await?, vec![b'x'; 100_000]);
        let response = http::get(&url).header("Accept-Encoding", coding).send().await?;
        same!(response.header("content-encoding"), Some(coding));
        armada::ensure!(response.bytes().await?.len() < 10_000);
    }
    let wrong = http::get(case.url("compressed?coding=deflate&bytes=10")).header("accept-encoding", "*").send().await?;
    same!(wrong.header("content-encoding"), Some("deflate"));
    Ok(())
}

fn redirects(case: &Case<'_>, status: u16, times: u32, to: &str) -> String {
    case.url(&format!("redirects?status={status}&times={times}&to={to}"))
}

async fn redirects_are_followed(case: Case<'_>) -> Result<()> {
    let response = http::get(redirects(&case, 302, 10, "/echo")).send().await?;
    same!((response.status(), response.url()), (200, case.url("echo").as_str()));
    fails!(http::get(redirects(&case, 302, 11, "/echo")).send().await, Other, "10 redirects");
    fails!(http::get(redirects(&case, 302, 2, "/echo")).redirects(1).send().await, Other, "1 redirects");
    let elsewhere = format!("{}/plain.html", case.other_site());
    let response = http::get(redirects(&case, 301, 1, &elsewhere)).send().await?;
    same!(response.url(), elsewhere);
    fails!(http::get(redirects(&case, 301, 1, "http://[")).send().await, Other, "which is no URL");
    Ok(())
}

async fn redirects_can_be_taken_as_they_are(case: Case<'_>) -> Result<()> {
    let response = http::get(redirects(&case, 307, 1, "/echo")).redirects(0).send().await?;
    same!((response.status(), response.header("location")), (307, Some("/echo")));
    Ok(())
}

async fn redirects_change_methods_as_browsers_do(case: Case<'_>) -> Result<()> {
    for (status, method, body) in
        [(301, "GET", ""), (302, "GET", ""), (303, "GET", ""), (307, "POST", "x"), (308, "POST", "x")]
    {
        let request = http::post(redirects(&case, status, 1, "/echo")).header("content-type", "text/x").body("x");
        let seen: Echo = request.send().await?.json().await?;
        same!((&seen["method"], &seen["body"]), (&json!(method), &json!(body)));
        same!(seen["headers"].get("content-type").is_some(), method == "POST");
    }
    let seen: Echo = http::put(redirects(&case, 302, 1, "/echo")).body("x").send().await?.json().await?;
    same!((&seen["method"], &seen["body"]), (&json!("PUT"), &json!("x")));
    Ok(())
}

async fn credentials_do_not_go_to_other_origins(case: Case<'_>) -> Result<()> {
    let sent = async |to: &str| -> Result<Value> {
        let request =
            http::get(redirects(&case, 302, 1, to)).bearer_auth("t").header("Cookie", "c=1").header("x-own", "1");
        let seen: Echo = request.send().await?.json().await?;
        let headers = &seen["headers"];
        Ok(json!([headers["authorization"], headers["cookie"], headers["x-own"]]))
    };
    same!(sent("/echo").await?, json!(["Bearer t", "c=1", "1"]));
    same!(sent(&format!("{}/echo", case.other_site())).await?, json!([null, null, "1"]));
    Ok(())
}

async fn credentials_in_a_url_are_sent(case: Case<'_>) -> Result<()> {
    let response = http::get(case.url("echo").replace("//", "//Aladdin:open%20sesame@")).send().await?;
    same!(response.url(), case.url("echo"));
    let seen: Echo = response.json().await?;
    same!(seen["headers"]["authorization"], "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    Ok(())
}

async fn a_status_is_an_answer(case: Case<'_>) -> Result<()> {
    let response = http::get(case.url("status?code=404")).send().await?;
    same!((response.status(), response.is_success()), (404, false));
    fails!(response.error_for_status(), Other, "status 404");
    same!(http::get(case.url("status?code=503")).send().await?.status(), 503);
    fails!(http::get(case.url("plain.html")).send().await?.json::<Value>().await, Other, "is not the expected JSON");
    Ok(())
}

async fn what_takes_too_long_ends(case: Case<'_>) -> Result<()> {
    let short = Duration::from_millis(200);
    fails!(http::get(case.url("never")).timeout(short).send().await, Timeout, "200 ms");
    let response = http::get(case.url("pieces?ms=600000")).timeout(short).send().await?;
    fails!(response.text().await, Timeout, "200 ms");
    fails!(http::get(case.url("never")).send().await, Timeout, "seconds_per_call");
    Ok(())
}

async fn what_is_too_large_ends(case: Case<'_>) -> Result<()> {
    same!(http::get(case.url("attachment?bytes=1000000")).send().await?.bytes().await?.len(), 1_000_000);
    fails!(http::get(case.url("attachment?bytes=1000001")).send().await?.bytes().await, Limit, "http_response_bytes");
    // What counts is what comes out.
    let bomb = http::get(case.url("compressed?coding=gzip&bytes=1000001")).send().await?;
    fails!(bomb.bytes().await, Limit, "http_response_bytes");
    let response = http::get(case.url("attachment?bytes=1000001")).send().await?;
    let mut read = 0;
    let ended = loop {
        match response.chunk(100_000).await {
            Ok(Some(piece)) => read += piece.len(),
            ended => break ended,
        }
    };
    fails!(ended, Limit, "more than 1000000 bytes");
    fails!(response.chunk(1).await, Limit, "more than 1000000 bytes");
    armada::ensure!(read <= 1_000_000);
    Ok(())
}

async fn what_breaks_off_says_so(case: Case<'_>) -> Result<()> {
    let response = http::get(case.url("broken")).send().await?;
    same!(response.chunk(1000).await?, Some(b"the beginning".to_vec()));
    fails!(response.chunk(1000).await, Unavailable, "broke off");
    fails!(response.bytes().await, Unavailable, "broke off");
    Ok(())
}

async fn so_many_requests_are_made_at_once(case: Case<'_>) -> Result<()> {
    let url = case.url("pieces?ms=600000");
    let open = || http::get(&url).send();
    let held = try_join!(open(), open(), open(), open())?;
    fails!(open().await, Limit, "http_requests_at_once");
    let (first, second, third, fourth) = held;
    drop(first);
    let again = open().await?;
    fails!(open().await, Limit, "4 HTTP requests are in progress");
    drop((again, second, third, fourth));
    // What has been read to its end does not count either.
    let responses = [case.url("plain.html"), case.url("echo"), case.url("cookie"), case.url("plain.html")];
    for url in responses {
        let response = http::get(url).send().await?;
        while response.chunk(1_000_000).await?.is_some() {}
    }
    Ok(())
}

async fn hosts_that_are_not_allowed_are_denied(case: Case<'_>) -> Result<()> {
    fails!(http::get("https://example.com/").send().await, Denied, "allowed_hosts");
    fails!(http::get("file:///etc/hostname").send().await, Denied, "file URLs are never allowed");
    let elsewhere = case.site.replace("127.0.0.1", "127.0.0.2");
    fails!(http::get(&elsewhere).send().await, Denied, "allowed_hosts");
    fails!(http::get(redirects(&case, 302, 1, &elsewhere)).send().await, Denied, "redirects to another host: the host");
    fails!(http::get(redirects(&case, 302, 1, "file:///etc/hostname")).send().await, Denied, "file URLs");
    // Allowed by the project, and on no public network.
    let private = "http://127.0.0.3:1/";
    fails!(http::get(private).send().await, Denied, "--private-host");
    fails!(http::get(redirects(&case, 302, 1, private)).send().await, Denied, "--private-host");
    fails!(http::get("http://127.0.0.1:1/").send().await, Unavailable, "could not connect to 127.0.0.1:1");
    Ok(())
}

async fn mistakes_are_invalid(case: Case<'_>) -> Result<()> {
    let echo = case.url("echo");
    for (name, value, says) in [
        ("Host", "other", "is the host's to send"),
        ("Transfer-Encoding", "chunked", "is the host's to send"),
        ("connection", "close", "is the host's to send"),
        ("Proxy-Authorization", "x", "is the host's to send"),
        ("Content-Length", "3", "as long as the body is"),
        ("Content-Length", "x", "as long as the body is"),
        ("", "x", "cannot be the name"),
        ("a b", "x", "cannot be the name"),
        ("x\r\nHost: other", "x", "cannot be the name"),
        ("x", "a\r\nHost: other", "a line end"),
        ("x", "\0", "a line end"),
    ] {
        fails!(http::post(&echo).header(name, value).body("12").send().await, Invalid, says);
    }
    http::post(&echo).header("content-length", "2").body("12").send().await?;
    let many = (0..300).fold(http::get(&echo), |request, n| request.header(format!("x-{n}"), "1"));
    fails!(many.send().await, Invalid, "300 headers are too many");
    for method in ["CONNECT", "TRACE", "", "GE T", "GET / HTTP/1.1\r\nHost: other\r\n\r\n"] {
        fails!(Request::new(method, &echo).send().await, Invalid, "method");
    }
    for url in ["", "echo", "http://", "http://a b/", "about:blank"] {
        fails!(http::get(url).send().await, Invalid, "URL");
    }
    fails!(http::get(case.site.replace("http", "ws")).send().await, Invalid, "no http or https URL");
    fails!(http::get(format!("{echo}?{}", "x".repeat(70_000))).send().await, Invalid, "cannot be requested");
    fails!(http::get(&echo).redirects(11).send().await, Invalid, "at most 10");
    same!(http::get(format!("{echo}?q=a b|^{{}}é\"<>")).send().await?.status(), 200);
    Ok(())
}

async fn what_is_dropped_ends(case: Case<'_>) -> Result<()> {
    for _ in 0..10 {
        let mut sent = pin!(http::get(case.url("never")).send());
        let mut waited = pin!(armada::sleep(Duration::from_millis(20)));
        std::future::poll_fn(|context| {
            let _ = sent.as_mut().poll(context);
            waited.as_mut().poll(context)
        })
        .await?;
        // Dropping the call cancels it, and makes room for others.
    }
    same!(http::get(case.url("plain.html")).send().await?.status(), 200);
    Ok(())
}
