//! Hostile guests: one program per attack, each with its exact outcome, and the next job as good as any.

use std::path::Path;

use armada_host::agent::AgentError;
use armada_protocol::{Cause, JobError, JobRecord, Status};
use armada_tests::guests::component;
use armada_tests::run::{Finished, TestRun};
use serde_json::{Value, json};

include!(concat!(env!("OUT_DIR"), "/hostile_guests.rs"));

/// Does not compile unless there is a test of this name here.
macro_rules! assert_has_a_test {
    ($name:ident) => {
        #[allow(unused_imports)]
        use self::$name as _;
    };
}

for_each_hostile_guest!(assert_has_a_test);

fn attack(guest: &str) -> TestRun {
    // What a grant may say is what it says by default, but for what would make tests slow.
    TestRun::of(component(guest)).limits(json!({"cpu_seconds_per_job": 2, "seconds_per_job": 120})).jobs([
        json!({}),
        json!({"honest": true}),
        json!({}),
        json!({"honest": true}),
    ])
}

/// Runs an attack twice, an honest job after each; gives what came of the attack.
fn outcome_of(run: TestRun) -> (JobRecord, Finished) {
    let finished = run.finish();
    assert!(finished.agents.iter().all(Result::is_ok), "{:?}", finished.agents);
    assert_eq!(finished.jobs.len(), 4);
    for honest in [1, 3] {
        let job = &finished.jobs[honest];
        assert_eq!(job.status, Status::Success, "the honest job after the attack: {:#?}", job.error);
        assert_eq!(job.result.as_ref().unwrap().get(), "\"honest\"");
    }
    let (first, second) = (&finished.jobs[0], &finished.jobs[2]);
    assert_eq!((first.status, first.attempts), (second.status, second.attempts), "the attack came out otherwise");
    (first.clone(), finished)
}

fn failure_of(run: TestRun) -> JobError {
    let (job, _) = outcome_of(run);
    assert_eq!((job.status, job.attempts), (Status::Failed, 1), "{:?}", job.result);
    job.error.unwrap()
}

fn result_of(run: TestRun) -> (Value, JobRecord, Finished) {
    let (job, finished) = outcome_of(run);
    assert_eq!(job.status, Status::Success, "{:#?}", job.error);
    (serde_json::from_str(job.result.as_ref().unwrap().get()).unwrap(), job, finished)
}

#[test]
fn endless_loop() {
    let error = failure_of(attack("endless_loop"));
    assert_eq!(error.cause, Cause::CpuTime);
    assert!(error.message.contains("limits.cpu_seconds_per_job"), "{}", error.message);
    assert!(error.traceback[0].starts_with("hostile/endless_loop.rs:"), "{:?}", error.traceback);
}

#[test]
fn endless_loop_during_a_call() {
    assert_eq!(failure_of(attack("endless_loop_during_a_call")).cause, Cause::CpuTime);
}

#[test]
fn endless_host_calls() {
    assert_eq!(failure_of(attack("endless_host_calls")).cause, Cause::CpuTime);
}

#[test]
fn sleeps_for_ever() {
    let run = attack("sleeps_for_ever").limits(json!({"seconds_per_job": 1}));
    let error = failure_of(run);
    assert_eq!(error.cause, Cause::WallTime);
    assert!(error.message.contains("longer than 1 s"), "{}", error.message);
    assert!(error.message.ends_with("waiting for sleep"), "{}", error.message);
}

#[test]
fn sleeps_in_the_standard_library() {
    let run = attack("sleeps_in_the_standard_library").limits(json!({"seconds_per_job": 1}));
    assert_eq!(failure_of(run).cause, Cause::WallTime);
}

#[test]
fn memory_bomb() {
    let run = attack("memory_bomb").limits(json!({"memory_mib": 64}));
    let error = failure_of(run);
    assert_eq!(error.cause, Cause::Memory);
    assert!(error.message.contains("more than 64 MiB"), "{}", error.message);
}

#[test]
fn stack_overflow() {
    let error = failure_of(attack("stack_overflow"));
    assert_eq!(error.cause, Cause::Stack);
    assert!(error.traceback[0].starts_with("hostile/stack_overflow.rs:"), "{:?}", error.traceback);
}

#[test]
fn panics() {
    let error = failure_of(attack("panics"));
    assert_eq!(error.cause, Cause::Trap);
    assert_eq!(error.message, "panicked at hostile/panics.rs:9:5: there are 0 prices");
    assert!(error.traceback[0].starts_with("hostile/panics.rs:9"), "{:?}", error.traceback);
}

#[test]
fn exits() {
    let error = failure_of(attack("exits"));
    assert_eq!((error.cause, error.message.as_str()), (Cause::Trap, "the script ended its process with status 0"));
}

#[test]
fn a_million_events() {
    let run = attack("a_million_events").limits(json!({"events_per_job": 40, "cpu_seconds_per_job": 60}));
    let (result, job, _) = result_of(run);
    assert_eq!((result["taken"].clone(), job.events.len()), (json!(40), 40));
    assert!(result["last"].as_str().unwrap().contains("limits.events_per_"), "{result}");
    // And by their rate: fewer in a second than in the job.
    let run = attack("a_million_events").limits(json!({"events_per_second": 5, "cpu_seconds_per_job": 60}));
    let (result, job, _) = result_of(run);
    let seconds = job.finished.duration_since(job.started.unwrap()).as_secs_f64();
    let taken = result["taken"].as_f64().unwrap();
    assert!(taken >= 5.0 && taken <= 5.0 * (seconds + 2.0), "{taken} events in {seconds} s");
}

#[test]
fn a_million_lines() {
    let run = attack("a_million_lines").limits(json!({"log_bytes_per_job": 10_000, "cpu_seconds_per_job": 60}));
    let (_, job, _) = result_of(run);
    let bytes: usize = job.log.iter().map(|line| line.report.text.len() + 100).sum();
    assert!((9_000..=10_300).contains(&bytes), "{bytes}");
    let last = &job.log.last().unwrap().report.text;
    assert!(last.contains("the log is full at 10000 bytes"), "{last}");
}

#[test]
fn empty_lines() {
    let run = attack("empty_lines").limits(json!({"log_bytes_per_job": 10_000, "cpu_seconds_per_job": 60}));
    let (_, job, _) = result_of(run);
    assert_eq!(job.log.len(), 101);
}

#[test]
fn a_million_pages() {
    let (result, _, _) = result_of(attack("a_million_pages").limits(json!({"pages": 3})));
    assert_eq!((&result["pages"], &result["kind"]), (&json!(3), &json!("limit")));
    assert!(result["said"].as_str().unwrap().contains("limits.pages"), "{result}");
}

#[test]
fn a_million_popups() {
    let (result, job, _) = result_of(attack("a_million_popups").limits(json!({"pages": 3})));
    assert_eq!(result, json!({"popups": 2, "after": "limit"}));
    assert!(job.events.iter().any(|event| event.report.content.contains("limits.pages")), "{:?}", job.events);
}

#[test]
fn a_million_handles() {
    let (result, _, _) = result_of(attack("a_million_handles").limits(json!({"handles": 200})));
    assert_eq!(result, json!({"kind": "limit", "held": 180}));
}

#[test]
fn a_million_calls() {
    let (result, _, _) = result_of(attack("a_million_calls").limits(json!({"concurrent_calls": 10})));
    assert_eq!(result, json!({"done": 10, "refused": 9_990}));
}

#[test]
fn cancels_in_masses() {
    let (result, _, finished) = result_of(attack("cancels_in_masses").limits(json!({"pages": 3})));
    let room = json!({
        "contexts": 4,
        "pages": 3,
        "no_context": "5 browser contexts are open, 2 more than pages may be: close some, or raise \
                       run_message.sandbox.limits.pages",
        "no_page": "3 pages are open: close some, or raise run_message.sandbox.limits.pages",
    });
    assert_eq!(result, json!({"at_first": room, "after": room}));
    // What the first job left without waiting for it is not in the way of another.
    let later: Value = serde_json::from_str(finished.jobs[2].result.as_ref().unwrap().get()).unwrap();
    assert_eq!(later["at_first"], room);
}

#[test]
fn a_gigabyte_of_page() {
    let run = attack("a_gigabyte_of_page").limits(json!({"bytes_per_call": 1_000_000, "seconds_per_job": 200}));
    let (result, _, _) = result_of(run);
    assert_eq!(result, json!({"value": "limit", "text": "limit", "content": "limit", "title": "limit"}));
}

#[test]
fn a_large_argument() {
    let error = failure_of(attack("a_large_argument"));
    assert_eq!(error.cause, Cause::TooLarge);
    assert!(error.message.contains("limits.bytes_per_call"), "{}", error.message);
}

#[test]
fn a_large_result() {
    let error = failure_of(attack("a_large_result"));
    assert_eq!(error.cause, Cause::TooLarge);
    assert!(error.message.contains("limits.bytes_per_call"), "{}", error.message);
}

#[test]
fn a_result_that_is_not_json() {
    let error = failure_of(attack("a_result_that_is_not_json"));
    assert_eq!(error.cause, Cause::Result);
    assert!(error.message.starts_with("the result is not JSON"), "{}", error.message);
}

#[test]
fn sets_of_waitables() {
    assert_eq!(failure_of(attack("sets_of_waitables")).cause, Cause::Trap);
}

#[test]
fn reads_the_machine() {
    let (result, _, _) = result_of(attack("reads_the_machine"));
    let counts = (&result["environment"], &result["arguments"]);
    assert_eq!(counts, (&json!(0), &json!(0)));
    let tried = result.as_object().unwrap().iter().filter(|(_, said)| said.is_string());
    assert!(tried.clone().count() >= 10);
    for (what, said) in tried {
        assert_ne!(said, "ok", "{what}");
    }
    assert!(!Path::new("/tmp/armada-was-here").exists());
}

#[test]
fn artifacts_that_leave() {
    let run = attack("artifacts_that_leave").limits(json!({"artifact_bytes_per_job": 5 << 20}));
    let (result, job, finished) = result_of(run);
    assert_eq!(result["refused"], json!(vec!["invalid"; 6]));
    assert_eq!((&result["kept"], &result["full"]), (&json!(5), &json!("limit")));
    assert_eq!(job.artifacts.len(), 5);
    let folders: Vec<_> =
        std::fs::read_dir(finished.artifacts.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(folders.len(), 2, "{folders:?}");
    assert_eq!(std::fs::read(finished.artifacts.path().join("job-0/file-0")).unwrap()[0], 1);
}

#[test]
fn artifacts_without_end() {
    let (result, job, _) = result_of(attack("artifacts_without_end").limits(json!({"artifacts_per_job": 20})));
    assert_eq!((&result["kept"], &result["kind"], job.artifacts.len()), (&json!(20), &json!("limit"), 20));
    assert!(result["said"].as_str().unwrap().contains("limits.artifacts_per_job"), "{result}");
}

#[test]
fn keeps_without_end() {
    let (result, _, _) = result_of(attack("keeps_without_end").limits(json!({"bytes_kept": 1_000_000})));
    let counts = (&result["routes"], &result["contexts"], &result["scripts"]);
    assert_eq!(counts, (&json!(9), &json!(9), &json!(9)));
    assert_eq!(result["kinds"], json!(["limit", "limit", "limit"]));
    assert!(result["said"].as_str().unwrap().contains("limits.bytes_kept"), "{result}");
}

#[test]
fn keeps_a_page() {
    let (result, _, finished) = result_of(attack("keeps_a_page"));
    assert_eq!(result["earlier_closed"], json!([]));
    let second: Value = serde_json::from_str(finished.jobs[2].result.as_ref().unwrap().get()).unwrap();
    assert_eq!(second["earlier_closed"], json!([true]));
}

#[test]
fn ignores_what_it_is_told() {
    let (result, job, _) = result_of(attack("ignores_what_it_is_told").sandbox(json!({})));
    let line = |capability: &str| {
        format!(
            "denied: the capability `{capability}` is not allowed: add \"{capability}\" to \
             run_message.sandbox.capabilities in config/config_template.json"
        )
    };
    assert_eq!(result["browser"], json!(line("browser")));
    assert_eq!((&result["event"], &result["artifact"]), (&json!(line("monitoring")), &json!(line("monitoring"))));
    assert_eq!((&result["job"], job.events.len()), (&json!(false), 0));
    assert_eq!(job.log.iter().map(|line| line.report.text.as_str()).collect::<Vec<_>>(), ["logged"]);
}

/// A component that cannot be run: no agent comes to be, and the reason is told.
fn refusal_of(component: Vec<u8>) -> String {
    let mut finished = TestRun::of(component).jobs([]).finish();
    match finished.agents.pop().unwrap() {
        Err(error @ AgentError::Component(_)) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_component_that_imports_an_unknown_interface_is_refused_with_its_name() {
    let component = wat::parse_str(
        r#"(component
            (import "evil:backdoor/shell@1.0.0" (instance (export "run" (func (param "command" string)))))
        )"#,
    );
    let refusal = refusal_of(component.unwrap());
    assert!(refusal.contains("evil:backdoor/shell@1.0.0"), "{refusal}");
}

#[test]
fn a_component_that_exports_no_lifecycle_is_refused() {
    let refusal = refusal_of(wat::parse_str("(component)").unwrap());
    assert!(refusal.contains("armada:project/lifecycle"), "{refusal}");
}

#[test]
fn what_is_no_component_is_refused() {
    let whole = component("panics");
    let core_module = wat::parse_str("(module)").unwrap();
    for bytes in [b"#!/bin/sh".to_vec(), Vec::new(), core_module, whole[..whole.len() / 2].to_vec()] {
        let refusal = refusal_of(bytes);
        assert!(refusal.starts_with("this is no Wasm component that can be run"), "{refusal}");
    }
}
