//! The browser, function by function, from inside a script: each guest of `tests/guests/browser` is a list of cases, and
//! every function of the contract is called by one of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use armada_protocol::Status;
use armada_tests::calls;
use armada_tests::guests::component;
use armada_tests::run::{Finished, TestRun};
use armada_tests::site::Site;
use serde_json::json;

/// Runs every case of a guest as a job, in two agents.
fn run_cases(guest: &str, site: &Site, adjust: impl Fn(TestRun) -> TestRun) -> (Vec<String>, Finished) {
    let component = component(guest);
    let listed = TestRun::of(component.clone()).finish();
    let cases: Vec<String> = serde_json::from_str(listed.jobs[0].result.as_ref().unwrap().get()).unwrap();
    assert!(!cases.is_empty(), "{guest} has no cases");
    let jobs = cases.iter().map(|case| json!({"case": case, "site": site.url()}));
    let finished = adjust(TestRun::of(component).jobs(jobs).agents(2)).finish();
    assert_eq!(finished.jobs.len(), cases.len());
    (cases, finished)
}

/// Tells which cases have failed, and how.
fn failures((cases, finished): &(Vec<String>, Finished)) -> String {
    let failed: Vec<String> = cases
        .iter()
        .zip(&finished.jobs)
        .filter(|(_, job)| job.status != Status::Success)
        .map(|(case, job)| format!("{case}: {:#?}\nlog: {:?}", job.error, job.log))
        .collect();
    match failed.len() {
        0 => String::new(),
        count => format!("{count} of {} cases failed:\n{}", cases.len(), failed.join("\n")),
    }
}

/// Runs a subject, once in this process, and fails unless all its cases pass.
fn all_cases_pass(guest: &'static str) {
    static RUNS: Mutex<BTreeMap<&str, Arc<OnceLock<String>>>> = Mutex::new(BTreeMap::new());
    let run = RUNS.lock().unwrap_or_else(PoisonError::into_inner).entry(guest).or_default().clone();
    let failed = run.get_or_init(|| failures(&run_cases(guest, &Site::start(), |run| run)));
    assert!(failed.is_empty(), "{guest}: {failed}");
}

macro_rules! subjects {
    ($($test:ident: $guest:literal),* $(,)?) => {
        /// The guests that need nothing but the site.
        const SUBJECTS: &[&str] = &[$($guest),*];

        $(#[test]
        fn $test() {
            all_cases_pass($guest);
        })*
    };
}

subjects! {
    pages_navigate: "navigation",
    selectors_find_elements: "selectors",
    acts_wait_until_the_element_is_ready: "auto_wait",
    acts_are_what_a_person_does: "acts",
    elements_are_read: "reads",
    scripts_run_in_pages: "scripts",
    pictures_are_taken: "pictures",
    dialogs_are_answered: "dialogs",
    popups_are_handed_out: "popups",
    downloads_are_kept: "downloads",
    frames_are_entered: "frames",
    contexts_are_isolated: "contexts_and_storage",
    devices_are_emulated: "emulation",
    requests_are_routed: "requests",
    handles_close_what_they_hold: "handles",
    calls_go_on_together: "concurrency",
}

#[test]
fn every_function_of_the_contract_is_called_by_a_case() {
    calls::record();
    for subject in SUBJECTS {
        all_cases_pass(subject);
    }
    let (called, contract) = (calls::recorded(), calls::contract());
    let unknown: Vec<_> = called.difference(&contract).collect();
    assert!(unknown.is_empty(), "calls that the contract does not have: {unknown:?}");
    let missing: Vec<_> = contract.difference(&called).collect();
    assert!(missing.is_empty(), "functions that no case calls: {missing:?}");
}
