//! The browser, function by function, from inside a script: each guest of `tests/guests/browser` is a list of cases,
//! and every function of the contract is called by one of them.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use armada_project::Capability;
use armada_protocol::JobRecord;
use armada_tests::answers::answers;
use armada_tests::calls;
use armada_tests::cases::{all_cases_pass, cases_of, failures, run_of};
use armada_tests::command::{Running, project};
use armada_tests::processes::{self, Process};
use armada_tests::run::Finished;
use armada_tests::site::{Forbidden, Site};
use axum::routing::get;
use serde_json::{Value, json};

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
    traffic_leaves_directly: "direct",
}

#[test]
fn certificates_are_checked_unless_a_context_says_otherwise() {
    let (cases, site) = (cases_of("certificates"), Site::start_with_unknown_certificate());
    assert_eq!(failures(&cases, &run_of("certificates", &cases, &json!({"site": site.url()})).finish()), "");
}

#[test]
fn pages_crash_and_hang_alone() {
    let cases = cases_of("crashes");
    let folder = Arc::new(OnceLock::<PathBuf>::new());
    let known = folder.clone();
    let stopped = folder.clone();
    let killing = move || {
        kill_renderers(known.get().unwrap());
        std::future::ready(())
    };
    let stopping = move || {
        for browser in browsers_in(stopped.get().unwrap()) {
            processes::signal(browser.id, "STOP");
        }
        std::future::ready(())
    };
    let site = Site::serve(answers().route("/kill", get(killing)).route("/stop", get(stopping)));
    let run = run_of("crashes", &cases, &json!({"site": site.url()})).limits(json!({"seconds_per_call": 3}));
    folder.set(run.temp().to_owned()).unwrap();
    let finished = run.finish();
    assert_eq!(failures(&cases, &finished), "");
    let ended = |job: &&JobRecord| job.events.iter().any(|event| event.report.content.contains("it was ended"));
    assert_eq!(finished.jobs.iter().filter(ended).count(), 1);
}

/// Kills the processes that show the pages of the browsers in a folder.
fn kill_renderers(folder: &Path) {
    for browser in browsers_in(folder) {
        let children = processes::descendants(browser.id).into_iter();
        for renderer in children.filter(|process| process.command.iter().any(|part| part.contains("--type=renderer"))) {
            processes::signal(renderer.id, "KILL");
        }
    }
}

/// The first processes of the browsers in a folder.
fn browsers_in(folder: &Path) -> Vec<Process> {
    let folder = folder.display().to_string();
    let ours = |process: &Process| process.is_chromium() && process.command.iter().any(|part| part.contains(&folder));
    processes::all().into_iter().filter(ours).collect()
}

#[test]
fn nothing_reaches_a_server_that_is_not_allowed() {
    let site = Site::start();
    nothing_is_reached_but(&site, &site.host());
}

#[test]
fn nothing_reaches_another_port_than_the_one_that_is_allowed_of_every_host() {
    let site = Site::start();
    let host = site.host();
    let (_, port) = host.rsplit_once(':').unwrap();
    nothing_is_reached_but(&site, &format!("*:{port}"));
}

/// What is told to every way out: where not to go, and how else that can be written.
fn ways_out(site: &Site, forbidden: &Forbidden, needed: &str) -> Value {
    let port = forbidden.port();
    let names = ["localhost", "2130706433", "0x7f.1", "0177.0.0.1", "127.1", "0.0.0.0", "[::ffff:127.0.0.1]", "[::1]"];
    let mut names: Vec<String> = names.iter().map(|name| format!("http://{name}:{port}/")).collect();
    names.extend([
        "http://169.254.169.254/".to_owned(),
        "http://[::ffff:a9fe:a9fe]/".to_owned(),
        "http://10.0.0.1/".to_owned(),
    ]);
    json!({"site": site.url(), "forbidden": forbidden.url(), "needed": needed, "other_names": names})
}

/// Runs every way of reaching a server while only this host is allowed.
fn nothing_is_reached_but(site: &Site, allowed: &str) {
    let (cases, forbidden) = (cases_of("egress"), Forbidden::start());
    let fields = ways_out(site, &forbidden, "allowed_hosts");
    let finished = run_of("egress", &cases, &fields).allowed_hosts(&[allowed]).agents(2).finish();
    assert_eq!(failures(&cases, &finished), "");
    assert_eq!(forbidden.arrivals(), 0);
    every_case_is_told(&cases, &finished, &forbidden, "allowed_hosts");
}

#[test]
fn nothing_reaches_a_private_host_that_the_operator_has_not_named() {
    let (site, cases, forbidden) = (Site::start(), cases_of("egress"), Forbidden::start());
    let fields = ways_out(&site, &forbidden, "--private-host");
    let run = run_of("egress", &cases, &fields).allowed_hosts(&["*"]).private_hosts(&site.host()).agents(2);
    let finished = run.finish();
    assert_eq!(failures(&cases, &finished), "");
    assert_eq!(forbidden.arrivals(), 0);
    every_case_is_told(&cases, &finished, &forbidden, "--private-host");
}

/// Fails unless each job has an event that names the server, and what would allow it.
fn every_case_is_told(cases: &[String], finished: &Finished, forbidden: &Forbidden, needed: &str) {
    let host = forbidden.url().replace("http://", "").replace('/', "");
    // What the script itself is told is no event, and some ways end before they come to the proxy.
    let silent = ["navigation", "other_names", "other_schemes", "web_transport"];
    for (case, job) in cases.iter().zip(&finished.jobs).filter(|(case, _)| !silent.contains(&case.as_str())) {
        let is_told = |content: &str| content.contains(&host) && content.contains(needed);
        let told = job.events.iter().any(|event| is_told(&event.report.content));
        assert!(told, "{case} does not say what would allow it: {:#?}", job.events);
    }
}

#[test]
fn nothing_is_reached_from_agents_that_are_processes() {
    let (site, cases, forbidden) = (Site::start(), cases_of("egress"), Forbidden::start());
    let fields = ways_out(&site, &forbidden, "--private-host");
    let mut sets = vec![format!("CASES={}", json!(cases))];
    for (name, value) in fields.as_object().unwrap() {
        sets.push(format!("{}={value}", name.to_uppercase()));
    }
    let jobs = cases.len().to_string();
    let mut arguments = vec!["--jobs", &jobs, "--agents", "2"];
    arguments.extend(sets.iter().flat_map(|set| ["--set", set]));
    let host = site.host();
    let running = Running::start_with(&project("egress"), &arguments, &[("ARMADA_PRIVATE_HOSTS", &host)]);
    let ended = running.finish();
    let failed: Vec<_> = ended.results.iter().filter(|result| result["status"] != "Success").collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert_eq!((ended.code, ended.results.len(), ended.temporary_files), (Some(0), cases.len(), 0));
    assert_eq!(forbidden.arrivals(), 0);
}

#[test]
fn every_function_of_the_contract_is_called_by_a_case() {
    SUBJECTS.iter().for_each(|subject| all_cases_pass(subject));
    crate::secrets::every_case_passes();
    let called = calls::recorded();
    let everything: Vec<&str> = Capability::ALL.iter().map(|capability| capability.name()).chain(["tasks"]).collect();
    let unknown: Vec<_> = called.difference(&calls::contract(&everything)).cloned().collect();
    assert!(unknown.is_empty(), "calls that the contract does not have: {unknown:?}");
    let contract = calls::contract(&["browser", "monitoring", "tasks"]);
    let missing: Vec<_> = contract.difference(&called).collect();
    assert!(missing.is_empty(), "functions that no case calls: {missing:?}");
}
