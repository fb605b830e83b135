//! The browser, function by function, from inside a script: each guest of `tests/guests/browser` is a list of cases.

use armada_protocol::Status;
use armada_tests::guests::component;
use armada_tests::run::TestRun;
use armada_tests::site::Site;
use serde_json::json;

/// Runs every case of a guest as a job, in two agents, and tells which have failed.
fn all_cases_pass(guest: &str, site: &Site) {
    let component = component(guest);
    let listed = TestRun::of(component.clone()).finish();
    let cases: Vec<String> = serde_json::from_str(listed.jobs[0].result.as_ref().unwrap().get()).unwrap();
    assert!(!cases.is_empty(), "{guest} has no cases");
    let jobs = cases.iter().map(|case| json!({"case": case, "site": site.url()}));
    let finished = TestRun::of(component).jobs(jobs).agents(2).finish();
    let failed: Vec<String> = cases
        .iter()
        .zip(&finished.jobs)
        .filter(|(_, job)| job.status != Status::Success)
        .map(|(case, job)| format!("{case}: {:#?}\nlog: {:?}", job.error, job.log))
        .collect();
    assert!(failed.is_empty(), "{} of {} cases failed:\n{}", failed.len(), cases.len(), failed.join("\n"));
    assert_eq!(finished.jobs.len(), cases.len());
}

#[test]
fn pages_navigate() {
    all_cases_pass("navigation", &Site::start());
}
