//! A script's own requests: each case of the guest `http` is a job, and makes them to a real server.

use armada_tests::cases::{all_cases_pass_in, run_of};
use armada_tests::run::TestRun;
use armada_tests::site::Site;
use serde_json::json;

/// How the only job of a run failed.
fn failure(run: TestRun) -> String {
    let finished = run.finish();
    let error = finished.jobs[0].error.as_ref();
    error.map(|error| error.message.clone()).unwrap_or_else(|| panic!("{:?} has not failed", finished.jobs[0]))
}

/// A run whose only job gets a page of this site.
fn getting_a_page(site: &Site) -> TestRun {
    run_of("http", &["a_page_is_got".to_owned()], &json!({"site": site.url()}))
}

#[test]
pub(crate) fn scripts_make_requests_of_their_own() {
    let limits = json!({"http_requests_at_once": 4, "http_response_bytes": 1_000_000, "seconds_per_call": 3});
    let hosts = ["127.0.0.1:*", "localhost:*", "127.0.0.3:*"];
    all_cases_pass_in("http", |run| run.limits(limits).allowed_hosts(&hosts).agents(2));
}

#[test]
fn libraries_make_requests_by_wasi_http() {
    let limits = json!({"http_requests_at_once": 2, "http_response_bytes": 1_000_000, "seconds_per_call": 2});
    all_cases_pass_in("wasi_http", |run| run.limits(limits).agents(2));
}

#[test]
fn requests_by_wasi_http_need_the_same_grant_and_the_job_says_so() {
    let site = Site::start();
    let case = "what_is_not_allowed_is_denied";
    let run = run_of("wasi_http", &[case.to_owned()], &json!({"site": site.url()}));
    let finished = run.sandbox(json!({"capabilities": [], "allowed_hosts": [site.host(), "127.0.0.2:*"]})).finish();
    let events: Vec<_> = finished.jobs[0].events.iter().map(|event| &event.report.content).collect();
    assert!(events.iter().any(|told| told.contains("add \"http\" to run_message.sandbox.capabilities")), "{events:?}");
}

#[test]
fn requests_need_both_keys() {
    let site = Site::start();
    let sandbox = json!({"capabilities": ["browser"], "allowed_hosts": [site.host()]});
    assert_eq!(
        failure(getting_a_page(&site).sandbox(sandbox)),
        "denied: the capability `http` is not allowed: add \"http\" to run_message.sandbox.capabilities in \
         config/config_template.json"
    );
    let capped = failure(getting_a_page(&site).ceiling(json!({"capabilities": ["browser"]})));
    assert!(capped.contains("the capability `http`") && capped.contains("the operator's ceiling"), "{capped}");
}

#[test]
fn the_certificate_of_a_server_is_checked() {
    let failure = failure(getting_a_page(&Site::start_with_unknown_certificate()));
    assert!(failure.starts_with("unavailable: 127.0.0.1:"), "{failure}");
    assert!(failure.contains(": its certificate is not valid: "), "{failure}");
}
