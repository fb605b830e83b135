//! Visible browsers: on a virtual display that is there for the agent, and nothing of which is left.

use std::path::Path;

use armada_tests::calls;
use armada_tests::cases::{failures, run_of};
use armada_tests::command::Running;
use armada_tests::processes::{self, Process, assert_gone, signal};
use armada_tests::run::TestRun;
use serde_json::{Value, json};

/// What makes a browser visible.
fn visible() -> Value {
    json!({"config_fantomas": {"config_screen": {"screen_visible": 1, "screen_width": 800, "screen_height": 600}}})
}

/// A run whose only job is this case.
fn run_of_case(case: &str) -> TestRun {
    run_of("screen", &[case.to_owned()], &json!({}))
}

/// The colour in a picture of the whole screen where pages are. In the middle of it is the mouse.
fn colour_of_the_page(picture: &Path) -> [u8; 3] {
    let file = std::io::BufReader::new(std::fs::File::open(picture).unwrap());
    let mut reader = png::Decoder::new(file).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((info.width, info.height), (800, 600));
    let at = (300 * 800 + 200) * 3;
    pixels[at..at + 3].try_into().unwrap()
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// The virtual displays among these processes.
fn displays(processes: &[Process]) -> Vec<Process> {
    let is_display = |process: &&Process| process.command.first().is_some_and(|program| program.ends_with("Xvfb"));
    processes.iter().filter(is_display).cloned().collect()
}

#[test]
pub(crate) fn pages_are_on_the_screen() {
    calls::record();
    let run = run_of_case("pages_are_on_the_screen").agent_message(visible());
    let temp = run.temp().display().to_string();
    let finished = run.finish();
    assert_eq!(failures(&["pages_are_on_the_screen".to_owned()], &finished), "");
    let pictures = files(finished.artifacts.path());
    let colours: Vec<_> = pictures.iter().map(|picture| colour_of_the_page(picture)).collect();
    assert!(colours.contains(&[200, 30, 90]), "{colours:?}");
    let left = displays(&processes::all());
    let ours = left.iter().filter(|display| display.command.iter().any(|part| part.contains(&temp)));
    assert_eq!(ours.count(), 0);
}

#[test]
fn a_browser_without_a_window_has_no_screen() {
    let case = "there_is_no_screen";
    assert_eq!(failures(&[case.to_owned()], &run_of_case(case).finish()), "");
}

#[test]
fn pictures_of_the_screen_need_both_keys() {
    let told = |run: TestRun| failures(&["there_is_no_screen".to_owned()], &run.finish());
    let denied = told(run_of_case("there_is_no_screen").sandbox(json!({"capabilities": ["browser"]})));
    let line = "add \\\"screen\\\" to run_message.sandbox.capabilities in config/config_template.json";
    assert!(denied.contains("the capability `screen` is not allowed") && denied.contains(line), "{denied}");
    let capped = told(run_of_case("there_is_no_screen").ceiling(json!({"capabilities": ["browser"]})));
    assert!(capped.contains("the capability `screen`") && capped.contains("the operator's ceiling"), "{capped}");
}

#[test]
fn displays_end_with_their_agents_when_the_run_is_interrupted() {
    let mut run = Running::start("lifecycle", &["wait", "wait"], &["--agents", "2", "--set", "VISIBLE=1"]);
    run.until_ready(2);
    let before = run.processes();
    assert_eq!(displays(&before).len(), 2);
    signal(run.id(), "INT");
    let ended = run.finish();
    assert_eq!((ended.code, ended.temporary_files), (Some(130), 0));
    assert_gone(&before);
}

#[test]
fn displays_end_with_agents_that_are_killed() {
    let mut run = Running::start("lifecycle", &["wait"], &["--set", "VISIBLE=1"]);
    run.until_ready(1);
    let before = run.processes();
    let displays = displays(&before);
    assert_eq!(displays.len(), 1);
    let agent = before.iter().find(|process| process.is_agent()).expect("an agent");
    signal(agent.id, "KILL");
    assert_gone(&displays);
    signal(run.id(), "INT");
    assert_eq!(run.finish().code, Some(130));
    assert_gone(&before);
}

#[test]
fn a_display_that_dies_costs_an_attempt_and_is_started_again() {
    let mut run = Running::start("lifecycle", &["wait_once"], &["--set", "VISIBLE=1"]);
    run.until_ready(1);
    let display = displays(&run.processes()).remove(0);
    signal(display.id, "KILL");
    let ended = run.finish();
    assert_eq!((ended.code, ended.temporary_files), (Some(0), 0), "{:#?}", ended.told);
    assert_eq!(ended.results[0]["attempts"], 2);
}
