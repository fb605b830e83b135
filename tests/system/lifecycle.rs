//! The life of agents and jobs: contexts, attempts, endings, and what is left when something is killed.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use armada_protocol::{AgentState, Cause, Change, JobRecord, Status};
use armada_tests::command::{Running, armada_for, finish, project};
use armada_tests::guests::built;
use armada_tests::processes::{assert_gone, signal, wait_for};
use armada_tests::run::{Finished, TestRun};
use armada_tests::site::Site;
use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use serde_json::{Value, json};

/// The component of `tests/projects/lifecycle`.
fn component() -> Vec<u8> {
    static BUILT: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    BUILT.get_or_init(|| built(&project("lifecycle"))).clone()
}

fn run(kinds: &[&str]) -> TestRun {
    TestRun::of(component()).jobs(kinds.iter().map(|kind| json!({"kind": kind})))
}

fn result(job: &JobRecord) -> Value {
    assert_eq!(job.status, Status::Success, "{:#?}", job.error);
    serde_json::from_str(job.result.as_ref().unwrap().get()).unwrap()
}

fn cause(job: &JobRecord) -> (Cause, &str) {
    let error = job.error.as_ref().unwrap();
    (error.cause, &error.message)
}

/// A site that notes what it is told at `/tell/<what>`.
fn listening_site() -> (Site, Arc<Mutex<Vec<String>>>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = {
        let told = told.clone();
        move |Path(what): Path<String>| async move {
            told.lock().unwrap().push(what);
            "noted"
        }
    };
    (Site::serve(Router::new().route("/tell/{what}", get(tell))), told)
}

fn opened(finished: &Finished) -> usize {
    let opened = |change: &&Change| matches!(change, Change::Agent { state: AgentState::Open, .. });
    finished.changes.iter().filter(opened).count()
}

#[test]
fn the_agent_context_lives_as_long_as_the_agent_and_the_job_context_as_long_as_the_job() {
    let (site, told) = listening_site();
    let finished = run(&["quick", "prints", "quick"]).agent_message(json!({"site": site.url()})).finish();
    let seen: Vec<Value> = finished.jobs.iter().map(|job| result(job)["jobs_seen"].clone()).collect();
    assert_eq!(seen, [1, 2, 3]);
    assert_eq!(*told.lock().unwrap(), ["opened", "closed"]);
    let log: Vec<&str> = finished.jobs[1].log.iter().map(|line| line.report.text.as_str()).collect();
    let lines =
        ["job context opened", "to standard output", "to standard error", "job context closed", "without an end"];
    assert_eq!(log, lines);
}

#[test]
fn a_fresh_instance_per_job_has_an_agent_context_per_job() {
    let (site, told) = listening_site();
    let run = run(&["quick", "quick"]).agent_message(json!({"site": site.url()}));
    let finished = run.limits(json!({"fresh_instance_per_job": true})).finish();
    let seen: Vec<Value> = finished.jobs.iter().map(|job| result(job)["jobs_seen"].clone()).collect();
    assert_eq!(seen, [1, 1]);
    // None is opened for a job that does not come.
    assert_eq!(*told.lock().unwrap(), ["opened", "closed", "opened", "closed"]);
}

#[test]
fn a_failure_is_recorded_with_its_places_and_the_agent_goes_on() {
    let finished = run(&["fail", "parse", "quick"]).finish();
    assert_eq!(cause(&finished.jobs[0]), (Cause::Failed, "the page has no price"));
    let traceback = &finished.jobs[0].error.as_ref().unwrap().traceback;
    assert!(traceback[0].starts_with("ctx_script.rs:"), "{traceback:?}");
    assert_eq!(cause(&finished.jobs[1]), (Cause::Failed, "while reading the price: invalid digit found in string"));
    assert_eq!(result(&finished.jobs[2])["jobs_seen"], 3);
    assert_eq!(opened(&finished), 1);
}

#[test]
fn a_retry_gets_more_attempts_up_to_the_limit_and_the_last_outcome_stands() {
    let finished = run(&["retry", "retry_once", "fail"]).limits(json!({"attempts_per_job": 3})).finish();
    let attempts: Vec<u32> = finished.jobs.iter().map(|job| job.attempts).collect();
    assert_eq!(attempts, [3, 2, 1]);
    assert_eq!(cause(&finished.jobs[0]), (Cause::Retry, "not yet"));
    assert_eq!(result(&finished.jobs[1])["attempt"], 2);
}

#[test]
fn a_fault_costs_the_job_and_the_agent_context_is_opened_again() {
    let finished = run(&["quick", "panic_once", "quick"]).finish();
    assert_eq!(cause(&finished.jobs[1]).0, Cause::Trap);
    assert_eq!(finished.jobs[1].attempts, 1);
    assert_eq!(result(&finished.jobs[2])["jobs_seen"], 1);
    assert_eq!(opened(&finished), 2);
}

#[test]
fn the_script_ends_the_job_even_when_its_context_does_not_close() {
    let jobs = [
        json!({"kind": "quick", "close_job": "fail"}),
        json!({"kind": "fail", "close_job": "fail"}),
        json!({"open_job": "fail"}),
    ];
    let finished = TestRun::of(component()).jobs(jobs).finish();
    assert_eq!(cause(&finished.jobs[0]), (Cause::Failed, "the job context does not close"));
    assert_eq!(cause(&finished.jobs[1]), (Cause::Failed, "the page has no price"));
    assert_eq!(cause(&finished.jobs[2]), (Cause::Failed, "the job context does not open"));
}

#[test]
fn an_agent_context_has_its_own_time_to_open() {
    let run = run(&["quick"]).agent_message(json!({"open": "wait"})).limits(json!({"seconds_per_context": 0.5}));
    let error = run.finish().agents.remove(0).unwrap_err().to_string();
    assert!(error.contains("longer than 0.5 s (run_message.sandbox.limits.seconds_per_context)"), "{error}");
}

#[test]
fn the_browser_is_recycled_with_the_agent_context_after_its_number_of_jobs() {
    let (site, told) = listening_site();
    let message = json!({"site": site.url(), "config_fantomas": {"config_browser": {"jobs_per_browser": 2}}});
    let finished = run(&["quick"; 5]).agent_message(message).finish();
    assert!(finished.jobs.iter().all(|job| job.status == Status::Success));
    assert_eq!(told.lock().unwrap().iter().filter(|what| *what == "opened").count(), 3);
}

/// Every job ended once, and nothing is left of the run.
fn assert_each_ended_once(results: &[Value], jobs: usize) {
    let indexes: Vec<_> = results.iter().map(|result| result["index"].as_u64().unwrap()).collect();
    assert_eq!(indexes, (0..jobs as u64).collect::<Vec<_>>());
}

#[test]
fn a_script_that_gives_its_agent_up_gets_another_agent() {
    let run = Running::start("lifecycle", &["quick", "fatal_once", "quick"], &[]);
    let ended = run.finish();
    assert_eq!(ended.code, Some(0), "{:#?}", ended.told);
    assert_each_ended_once(&ended.results, 3);
    assert_eq!((&ended.results[1]["attempts"], &ended.results[1]["status"]), (&json!(2), &json!("Success")));
}

#[test]
fn a_killed_chromium_gives_the_job_another_attempt() {
    let mut run = Running::start("lifecycle", &["wait_once", "quick"], &[]);
    run.until_ready(1);
    let before = run.processes();
    let chromium = before.iter().find(|process| process.is_chromium()).expect("a Chromium");
    signal(chromium.id, "KILL");
    let ended = run.finish();
    assert_eq!(ended.code, Some(0), "{:#?}", ended.told);
    assert_each_ended_once(&ended.results, 2);
    assert_eq!(ended.results[0]["attempts"], 2);
    assert_eq!(ended.results[0]["result"]["jobs_seen"], 1, "the agent context is opened again");
    assert_gone(&before);
}

#[test]
fn a_killed_agent_gives_the_job_another_attempt() {
    let mut run = Running::start("lifecycle", &["wait_once", "quick", "wait_once", "quick"], &["--agents", "2"]);
    run.until_ready(2);
    let before = run.processes();
    let agents: Vec<_> = before.iter().filter(|process| process.is_agent()).collect();
    assert_eq!(agents.len(), 2);
    for agent in agents {
        signal(agent.id, "KILL");
    }
    let ended = run.finish();
    assert_eq!(ended.code, Some(0), "{:#?}", ended.told);
    assert_each_ended_once(&ended.results, 4);
    let attempts: Vec<_> = ended.results.iter().map(|result| result["attempts"].as_u64().unwrap()).collect();
    assert_eq!(attempts.iter().sum::<u64>(), 6, "{attempts:?}");
    // Their browsers too.
    assert_gone(&before);
}

#[test]
fn a_job_whose_agents_all_die_ends_with_its_last_attempt() {
    let mut run = Running::start("lifecycle", &["wait", "quick"], &[]);
    for _ in 0..3 {
        run.until_ready(1);
        let agent = run.processes().into_iter().find(|process| process.is_agent()).expect("an agent");
        signal(agent.id, "KILL");
    }
    let ended = run.finish();
    assert_eq!(ended.code, Some(1), "{:#?}", ended.told);
    assert_each_ended_once(&ended.results, 2);
    assert_eq!(ended.results[0]["error"]["cause"], "agent");
    assert_eq!(ended.results[0]["attempts"], 3);
    assert_eq!(ended.results[1]["status"], "Success");
}

#[test]
fn ctrl_c_ends_jobs_in_progress_in_order() {
    let (site, told) = listening_site();
    let set = format!("SITE={}", site.url());
    let mut run = Running::start("lifecycle", &["wait", "wait", "quick", "quick"], &["--agents", "2", "--set", &set]);
    run.until_ready(2);
    let before = run.processes();
    assert_eq!(before.iter().filter(|process| process.is_chromium()).count(), 2);
    signal(run.id(), "INT");
    let ended = run.finish();
    assert_eq!(ended.code, Some(130));
    assert_eq!(ended.temporary_files, 0);
    assert_gone(&before);
    let statuses: Vec<_> = ended.results.iter().map(|result| &result["status"]).collect();
    assert_eq!(statuses, ["Cancelled"; 4], "there is a line for each job, begun or not");
    let attempts: Vec<_> = ended.results.iter().map(|result| result["attempts"].as_u64().unwrap()).collect();
    assert_eq!(attempts, [1, 1, 0, 0]);
    assert_eq!(*told.lock().unwrap(), ["opened", "opened", "closed", "closed"]);
    let summary = ended.told.last().unwrap();
    assert_eq!((&summary["cancelled"], &summary["not_started"]), (&json!(2), &json!(2)));
}

#[test]
fn a_script_that_does_not_end_is_ended() {
    let mut run = Running::start("lifecycle", &["stubborn"], &[]);
    run.until_ready(1);
    let before = run.processes();
    signal(run.id(), "TERM");
    let ended = run.finish();
    assert_eq!(ended.code, Some(143));
    assert_eq!(ended.results[0]["status"], "Cancelled");
    assert_gone(&before);
}

#[test]
fn a_second_ctrl_c_ends_everything_at_once() {
    let (site, _) = listening_site();
    let set = format!("SITE={}", site.url());
    let mut run = Running::start("lifecycle", &["stubborn", "stubborn"], &["--agents", "2", "--set", &set]);
    run.until_ready(2);
    let before = run.processes();
    assert!(before.iter().any(|process| process.is_chromium()));
    signal(run.id(), "INT");
    run.until(|told| told["type"] == "ending");
    signal(run.id(), "INT");
    let ended = run.finish();
    assert_eq!(ended.code, Some(130));
    assert_gone(&before);
    assert_eq!(ended.temporary_files, 0);
    // Each job has its line, also those that were being done.
    assert_eq!(ended.results.len(), 2);
    for result in &ended.results {
        assert_eq!((&result["status"], &result["attempts"]), (&json!("Cancelled"), &json!(1)), "{result}");
    }
}

#[test]
fn the_job_of_an_agent_that_is_killed_while_the_run_ends_is_cancelled() {
    let mut run = Running::start("lifecycle", &["stubborn"], &[]);
    run.until_ready(1);
    let agent = run.processes().into_iter().find(|process| process.is_agent()).expect("an agent");
    signal(run.id(), "INT");
    run.until(|told| told["type"] == "ending");
    signal(agent.id, "KILL");
    let ended = run.finish();
    assert_eq!(ended.code, Some(130));
    assert_each_ended_once(&ended.results, 1);
    assert_eq!((&ended.results[0]["status"], &ended.results[0]["attempts"]), (&json!("Cancelled"), &json!(1)));
}

#[test]
fn there_are_no_more_agents_than_jobs() {
    let mut run = Running::start("lifecycle", &["wait"], &["--agents", "3"]);
    run.until_ready(1);
    assert_eq!(run.told[0]["agents"], 1);
    assert_eq!(run.processes().iter().filter(|process| process.is_agent()).count(), 1);
    signal(run.id(), "INT");
    assert_eq!(run.finish().code, Some(130));
}

#[test]
fn nothing_outlives_a_killed_command() {
    let mut run = Running::start("lifecycle", &["wait", "wait"], &["--agents", "2"]);
    run.until_ready(2);
    let before = run.processes();
    assert!(before.len() > 4, "{before:?}");
    signal(run.id(), "KILL");
    assert_gone(&before);
    // Its folder is found by the next run.
    assert_eq!(std::fs::read_dir(run.temp()).unwrap().count(), 1);
    let results = run.temp().with_file_name("next.jsonl");
    let mut next = armada_for(&project("lifecycle"));
    next.args(["run", "--output"]).arg(results).arg(project("lifecycle")).env("TMPDIR", run.temp());
    let (code, _, told) = finish(&mut next);
    assert_eq!(code, 0, "{told}");
    assert_eq!(std::fs::read_dir(run.temp()).unwrap().count(), 0);
}

#[test]
fn agents_that_cannot_be_opened_end_the_run_with_the_reason() {
    for (open, reason) in
        [("fail", "there is nothing to open"), ("panic", "opening is too hard"), ("loop", "out of CPU time")]
    {
        let run =
            Running::start("lifecycle", &["quick", "quick"], &["--agents", "2", "--set", &format!("OPEN={open}")]);
        let ended = run.finish();
        assert_eq!(ended.code, Some(1));
        assert_each_ended_once(&ended.results, 2);
        let opening = ended.told.iter().filter(|told| told["state"] == "opening").count();
        assert_eq!(opening, 2, "what the script says is not asked again");
        for result in ended.results {
            assert_eq!(result["error"]["cause"], "no_agent");
            assert!(result["error"]["message"].as_str().unwrap().contains(reason), "{result}");
        }
    }
}

#[test]
fn a_browser_that_is_not_there_is_told_before_anything_is_started() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = armada_for(&project("lifecycle"));
    run.args(["run", "--chromium", "/nowhere/chromium"]).arg(project("lifecycle")).current_dir(folder.path());
    let (code, _, told) = finish(&mut run);
    assert_eq!(code, 2, "{told}");
    assert!(told.contains("/nowhere/chromium") && told.contains("--chromium or ARMADA_CHROMIUM"), "{told}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn what_every_agent_warns_of_is_told_once() {
    let (site, _) = listening_site();
    let folder = tempfile::tempdir().unwrap();
    let mut run = armada_for(&project("lifecycle"));
    run.args(["run", "--agents", "2", "--jobs", "2", "--set", &format!("SITE={}", site.url())]);
    let (code, _, told) = finish(run.arg(project("lifecycle")).current_dir(folder.path()));
    assert_eq!(code, 0, "{told}");
    let is_root = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) == 0;
    assert_eq!(told.matches("running as root").count(), usize::from(is_root), "{told}");
}

#[test]
fn the_results_are_there_while_the_run_goes_on() {
    let mut run = Running::start("lifecycle", &["quick", "wait"], &[]);
    run.until(|told| told["type"] == "ended");
    run.until_ready(1);
    let told = run.told.iter().find(|told| told["type"] == "ended").unwrap().clone();
    wait_for("the first result", Duration::from_secs(5), || {
        let results = run.results();
        (!results.is_empty()).then(|| assert_eq!(results[0], told["job"]))
    });
    signal(run.id(), "INT");
    assert_eq!(run.finish().code, Some(130));
}
