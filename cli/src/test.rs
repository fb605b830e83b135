//! `armada test`: a project's own tests, each a job of a run on this machine.
//!
//! The component is the project's with its tests in it, and says which there are; so collecting them runs nothing.
//! Whatever one does (computes for ever, eats memory, hangs) is what a job may do, and costs itself only. What is
//! printed looks as pytest's output does, because that is what people and their tools can read.

mod expression;
mod outcome;
mod selection;
mod shown;

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use armada_orchestrator::launch::{LaunchRequest, RunEnd, Stores, launch};
use armada_project::{Component, Grant, Language, Project, Test};
use armada_protocol::{Change, RunId, Status};
use serde_json::json;
use tokio::sync::mpsc;

pub(crate) use self::expression::Expression;
use self::outcome::Outcome;
use self::selection::Selection;
use self::shown::{Report, Session, Text};
use crate::Ending;
use crate::args::Test as Arguments;
use crate::commands::compile;
use crate::mistakes::{tell_notes, tell_refusals};
use crate::places;
use crate::run::temp::Temp;
use crate::run::{CHANGES, DROPPING, ENDING, agent_command, json, prepare};
use crate::signals::{self, Interruption};

/// Where a project's tests are.
const FOLDER: &str = "tests";

pub(crate) fn test(arguments: &Arguments) -> anyhow::Result<Ending> {
    let (folder, filters) = split(&arguments.project, &arguments.filters);
    let project = Project::open(folder)?;
    let mut overrides = arguments.layers.overrides();
    let processors = std::thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(1));
    overrides.agents.get_or_insert(processors);
    let configuration = project.resolve(arguments.layers.mode, &overrides)?;
    let mut ceiling = arguments.ceiling.open()?;
    // A test finds nothing of the tests before it, so it does not matter which these are.
    ceiling.limits.fresh_instance_per_job = true;
    if let Some(seconds) = arguments.timeout {
        ceiling.limits.seconds_per_job = ceiling.limits.seconds_per_job.min(seconds);
    }
    let stores = Stores::embedded(arguments.inventory.open()?);
    let grant = Grant::new(configuration.sandbox(), &ceiling);
    if !arguments.json {
        tell_notes(configuration.notes());
    }
    ensure!(project.root().join(FOLDER).is_dir(), "there are no tests: {}", how_to_write(project.language()));
    prepare::check_display(&arguments.browser)?;
    let component = compile(&project, &arguments.cache, true)?;
    if !arguments.json {
        tell_refusals(&component, &grant);
    }
    let selection = Selection::new(component.tests(), &filters, arguments)?;
    let mut session: Box<dyn Report> =
        if arguments.json { Box::new(Json) } else { Box::new(Text::new(arguments, project.root())) };
    session.collected(&selection).context("standard output")?;
    if !selection.errors.is_empty() || arguments.collect_only {
        return Ok(if selection.errors.is_empty() { Ending::Done } else { Ending::Mistake });
    }
    if selection.tests.is_empty() {
        let why = if component.tests().is_empty() {
            format!("there are no tests: {}", how_to_write(project.language()))
        } else {
            "no test was selected".to_owned()
        };
        bail!(why);
    }
    prepare::check(&component, &grant, &arguments.browser)?;
    // From here on there is something to end in order.
    let interruption = signals::in_order();
    let temp = Temp::new()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let cache = places::cache(&arguments.cache)?;
    let compiled = runtime.block_on(prepare::compile(&component, cache, temp.path(), &interruption))?;
    let ended = match compiled {
        Some(cache) => {
            let started = Instant::now();
            let agent = agent_command(&arguments.browser, temp.path(), &cache)?;
            let verbosity = if arguments.quiet { -1 } else { i32::from(arguments.verbose) };
            let asked = |test: &&Test| json!({"id": test.id, "verbosity": verbosity});
            let request = LaunchRequest {
                run: RunId::new(),
                tests: Some(selection.tests.iter().map(asked).collect()),
                configuration,
                component: Component::into_bytes(component.clone()),
                grant,
                artifacts: None,
                agent,
            };
            let running = Running {
                selection: &selection,
                stores,
                session: Session::new(selection.tests.len(), selection.deselected, selection.skipped.len(), started),
                stops_at_first: arguments.exitfirst,
            };
            runtime.block_on(running.drive(request, &mut *session, &interruption))
        }
        None => Ok(signals::interrupted(signals::signal_that_came().unwrap_or_default())),
    };
    runtime.shutdown_timeout(DROPPING);
    ended
}

/// The project's folder and the filters: the first argument is a filter if it names tests.
fn split<'a>(first: &'a Path, filters: &'a [String]) -> (&'a Path, Vec<&'a str>) {
    let text = first.to_str().unwrap_or_default();
    let is_filter = text.contains("::") || first.strip_prefix(".").unwrap_or(first).starts_with(FOLDER);
    let filters = filters.iter().map(String::as_str);
    match is_filter {
        true => (Path::new("."), std::iter::once(text).chain(filters).collect()),
        false => (first, filters.collect()),
    }
}

fn how_to_write(language: Language) -> &'static str {
    match language {
        Language::Python => "write functions `async def test_…(page)` into tests/test_….py, as for pytest",
        Language::Rust => {
            "write them into tests/mod.rs with `armada::tests! { async fn …(page: &Page) -> Result { … } }`, and \
             `#[cfg(test)] mod tests;` into lib.rs"
        }
    }
}

/// Tests that are being run.
struct Running<'a> {
    selection: &'a Selection<'a>,
    stores: Stores,
    session: Session,
    stops_at_first: bool,
}

impl Running<'_> {
    /// Runs the tests and shows what becomes of them, in the order in which they are written.
    async fn drive(
        mut self,
        request: LaunchRequest,
        report: &mut dyn Report,
        interruption: &Interruption,
    ) -> anyhow::Result<Ending> {
        let (changes, mut heard) = mpsc::channel(CHANGES);
        let cancel = interruption.gently.child_token();
        let kill = interruption.at_once.clone();
        let running = tokio::spawn(launch(request, self.stores.clone(), changes, cancel.clone(), kill));
        let mut outcomes: Vec<Option<Outcome>> = self.selection.tests.iter().map(|_| None).collect();
        let (mut shown, mut is_told, mut failure) = (0, false, None);
        loop {
            let change = tokio::select! {
                biased;
                () = interruption.gently.cancelled(), if !is_told => {
                    is_told = true;
                    // Where this cannot be written, nothing can: that shows at the end.
                    let _ = report.ending(ENDING);
                    continue;
                }
                change = heard.recv() => change,
            };
            let Some(change) = change else { break };
            let record = match change {
                Change::Started(attempt) => {
                    let place = usize::try_from(attempt.index).unwrap_or(usize::MAX);
                    if let (Some(test), true) = (self.selection.tests.get(place), failure.is_none()) {
                        failure = report.started(test).err();
                    }
                    continue;
                }
                Change::Ended(record) => record,
                _ => continue,
            };
            if record.status == Status::Cancelled {
                continue;
            }
            let place = usize::try_from(record.index).unwrap_or(usize::MAX);
            if let (Some(outcome), Some(test)) = (outcomes.get_mut(place), self.selection.tests.get(place)) {
                let ended = Outcome::of(&record, test);
                if self.stops_at_first && ended.has_failed() {
                    self.session.stopped = true;
                    cancel.cancel();
                }
                *outcome = Some(ended);
            }
            while let Some(Some(outcome)) = outcomes.get(shown) {
                self.show(shown, outcome, report, &mut failure);
                shown += 1;
            }
            if failure.is_some() {
                cancel.cancel();
            }
        }
        let ended = running.await?;
        // Those behind a test that was cancelled.
        for (place, outcome) in outcomes.iter().enumerate().skip(shown) {
            if let Some(outcome) = outcome {
                self.show(place, outcome, report, &mut failure);
            }
        }
        self.session.interrupted = signals::signal_that_came().is_some();
        if let Some(error) = failure {
            return Err(error).context("standard output");
        }
        report.end(&self.session, self.selection, &outcomes).context("standard output")?;
        if let Some(signal) = signals::signal_that_came() {
            return Ok(Ending::Interrupted(signal));
        }
        match ended? {
            RunEnd::Drained | RunEnd::Cancelled if self.session.has_failures() => Ok(Ending::JobsFailed),
            RunEnd::Drained => Ok(Ending::Done),
            RunEnd::Cancelled => Ok(Ending::JobsFailed),
        }
    }

    fn show(&mut self, place: usize, outcome: &Outcome, report: &mut dyn Report, failure: &mut Option<std::io::Error>) {
        let Some(test) = self.selection.tests.get(place) else { return };
        self.session.count(outcome);
        if failure.is_none()
            && let Err(error) = report.ended(test, outcome, &self.session)
        {
            *failure = Some(error);
        }
    }
}

/// What becomes of tests, for machines: JSON lines. Each says first what it is, by its `type`.
struct Json;

impl Report for Json {
    fn collected(&mut self, selection: &Selection<'_>) -> std::io::Result<()> {
        let tests: Vec<_> = selection.tests.iter().map(|test| json!({"id": test.id, "line": test.line})).collect();
        let errors: Vec<_> =
            selection.errors.iter().map(|(test, error)| json!({"id": test.id, "error": error.text})).collect();
        json::print(&json!({
            "type": "collected", "tests": tests, "deselected": selection.deselected, "errors": errors,
        }))
    }

    fn started(&mut self, test: &Test) -> std::io::Result<()> {
        json::print(&json!({"type": "started", "id": test.id}))
    }

    fn ended(&mut self, test: &Test, outcome: &Outcome, _session: &Session) -> std::io::Result<()> {
        let reports: Vec<_> = outcome
            .reports
            .iter()
            .map(|one| json!({"when": one.when, "outcome": one.outcome, "message": one.message, "text": one.text}))
            .collect();
        json::print(&json!({
            "type": "test", "id": test.id, "outcome": outcome.word(), "seconds": outcome.took.map(json::in_seconds),
            "reports": reports, "log": outcome.log,
        }))
    }

    fn ending(&mut self, reason: &str) -> std::io::Result<()> {
        json::print(&json!({"type": "ending", "reason": reason}))
    }

    fn end(
        &mut self,
        session: &Session,
        _selection: &Selection<'_>,
        _outcomes: &[Option<Outcome>],
    ) -> std::io::Result<()> {
        let counts = session.counts().map(|(word, count)| (word.to_owned(), count.into()));
        let counts: serde_json::Map<String, serde_json::Value> = counts.collect();
        json::print(&json::with(
            json!({"type": "summary", "seconds": json::in_seconds(session.started.elapsed())}),
            counts.into(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_argument_is_a_filter_if_it_names_tests() {
        let more = vec!["tests/b".to_owned()];
        assert_eq!(split(Path::new("shop"), &more), (Path::new("shop"), vec!["tests/b"]));
        for filter in ["tests", "tests/test_a.py", "./tests/", "tests/mod.rs::prices"] {
            assert_eq!(split(Path::new(filter), &more), (Path::new("."), vec![filter, "tests/b"]));
        }
        assert_eq!(split(Path::new("testshop"), &[]), (Path::new("testshop"), vec![]));
    }
}
