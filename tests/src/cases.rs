//! Guests that are lists of cases, as `tests/guests/src/lib.rs` describes them: each case is a job of its own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use armada_protocol::Status;
use serde_json::{Value, json};

use crate::calls;
use crate::guests::component;
use crate::run::{Finished, TestRun};
use crate::site::Site;

/// The cases of a guest.
///
/// # Panics
///
/// When there are none.
pub fn cases_of(guest: &str) -> Vec<String> {
    let listed = TestRun::of(component(guest)).finish();
    let cases: Vec<String> = serde_json::from_str(listed.jobs[0].result.as_ref().unwrap().get()).unwrap();
    assert!(!cases.is_empty(), "{guest} has no cases");
    cases
}

/// A run of these cases, each as a job whose message has these fields.
pub fn run_of(guest: &str, cases: &[String], fields: &Value) -> TestRun {
    TestRun::of(component(guest)).jobs(cases.iter().map(|case| {
        let mut message = fields.clone();
        message["case"] = case.as_str().into();
        message
    }))
}

/// Tells which cases have failed, and how; nothing when none has.
///
/// # Panics
///
/// When they are not the cases of this run.
pub fn failures(cases: &[String], finished: &Finished) -> String {
    assert_eq!(cases.len(), finished.jobs.len());
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

/// Runs a guest that needs nothing but the site, once in this process.
///
/// # Panics
///
/// Unless all its cases pass.
pub fn all_cases_pass(guest: &'static str) {
    all_cases_pass_in(guest, |run| run.agents(2));
}

/// The same in a run that is changed first.
///
/// # Panics
///
/// Unless all its cases pass.
pub fn all_cases_pass_in(guest: &'static str, change: impl FnOnce(TestRun) -> TestRun) {
    static RUNS: Mutex<BTreeMap<&str, Arc<OnceLock<String>>>> = Mutex::new(BTreeMap::new());
    let run = RUNS.lock().unwrap_or_else(PoisonError::into_inner).entry(guest).or_default().clone();
    let failed = run.get_or_init(|| {
        calls::record();
        let (cases, site) = (cases_of(guest), Site::start());
        failures(&cases, &change(run_of(guest, &cases, &json!({"site": site.url()}))).finish())
    });
    assert!(failed.is_empty(), "{guest}: {failed}");
}
