//! The way out: agents whose traffic leaves through upstream proxies, and what becomes of it when these fail.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};

use armada_protocol::inventory::{Secret, Upstream};
use armada_protocol::report::EventLevel;
use armada_protocol::{Hidden, Inventory, JobRecord};
use armada_tests::cases::{cases_of, failures, run_of};
use armada_tests::command::{Running, project};
use armada_tests::guests::{built, component};
use armada_tests::run::{Finished, TestRun};
use armada_tests::site::Site;
use armada_tests::upstreams::{AddressPage, PASSWORD, UpstreamProxy};
use serde_json::{Value, json};

/// A run with these proxies and this `config_proxy`, whose jobs each take these steps.
fn run(upstreams: Vec<Upstream>, config: Value, jobs: &[Value]) -> TestRun {
    TestRun::of(component("upstream"))
        .inventory(Inventory { upstreams, ..Inventory::default() })
        .agent_message(json!({"config_proxy": config}))
        .jobs(jobs.iter().map(|steps| json!({"steps": steps})))
}

/// What the jobs of a run have told; nothing of it has the password of a proxy.
fn told(finished: &Finished) -> Vec<Value> {
    assert!(finished.agents.iter().all(Result::is_ok), "{:?}", finished.agents);
    assert!(!format!("{:?}{:?}", finished.changes, finished.jobs).contains(PASSWORD));
    let read = |job: &JobRecord| match &job.result {
        Some(result) => serde_json::from_str(result.get()).unwrap(),
        None => panic!("{:#?}", job.error),
    };
    finished.jobs.iter().map(read).collect()
}

/// The events of a job, those of a level.
fn events(job: &JobRecord, level: EventLevel) -> Vec<&str> {
    let events = job.events.iter().map(|event| &event.report);
    events.filter(|event| event.level == level).map(|event| event.content.as_str()).collect()
}

/// Why the one agent of a run could not go on.
fn failure(finished: Finished) -> String {
    let ended = finished.agents.into_iter().next().unwrap();
    let message = ended.expect_err("the agent should fail").to_string();
    assert!(!message.contains(PASSWORD), "{message}");
    message
}

fn goto(page: &AddressPage) -> Value {
    json!({"goto": page.url("127.0.0.1")})
}

#[test]
fn pages_leave_through_proxies_of_every_kind() {
    let page = AddressPage::start();
    for (proxy, address) in
        [(UpstreamProxy::http("127.0.0.11"), "127.0.0.11"), (UpstreamProxy::socks5("127.0.0.12"), "127.0.0.12")]
    {
        let config = json!({"upstream_proxy_enabled": 1, "proxy_location": "de"});
        let finished = run(vec![proxy.entry("berlin", "DE")], config, &[json!([goto(&page), "status"])]).finish();
        let status = json!({"enabled": true, "upstream": "berlin", "location": "DE", "exit_address": null});
        assert_eq!(told(&finished), [json!([address, status])]);
        assert!(proxy.carried() > 0 && proxy.refused() == 0);
        assert_eq!(events(&finished.jobs[0], EventLevel::Info), ["leaves through the upstream proxy `berlin` (DE)"]);
    }
}

#[test]
fn without_an_upstream_traffic_leaves_directly_and_says_so() {
    let page = AddressPage::start();
    let proxy = UpstreamProxy::http("127.0.0.11");
    let steps = json!([goto(&page), "status", "verify", {"change": {}}]);
    let finished = run(vec![proxy.entry("berlin", "DE")], json!({}), &[steps]).finish();
    let Value::Array(told) = told(&finished).remove(0) else { panic!() };
    assert_eq!((&told[0], &told[1]["enabled"]), (&json!("127.0.0.1"), &json!(false)));
    for step in &told[2..] {
        assert_eq!(step["error"], "invalid", "{step}");
        assert!(step["says"].as_str().unwrap().contains("config_proxy.upstream_proxy_enabled"), "{step}");
    }
    assert_eq!(proxy.carried(), 0);
}

#[test]
fn a_proxy_that_does_not_let_the_agent_in_is_replaced() {
    let page = AddressPage::start();
    for (refusing, working) in [
        (UpstreamProxy::http("127.0.0.11"), UpstreamProxy::http("127.0.0.12")),
        (UpstreamProxy::socks5("127.0.0.11"), UpstreamProxy::socks5("127.0.0.12")),
    ] {
        let refusing_entry = refusing.entry_with_password("refusing", "DE", "wrong");
        let config = json!({"upstream_proxy_enabled": 1});
        let upstreams = vec![refusing_entry.clone(), working.entry("working", "DE")];
        let finished = run(upstreams, config.clone(), &[json!([goto(&page), "status"])]).finish();
        let told_first = told(&finished).remove(0);
        assert_eq!((&told_first[0], &told_first[1]["upstream"]), (&json!("127.0.0.12"), &json!("working")));
        let warnings = events(&finished.jobs[0], EventLevel::Warning).join("\n");
        assert!(warnings.contains("`refusing` (DE) fails, and is given back") && warnings.contains("credentials"));
        assert!(refusing.refused() > 0);

        let alone = run(vec![refusing_entry], config, &[json!([goto(&page)])]).finish();
        let told_alone = told(&alone).remove(0);
        assert_eq!(told_alone[0]["error"], "unavailable", "{told_alone}");
        assert!(
            told_alone[0]["says"].as_str().unwrap().contains("the upstream proxy `refusing` fails"),
            "{told_alone}"
        );
        assert_eq!(refusing.carried(), 0);
    }
}

#[test]
fn a_proxy_that_dies_is_replaced_and_nothing_leaves_directly() {
    let (first, second) = (UpstreamProxy::http("127.0.0.11"), UpstreamProxy::socks5("127.0.0.12"));
    let (kill_first, kill_second) = (first.killer(), second.killer());
    // Whoever loses its connection may ask again, which kills nothing more.
    let page = AddressPage::start_with(move |path| match path {
        "/kill-first" => kill_first(),
        "/kill-second" => kill_second(),
        _ => {}
    });
    let kill = |which: &str| json!({"goto": format!("{}kill-{which}", page.url("127.0.0.1"))});
    let steps = json!([goto(&page), kill("first"), goto(&page), kill("second"), goto(&page)]);
    let upstreams = vec![first.entry("first", "DE"), second.entry("second", "DE")];
    let finished = run(upstreams, json!({"upstream_proxy_enabled": 1}), &[steps]).finish();
    let told = told(&finished).remove(0);
    assert_eq!((&told[0], &told[2]), (&json!("127.0.0.11"), &json!("127.0.0.12")));
    assert_eq!(told[4]["error"], "unavailable", "{told}");
    assert!(!told.to_string().contains("\"127.0.0.1\""), "something left directly: {told}");
    let warnings = events(&finished.jobs[0], EventLevel::Warning).join("\n");
    assert!(warnings.contains("`first` (DE) fails") && warnings.contains("`second` (DE) fails"), "{warnings}");
}

/// A proxy that lets everybody in and gets nowhere, for as long as the process lives.
fn useless_proxy() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            let _ = connection.read(&mut [0; 4096]);
            let _ = connection.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n");
        }
    });
    format!("http://{address}")
}

#[test]
fn a_proxy_that_reaches_nothing_is_replaced() {
    let (page, working) = (AddressPage::start(), UpstreamProxy::http("127.0.0.12"));
    let useless = Upstream { url: useless_proxy().try_into().unwrap(), ..working.entry("useless", "DE") };
    let steps = json!([goto(&page), goto(&page), goto(&page)]);
    let config = json!({"upstream_proxy_enabled": 1});
    let finished =
        run(vec![useless.clone(), working.entry("working", "DE")], config.clone(), std::slice::from_ref(&steps))
            .finish();
    let told_by_both = told(&finished).remove(0);
    assert_eq!(told_by_both[2], "127.0.0.12", "{told_by_both}");
    let warnings = events(&finished.jobs[0], EventLevel::Warning).join("\n");
    assert!(warnings.contains("`useless` (DE) fails, and is given back: it reaches nothing: "), "{warnings}");

    let alone = run(vec![useless], config, &[steps]).finish();
    assert_eq!(told(&alone).remove(0)[2]["error"], "unavailable");
    let news = events(&alone.jobs[0], EventLevel::Info).join("\n");
    assert!(news.contains("there is no other than the upstream proxy `useless` (DE): it is tried again"), "{news}");
    assert!(!news.contains("instead"), "{news}");
}

#[test]
fn a_proxy_is_replaced_even_if_nobody_waits_for_that() {
    let (first, third) = (UpstreamProxy::http("127.0.0.11"), UpstreamProxy::http("127.0.0.13"));
    // Whoever connects to it is never answered.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap()).try_into().unwrap();
    let kill = first.killer();
    let page = AddressPage::start_with(move |path| {
        if path == "/kill" {
            kill();
        }
    });
    let mut steps = vec![goto(&page), json!({"goto": format!("{}kill", page.url("127.0.0.1"))})];
    steps.extend((0..12).map(|_| goto(&page)));
    let upstreams =
        vec![first.entry("first", "DE"), Upstream { url, ..third.entry("silent", "DE") }, third.entry("third", "DE")];
    let inventory = Inventory { upstreams, verify_ip: Some(page.verify_ip()), ..Inventory::default() };
    // Pages give up long before it is known that the second proxy does not answer.
    let message = json!({
        "config_proxy": {"upstream_proxy_enabled": 1, "verify_ip": 1},
        "config_fantomas": {"config_browser": {"navigation_timeout_ms": 1500}},
    });
    let run = run(Vec::new(), json!({}), &[json!(steps)]).inventory(inventory).agent_message(message);
    let finished = run.finish();
    let told = told(&finished).remove(0);
    let told = told.as_array().unwrap();
    assert_eq!((&told[0], told.last().unwrap()), (&json!("127.0.0.11"), &json!("127.0.0.13")), "{told:?}");
    assert!(told.iter().any(|step| step["error"] == "timeout"), "{told:?}");
    let failures = events(&finished.jobs[0], EventLevel::Failure).join("\n");
    assert!(failures.contains("`silent`"), "{failures}");
}

#[test]
fn an_agent_without_a_proxy_in_its_location_fails_and_says_what_there_is() {
    let proxy = UpstreamProxy::http("127.0.0.11");
    let config = json!({"upstream_proxy_enabled": 2, "proxy_location": "US", "proxy_tags": "fast"});
    let told = failure(run(vec![proxy.entry("berlin", "DE")], config.clone(), &[json!([])]).finish());
    assert!(
        told.contains("an upstream proxy in \"US\" with the tags [\"fast\"]") && told.contains("some in DE"),
        "{told}"
    );
    let told = failure(run(Vec::new(), config, &[json!([])]).finish());
    assert!(told.contains("the operator's inventory has none"), "{told}");
}

#[test]
fn proxies_need_both_keys() {
    let proxy = UpstreamProxy::http("127.0.0.11");
    let started = |enabled: u8| {
        let config = json!({"upstream_proxy_enabled": enabled});
        run(vec![proxy.entry("berlin", "DE")], config, &[json!(["status", "verify", {"change": {}}])])
    };
    let sandbox = json!({"capabilities": ["browser"]});
    let told_to_agent = failure(started(1).sandbox(sandbox.clone()).finish());
    assert!(
        told_to_agent.contains("needs the capability `proxy`") && told_to_agent.contains("\"proxy\""),
        "{told_to_agent}"
    );
    let told_to_agent = failure(started(1).withholding("proxy").finish());
    assert!(told_to_agent.contains("the operator's ceiling does not allow it"), "{told_to_agent}");
    for (finished, says) in [
        (started(0).sandbox(sandbox).finish(), "run_message.sandbox.capabilities"),
        (started(0).withholding("proxy").finish(), "the operator's ceiling does not allow it"),
    ] {
        for step in told(&finished).remove(0).as_array().unwrap() {
            assert_eq!(step["error"], "denied", "{step}");
            assert!(step["says"].as_str().unwrap().contains(says), "{step}");
        }
    }
    assert_eq!((proxy.carried(), proxy.refused()), (0, 0));
}

#[test]
fn a_private_address_is_refused_whatever_lies_between() {
    let page = AddressPage::start();
    let proxy = UpstreamProxy::socks5("127.0.0.11");
    let steps = json!([{"goto": page.url("127.0.0.3")}, {"goto": page.url("169.254.169.254")}, goto(&page)]);
    for resolve in [armada_protocol::inventory::Resolve::Agent, armada_protocol::inventory::Resolve::Proxy] {
        let before = proxy.carried();
        let upstream = Upstream { resolve, ..proxy.entry("berlin", "DE") };
        let config = json!({"upstream_proxy_enabled": 1});
        let finished = run(vec![upstream], config, std::slice::from_ref(&steps)).allowed_hosts(&["*:*"]).finish();
        let told = told(&finished).remove(0);
        for refused in [&told[0], &told[1]] {
            assert_eq!(refused["error"], "denied", "{told}");
            assert!(refused["says"].as_str().unwrap().contains("--private-host"), "{told}");
        }
        assert_eq!(told[2], "127.0.0.11");
        assert_eq!(proxy.carried() - before, 1);
    }
}

#[test]
fn an_upstream_may_resolve_names_itself() {
    let page = AddressPage::start();
    let proxy = UpstreamProxy::http("127.0.0.11");
    let upstream = Upstream { resolve: armada_protocol::inventory::Resolve::Proxy, ..proxy.entry("berlin", "DE") };
    let steps = json!([{"goto": page.url("localhost")}]);
    let finished = run(vec![upstream], json!({"upstream_proxy_enabled": 1}), &[steps]).finish();
    assert_eq!(told(&finished), [json!(["127.0.0.11"])]);
}

/// Three proxies, whose addresses end in 11, 12 and 13.
fn three() -> (Vec<UpstreamProxy>, Vec<Upstream>) {
    let proxies: Vec<_> = (11..14).map(|end| UpstreamProxy::http(&format!("127.0.0.{end}"))).collect();
    let entries = proxies.iter().zip(["one", "two", "three"]).map(|(proxy, name)| proxy.entry(name, "DE")).collect();
    (proxies, entries)
}

#[test]
fn a_lease_is_for_the_agents_life_or_for_each_job() {
    let page = AddressPage::start();
    let (_proxies, entries) = three();
    let jobs = vec![json!([goto(&page)]); 3];
    let addresses = |config: Value| -> BTreeSet<String> {
        told(&run(entries.clone(), config, &jobs).finish()).into_iter().map(|told| told[0].to_string()).collect()
    };
    assert_eq!(addresses(json!({"upstream_proxy_enabled": 1})).len(), 1);
    assert_eq!(addresses(json!({"upstream_proxy_enabled": 2})).len(), 3);
}

#[test]
fn a_job_chooses_its_proxy_and_the_next_one_does_not_have_it() {
    let page = AddressPage::start();
    let (proxies, mut entries) = three();
    let paris = Upstream { tags: vec!["slow".to_owned()], ..proxies[2].entry("paris", "FR") };
    entries[2] = paris;
    let choice = json!({"change": {"location": "FR", "tag": "slow"}});
    let missing = json!({"change": {"location": "US"}});
    let first = json!([goto(&page), choice, goto(&page), missing, goto(&page)]);
    let config = json!({"upstream_proxy_enabled": 1, "proxy_location": "DE"});
    let finished = run(entries, config, &[first, json!([goto(&page)])]).finish();
    let told = told(&finished);
    assert_eq!((&told[0][0], &told[0][2]), (&json!("127.0.0.11"), &json!("127.0.0.13")), "{told:?}");
    assert_eq!((&told[0][1]["upstream"], &told[0][1]["location"]), (&json!("paris"), &json!("FR")));
    // What is not there leaves everything as it was.
    assert_eq!((&told[0][3]["error"], &told[0][4]), (&json!("not found"), &json!("127.0.0.13")), "{told:?}");
    assert_ne!(told[1][0], "127.0.0.13");
}

#[test]
fn the_same_text_sticks_to_the_same_proxy() {
    let (_proxies, entries) = three();
    let sticky = json!({"change": {"sticky": "session 7"}});
    let finished =
        run(entries, json!({"upstream_proxy_enabled": 1}), &[json!([sticky, {"change": {}}, sticky, sticky])]).finish();
    let told = told(&finished).remove(0);
    let name = |place: usize| told[place]["upstream"].as_str().unwrap();
    assert_eq!((name(0), name(2)), (name(2), name(3)));
    assert_ne!(name(0), name(1));
}

#[test]
fn the_address_that_traffic_comes_out_at_is_verified() {
    let page = AddressPage::start();
    let steps = json!(["status", "verify", goto(&page)]);
    let (good, own) = (UpstreamProxy::http("127.0.0.11"), UpstreamProxy::http("127.0.0.1"));
    let started = |upstream: Upstream, verify: bool| {
        let inventory = Inventory {
            upstreams: vec![upstream],
            verify_ip: verify.then(|| page.verify_ip()),
            ..Inventory::default()
        };
        run(Vec::new(), json!({"upstream_proxy_enabled": 1, "verify_ip": 1}), std::slice::from_ref(&steps))
            .inventory(inventory)
            .finish()
    };
    let at = |proxy: &UpstreamProxy, addresses: &[&str]| Upstream {
        exit_addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        ..proxy.entry("berlin", "DE")
    };
    // Known addresses, and none, in which case another one than without the proxy will do.
    for upstream in [at(&good, &["203.0.113.9", "127.0.0.8/29"]), at(&good, &[])] {
        let finished = started(upstream, true);
        let told = told(&finished).remove(0);
        assert_eq!(told[0]["exit_address"], "127.0.0.11");
        assert_eq!((&told[1], &told[2]), (&json!("127.0.0.11"), &json!("127.0.0.11")));
        let successes = events(&finished.jobs[0], EventLevel::Success).join("\n");
        assert!(successes.contains("its address is 127.0.0.11, as it should be"), "{successes}");
    }
    let wrong = failure(started(at(&good, &["203.0.113.9"]), true));
    assert!(wrong.contains("`berlin` comes out at 127.0.0.11") && wrong.contains("exit_addresses"), "{wrong}");
    let own = failure(started(at(&own, &[]), true));
    assert!(own.contains("`berlin` comes out at 127.0.0.1, the address that traffic has without it"), "{own}");
    let nowhere = failure(started(at(&good, &[]), false));
    assert!(nowhere.contains("[verify_ip]"), "{nowhere}");
}

#[test]
fn python_scripts_have_it_too() {
    let page = AddressPage::start();
    let (proxies, mut entries) = three();
    entries[2] = Upstream { tags: vec!["slow".to_owned()], ..proxies[2].entry("paris", "FR") };
    let inventory = Inventory { upstreams: entries, verify_ip: Some(page.verify_ip()), ..Inventory::default() };
    let config = json!({"upstream_proxy_enabled": 1, "proxy_location": "DE"});
    let run = TestRun::of(built(&project("python_proxy"))).inventory(inventory);
    let told = told(&run.agent_message(json!({"config_proxy": config})).finish()).remove(0);
    let paris = json!({"enabled": true, "upstream": "paris", "location": "FR", "exit_address": null});
    assert_eq!(told, json!(["one", paris, "127.0.0.13"]));
}

#[test]
fn a_proxy_that_speaks_tls_must_have_a_certificate_that_the_machine_trusts() {
    let (page, proxy) = (AddressPage::start(), UpstreamProxy::https("127.0.0.11"));
    let folder = tempfile::tempdir().unwrap();
    let (inventory, certificate) = (folder.path().join("inventory.toml"), folder.path().join("authorities.pem"));
    let (url, page) = (String::from(proxy.entry("berlin", "DE").url), page.url("127.0.0.1"));
    let upstream = format!("[[upstreams]]\nname = \"berlin\"\nurl = \"{url}\"\nlocation = \"DE\"\n");
    std::fs::write(&inventory, format!("{upstream}[verify_ip]\nurl = \"{page}\"\n")).unwrap();
    std::fs::write(&certificate, proxy.certificate()).unwrap();
    let arguments = ["--inventory", inventory.to_str().unwrap()];
    let ended = |variables: &[(&str, &str)]| {
        let ended = Running::start_with(&project("python_proxy"), &arguments, variables).finish();
        assert!(!format!("{:?}{:?}", ended.told, ended.results).contains(PASSWORD));
        ended
    };
    let trusted = ended(&[("SSL_CERT_FILE", certificate.to_str().unwrap())]);
    assert_eq!(trusted.code, Some(0), "{:?}", trusted.told);
    assert_eq!(trusted.results[0]["result"], "127.0.0.11");
    let carried = proxy.carried();
    let unknown = ended(&[]);
    assert_eq!(unknown.code, Some(1), "{:?}", unknown.told);
    assert!(format!("{:?}", unknown.results).contains("TLS to it fails"), "{:?}", unknown.results);
    assert_eq!(proxy.carried(), carried);
}

#[test]
fn a_job_that_gets_no_proxy_fails_and_says_why() {
    let proxy = UpstreamProxy::http("127.0.0.11");
    let kill = proxy.killer();
    let page = AddressPage::start_with(move |path| {
        if path == "/kill" {
            kill();
        }
    });
    let inventory = Inventory {
        upstreams: vec![proxy.entry("berlin", "DE")],
        verify_ip: Some(page.verify_ip()),
        ..Inventory::default()
    };
    let config = json!({"upstream_proxy_enabled": 2, "verify_ip": 1});
    let killing = json!([{"goto": format!("{}kill", page.url("127.0.0.1"))}]);
    let finished = run(Vec::new(), config, &[killing, json!([goto(&page)])]).inventory(inventory).finish();
    assert!(finished.agents.iter().all(Result::is_ok), "{:?}", finished.agents);
    let error = finished.jobs[1].error.as_ref().unwrap_or_else(|| panic!("{:?}", finished.jobs[1].result));
    assert!(error.message.contains("`berlin` has could not be looked up: it cannot be reached"), "{error:?}");
}

/// A run of cases about traffic, where a rule or modifier is asked about most of it.
fn traffic_run(site: &Site, cases: &[String]) -> TestRun {
    let asked = json!(["**/echo*", "**/compressed*", "**/attachment*"]);
    let config = json!({
        "rules": [
            {"urls": ["**rule=block"], "block": true},
            {"urls": ["**rule=redirect"], "redirect": format!("{}/plain.html", site.url())},
            {"urls": ["**rule=respond"], "respond": {
                "status": 203, "headers": {"content-type": "text/x-rule"}, "body": "by rule",
            }},
            {"urls": ["**rule=headers"],
             "request_headers": {"x-rule": "request", "referer": null},
             "response_headers": {"x-rule": "response", "content-type": null}},
        ],
        "modifiers": [{"name": "changes", "urls": asked, "bodies": asked}, {"name": "second", "urls": ["**/echo*"]}],
        "record_har": 2,
    });
    let secret = Secret { value: Hidden(SECRET.to_owned()), origins: vec![site.url()] };
    run_of("traffic", cases, &json!({"site": site.url()}))
        .sandbox(json!({
            "capabilities": ["browser", "monitoring", "proxy", "secrets", "http"],
            "allowed_hosts": ["127.0.0.1:*", "localhost:*"],
            "secrets": ["password"],
            "limits": {"traffic_body_bytes": 100_000, "seconds_per_modification": 2},
        }))
        .inventory(Inventory { secrets: [("password".to_owned(), secret)].into(), ..Inventory::default() })
        .agent_message(json!({"config_proxy": config}))
}

const SECRET: &str = "p@ss w\"rd more";

/// What a job has recorded of its traffic.
fn recording(finished: &Finished, index: usize) -> String {
    let artifact = finished.jobs[index].artifacts.iter().find(|artifact| artifact.name == "traffic.har");
    let artifact = artifact.unwrap_or_else(|| panic!("{:#?}", finished.jobs[index]));
    let path = finished.artifacts.path().join(format!("job-{index}")).join(&artifact.name);
    std::fs::read_to_string(path).unwrap()
}

/// Every case of what is done to traffic and seen of it.
pub(crate) fn every_case_of_traffic_passes() {
    let (site, cases) = (Site::start(), cases_of("traffic"));
    let finished = traffic_run(&site, &cases).finish();
    assert_eq!(failures(&cases, &finished), "");
    let index = |case: &str| cases.iter().position(|other| other == case).unwrap();
    let failed =
        events(&finished.jobs[index("a_modifier_that_fails_fails_the_request")], EventLevel::Warning).join("\n");
    for told in [
        "/echo: the modifier `changes`: it does not like that",
        "the modifier `changes`: trapped",
        "run_message.sandbox.limits.seconds_per_modification",
        "no http or https URL",
        "it has more than 512 headers",
        "the value of the header `x-bad` has characters that no header may have",
    ] {
        assert!(failed.contains(told), "{told} is not in\n{failed}");
    }
    // One that computes without end is told of the same limit as one that waits.
    assert!(!failed.contains("cpu_seconds_per_job"), "{failed}");
    let told = events(&finished.jobs[index("secrets_are_not_seen")], EventLevel::Warning).join("\n");
    assert!(told.contains("which a modifier cannot change") && told.contains("is not redirected to another"), "{told}");
    let finished_with = format!("{:?}{:?}", finished.changes, finished.jobs);
    assert!(!finished_with.contains("p@ss"), "{finished_with}");
    for index in 0..cases.len() {
        let recording = recording(&finished, index);
        assert!(!recording.contains("p@ss") && !recording.contains("p%40ss"), "{recording}");
    }
    let recorded: Value = serde_json::from_str(&recording(&finished, index("secrets_are_not_seen"))).unwrap();
    let entries = recorded["log"]["entries"].as_array().unwrap();
    let sent = entries.iter().find(|entry| entry["request"]["method"] == "POST").unwrap();
    assert_eq!(sent["request"]["postData"]["text"], "is [secret password]");
    let headers = sent["request"]["headers"].as_array().unwrap();
    let value = |name: &str| &headers.iter().find(|header| header["name"] == name).unwrap()["value"];
    assert_eq!((value("authorization"), value("x-modified")), (&json!("[redacted]"), &json!("1")));
    assert_eq!(sent["response"]["status"], 200);
    let nested = entries.iter().find(|entry| entry["request"]["url"].as_str().unwrap().contains("&json=")).unwrap();
    assert!(nested["request"]["postData"]["text"].as_str().unwrap().contains("[secret password]"), "{nested}");
    assert!(nested["request"]["queryString"].to_string().contains("[secret password]"), "{nested}");
}

#[test]
fn traffic_is_changed_by_rules_and_modifiers_and_seen_by_watches() {
    every_case_of_traffic_passes();
}

#[test]
fn a_modifier_that_there_is_not_fails_what_it_was_to_see() {
    let site = Site::start();
    let run = run_of("traffic", &["a_modifier_answers_and_blocks".to_owned()], &json!({"site": site.url()}));
    let config = json!({"modifiers": [{"name": "nobody", "urls": ["**/plain.html"]}]});
    let finished = run.agent_message(json!({"config_proxy": config})).finish();
    let warnings = events(&finished.jobs[0], EventLevel::Warning).join("\n");
    let told = "/plain.html: the modifier `nobody`: `armada::project!` names no modifier \"nobody\"";
    assert!(warnings.contains(told), "{warnings} {:?}", finished.jobs[0].error);
    assert!(finished.jobs[0].error.is_some());
}

#[test]
fn what_is_done_to_traffic_needs_both_keys() {
    let site = Site::start();
    let case = ["rules_block_redirect_answer_and_change_headers".to_owned()];
    let without = json!({"capabilities": ["browser"], "allowed_hosts": ["127.0.0.1:*"]});
    let told = failure(traffic_run(&site, &case).sandbox(without.clone()).finish());
    assert!(
        told.contains("config_proxy.rules is there, which needs the capability `proxy`")
            && told.contains("add \"proxy\" to run_message.sandbox.capabilities in config/config_template.json"),
        "{told}"
    );
    let told = failure(traffic_run(&site, &case).ceiling(json!({"capabilities": ["browser"]})).finish());
    assert!(told.contains("the operator's ceiling"), "{told}");
    let watch = TestRun::of(component("traffic"))
        .jobs([json!({"site": site.url(), "case": "a_watch_that_is_dropped_sees_nothing"})])
        .sandbox(without)
        .finish();
    let error = watch.jobs[0].error.as_ref().unwrap();
    assert!(error.message.contains("the capability `proxy` is not allowed"), "{error:?}");
}

#[test]
fn a_mistake_in_an_agents_traffic_is_told_when_the_agent_starts() {
    for (config, told) in [
        (json!({"rules": [{"urls": ["re=("], "block": true}]}), "config_proxy.rules[0].urls[0]"),
        (json!({"modifiers": [{"name": "changes", "bodies": ["re=["]}]}), "config_proxy.modifiers[0].bodies[0]"),
        (json!({"rules": [{"request_headers": {"host": "x"}}]}), "`host` is not to be changed"),
    ] {
        let run = TestRun::of(component("traffic")).agent_message(json!({"config_proxy": config})).jobs([json!({})]);
        let failure = failure(run.finish());
        assert!(failure.contains(told), "{failure}");
    }
}
