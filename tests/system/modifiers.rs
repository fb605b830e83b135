//! Modifiers in Python: what they do to traffic, and what is said of what their authors get wrong.

use armada_protocol::report::EventLevel;
use armada_tests::command::project;
use armada_tests::guests::built;
use armada_tests::run::TestRun;
use armada_tests::site::Site;
use serde_json::{Value, json};

#[test]
fn watches_and_bodies_are_closed_while_tasks_wait_for_them() {
    let site = Site::start();
    let run = TestRun::of(built(&project("python_modifiers"))).jobs([json!({"site": site.url(), "closes": true})]);
    let finished = run.finish();
    let job = &finished.jobs[0];
    let result = job.result.as_ref().unwrap_or_else(|| panic!("{:?} {:#?}", finished.agents, job.error));
    let told: Value = serde_json::from_str(result.get()).unwrap();
    let (closed, cancelled) = ("ClosedError", "CancelledError");
    let waited = [closed, closed, cancelled, cancelled, closed, closed];
    let rest = [closed, "/plain.html", closed, closed, closed];
    assert_eq!(told, json!([&waited[..], &rest[..]].concat()));
}

/// Has a page make these requests; gives what came of each, and the warnings of the job.
fn asked(paths: &[String]) -> (Vec<Value>, String) {
    let site = Site::start();
    let broken = ["is_no_function", "takes_two", "has_none", "is_missing"];
    let broken = broken.map(|name| json!({"name": format!("addon.{name}"), "urls": [format!("**/echo?{name}")]}));
    let cases = json!({"name": "addon.cases", "urls": ["**/{echo,status}?**"], "bodies": ["**/echo?with_body_**"]});
    let modifiers: Vec<Value> = broken.into_iter().chain([cases]).collect();
    let finished = TestRun::of(built(&project("python_modifiers")))
        .agent_message(json!({"config_proxy": {"modifiers": modifiers}}))
        .jobs([json!({"site": site.url(), "paths": paths})])
        .finish();
    let job = &finished.jobs[0];
    let result = job.result.as_ref().unwrap_or_else(|| panic!("{:?} {:#?}", finished.agents, job.error));
    let warnings = job.events.iter().map(|event| &event.report).filter(|event| event.level == EventLevel::Warning);
    let warnings: Vec<&str> = warnings.map(|event| event.content.as_str()).collect();
    (serde_json::from_str(result.get()).unwrap(), warnings.join("\n"))
}

/// What the server saw of a request.
fn seen(answer: &Value) -> Value {
    serde_json::from_str(answer["text"].as_str().unwrap_or_else(|| panic!("{answer}"))).unwrap()
}

/// What is seen of a request that a modifier lets go on, or answers.
fn what_is_done(case: &str, answer: &Value) {
    let server_saw = |pointer: &str| seen(answer).pointer(pointer).cloned().unwrap_or_default();
    let is_denied = |capability: &str| {
        let told = answer["text"].as_str().unwrap();
        assert!(told.contains(&format!("a modifier cannot use the capability `{capability}`")), "{told}");
    };
    match case {
        "nothing" => assert_eq!((&answer["status"], server_saw("/method")), (&json!(200), json!("POST"))),
        "responds" => {
            let told = (&answer["status"], &answer["text"], &answer["headers"]["x-from"]);
            assert_eq!(told, (&json!(201), &json!("{\"price\": 8}"), &json!("a modifier")));
            assert_eq!(answer["headers"]["content-type"], "application/json");
        }
        "waits" => assert_eq!(server_saw("/headers/x-waited"), "yes"),
        "moves" => assert_eq!((server_saw("/method"), server_saw("/query/moved")), (json!("PUT"), json!("1"))),
        "with_body_changes" => assert_eq!(server_saw("/body"), "{\"price\": 8}"),
        "sees_no_body" => assert_eq!(seen(answer), json!({"body": null, "text": null})),
        "counts" => assert_eq!(server_saw("/headers/x-asked"), "1"),
        "is_given_up" => assert!(answer["failed"].as_str().unwrap().starts_with("TimeoutError"), "{answer}"),
        "counts&again" => assert_eq!(server_saw("/headers/x-asked"), "2", "a module keeps what it has"),
        "sees_the_script" => assert_eq!(answer["text"], "false", "it has an instance of its own"),
        "has_plain_headers" => {
            assert_eq!((server_saw("/headers/x-one"), server_saw("/headers/user-agent")), (json!("1"), Value::Null));
        }
        "adds_headers" => {
            assert_eq!(answer["headers"]["x-two"], "a, b");
            let cookies = answer["cookies"].as_str().unwrap();
            assert!(cookies.contains("one=1") && cookies.contains("two=2"), "{cookies}");
        }
        "keeps_an_odd_status" => {
            assert_eq!((&answer["status"], &answer["headers"]["x-status"]), (&json!(999), &json!("999")));
        }
        "opens_a_page" => is_denied("browser"),
        "makes_a_request" => is_denied("http"),
        _ => panic!("{case} has no outcome"),
    }
}

#[test]
fn modifiers_in_python_do_what_they_say() {
    let cases = [
        "nothing",
        "responds",
        "waits",
        "moves",
        "with_body_changes",
        "sees_no_body",
        "counts",
        "is_given_up",
        "counts&again",
        "sees_the_script",
        "has_plain_headers",
        "adds_headers",
        "keeps_an_odd_status",
        "opens_a_page",
        "makes_a_request",
    ];
    // What is said of each that fails, in words of its author's, and the statement that is named.
    let wrong = [
        ("raises", "the modifier `addon.cases`: KeyError: 'raises'", "request.headers[\"x-price\"] ="),
        ("returns_a_value", "`modify_request` of the module `addon.cases` has returned something (Request)", ""),
        ("reads_no_body", "there is no body to read: is the URL among the `bodies`", ""),
        (
            "has_a_number_as_header",
            "TypeError: the header `x-retries` must be a str, not int: write '3'",
            "request.headers[\"x-retries\"] = number",
        ),
        ("has_headers_of_no_kind", "headers must be a dict such as {\"x-test\": \"1\"}, or a list of pairs", ""),
        ("has_no_text", "`text` must be a str, not None: \"\" empties the body", "request.text = text"),
        ("misspells", "'Request' object has no attribute 'header'", ""),
        ("has_a_text_as_status", "`status` must be an int such as 404, not str", "response.status = status"),
        (
            "is_no_function",
            "`modify_request` of the module `addon.is_no_function` must be a function of the request, not str",
            "",
        ),
        (
            "takes_two",
            "`modify_response` of the module `addon.takes_two` must take one argument, the response, whose `request` is \
             the request (addon/takes_two.py:6)",
            "",
        ),
        ("has_none", "the module `addon.has_none` has neither `modify_request(request)` nor", ""),
        ("is_missing", "the project has no module `addon.is_missing`, which config_proxy.modifiers names", ""),
    ];
    let named = cases.into_iter().chain(["blocks"]).chain(wrong.iter().map(|(case, ..)| *case));
    let path = |case: &str| match case {
        "keeps_an_odd_status" => format!("/status?{case}&code=999"),
        _ => format!("/echo?{case}"),
    };
    let paths: Vec<String> = named.map(path).collect();
    let (told, warnings) = asked(&paths);
    assert_eq!(told.len(), paths.len());
    for (case, answer) in cases.iter().zip(&told) {
        what_is_done(case, answer);
    }
    let failed = json!("TypeError: Failed to fetch");
    for (path, answer) in paths.iter().zip(&told).skip(cases.len()) {
        assert_eq!(answer["failed"], failed, "{path}: {answer}");
    }
    assert_eq!(told[cases.len()]["failure"], "the modifier `addon.cases`: not today");
    let source = std::fs::read_to_string(project("python_modifiers").join("addon/cases.py")).unwrap();
    for (case, said, statement) in wrong {
        assert!(warnings.contains(said), "{case}: {said}\nis not in\n{warnings}");
        let line = source.lines().position(|line| line.contains(statement)).unwrap() + 1;
        let place = format!("\naddon/cases.py:{line} in {case}: {statement}");
        assert!(statement.is_empty() || warnings.contains(&place), "{case}: {place}\nis not in\n{warnings}");
    }
    assert!(!warnings.contains("not today"), "who blocks a request knows: {warnings}");
}
