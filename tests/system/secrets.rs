//! Secrets: typed into pages of their origins, hidden from scripts, and revealed by a grant of its own.

use armada_protocol::Hidden;
use armada_protocol::inventory::Secret;
use armada_protocol::{Inventory, Status};
use armada_tests::command::project;
use armada_tests::guests::{built, component};
use armada_tests::run::{Finished, TestRun};
use armada_tests::site::Site;
use serde_json::{Value, json};

/// The secret, with what is written in many ways.
const PASSWORD: &str = "p@ss \"wörd\" & <more>";

fn inventory(site: &Site) -> Inventory {
    let secret = |value: &str| Secret { value: Hidden(value.to_owned()), origins: vec![site.url()] };
    let secrets = [("password".to_owned(), secret(PASSWORD)), ("shown".to_owned(), secret("for all to see"))].into();
    Inventory { secrets, ..Inventory::default() }
}

fn sandbox() -> Value {
    json!({
        "capabilities": ["browser", "monitoring", "secrets"],
        "allowed_hosts": ["127.0.0.1:*", "localhost:*"],
        "secrets": ["password"],
        "revealed_secrets": ["shown", "missing"],
    })
}

fn message(site: &Site) -> Value {
    json!({"site": site.url(), "backwards": PASSWORD.chars().rev().collect::<String>()})
}

/// Nothing of a run has the secret as it is.
fn passed(finished: &Finished) {
    assert!(finished.agents.iter().all(Result::is_ok), "{:?}", finished.agents);
    let failed: Vec<_> = finished.jobs.iter().filter(|job| job.status != Status::Success).collect();
    assert!(failed.is_empty() && !finished.jobs.is_empty(), "{failed:#?}");
    let told = format!("{:?}{:?}", finished.changes, finished.jobs);
    assert!(!told.contains("p@ss"), "{told}");
}

/// Every case, on a site that the secret is bound to.
pub(crate) fn every_case_passes() {
    let listed = TestRun::of(component("secrets")).finish();
    let cases: Vec<String> = serde_json::from_str(listed.jobs[0].result.as_ref().unwrap().get()).unwrap();
    let site = Site::start();
    let jobs = cases.iter().filter(|case| *case != "what_is_not_granted_is_denied").map(|case| {
        let mut message = message(&site);
        message["case"] = case.as_str().into();
        message
    });
    passed(&TestRun::of(component("secrets")).sandbox(sandbox()).inventory(inventory(&site)).jobs(jobs).finish());
}

#[test]
fn secrets_are_typed_where_they_may_go_and_seen_by_no_script() {
    every_case_passes();
}

#[test]
fn both_keys_are_needed_for_the_capability_and_for_each_secret() {
    let site = Site::start();
    let denied = |without: &str, ceiling: Value, expected: &str| {
        let mut sandbox = sandbox();
        match without {
            "capability" => sandbox["capabilities"] = json!(["browser"]),
            "name" => sandbox["secrets"] = json!([]),
            _ => {}
        }
        let mut message = message(&site);
        message["case"] = "what_is_not_granted_is_denied".into();
        message["expected"] = expected.into();
        let run = TestRun::of(component("secrets")).sandbox(sandbox).ceiling(ceiling).inventory(inventory(&site));
        passed(&run.jobs([message]).finish());
    };
    denied("capability", json!({}), "add \"secrets\" to run_message.sandbox.capabilities");
    denied("name", json!({}), "add \"password\" to run_message.sandbox.secrets");
    denied("", json!({"capabilities": ["browser"]}), "the operator's ceiling does not allow it");
    denied("", json!({"secrets": []}), "the operator's ceiling does not allow it");
}

#[test]
fn python_has_secrets_typed() {
    let site = Site::start();
    let run = TestRun::of(built(&project("python_secrets"))).sandbox(sandbox()).inventory(inventory(&site));
    let finished = run.jobs([message(&site)]).finish();
    passed(&finished);
    assert_eq!(finished.jobs[0].result.as_ref().unwrap().get(), "\"[secret password]\"");
}
