//! Whole configurations: each folder in `golden/` has a `config` folder, and what must come of it.
//!
//! `expected.jsonl` has the messages of all agents, then of all jobs; `expected.err` the mistakes as a terminal shows
//! them. A folder may have `options` (as on a command line, one on a line), `expected.explain` (where each value of the
//! first agent and job came from), `expected.json` and `expected.narrated` (other forms of the mistakes).
//! `ARMADA_BLESS=1 cargo test --workspace every_configuration` writes what came out; read the difference before you
//! commit it.

#![cfg(test)]

use std::fmt::Write;
use std::path::{Path, PathBuf};

use armada_project::{ComponentRef, Configuration, Explained, Injection, Messages, Mistakes, Mode, Overrides};
use miette::{GraphicalReportHandler, GraphicalTheme, NarratableReportHandler};

struct Options {
    mode: Mode,
    overrides: Overrides,
    inject: bool,
}

fn options(case: &Path) -> Options {
    let mut options = Options { mode: Mode::Local, overrides: Overrides::default(), inject: false };
    for line in std::fs::read_to_string(case.join("options")).unwrap_or_default().lines() {
        match line.split_once(' ').unwrap_or((line, "")) {
            ("--mode", mode) => options.mode = mode.parse().unwrap(),
            ("--agents", number) => options.overrides.agents = Some(number.parse().unwrap()),
            ("--jobs", number) => options.overrides.jobs = Some(number.parse().unwrap()),
            ("--set", value) => options.overrides.set.push(Overrides::parse_set(value).unwrap()),
            ("--inject", "") => options.inject = true,
            other => panic!("{other:?} in {}", case.display()),
        }
    }
    options
}

fn resolve(case: &Path) -> Result<Configuration, Mistakes> {
    let options = options(case);
    let configuration = Configuration::resolve(case, options.mode, &options.overrides)?;
    let injection = Injection { run_id: uuid::Uuid::from_u128(0xa1b2), component: ComponentRef::of(b"component") };
    Ok(if options.inject { configuration.inject(injection) } else { configuration })
}

/// The messages as lines, made in both ways.
fn lines(maps: Messages, mut fast: Messages, text: &mut String) {
    for message in maps {
        let message = serde_json::to_string(&message.unwrap()).unwrap();
        let mut line = Vec::new();
        fast.write_line(&mut line).unwrap().unwrap();
        assert_eq!(String::from_utf8(line).unwrap(), format!("{message}\n"));
        writeln!(text, "{message}").unwrap();
    }
    assert!(fast.write_line(&mut Vec::new()).is_none());
}

fn explained(title: &str, values: &[Explained]) -> String {
    values.iter().fold(format!("{title}\n"), |mut text, Explained { path, value, origin }| {
        writeln!(text, "  {path} = {value}\n      {origin}").unwrap();
        text
    })
}

fn compare(case: &Path, file: &str, actual: &str, failures: &mut Vec<String>) {
    let path = case.join(file);
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    if actual == expected {
        return;
    }
    if std::env::var_os("ARMADA_BLESS").is_some() {
        std::fs::write(&path, actual).unwrap();
    } else {
        failures.push(format!("{}\n--- expected\n{expected}\n--- found\n{actual}", path.display()));
    }
}

fn check(case: &Path, failures: &mut Vec<String>) {
    let (kept, other, actual) = match resolve(case) {
        Ok(configuration) => {
            let mut text = String::new();
            lines(configuration.agents(), configuration.agents(), &mut text);
            lines(configuration.jobs(), configuration.jobs(), &mut text);
            if case.join("expected.explain").exists() {
                let explanation = [
                    explained("run", &configuration.explain_run()),
                    explained("agent 0", &configuration.explain_agent(0).unwrap()),
                    explained("job 0", &configuration.explain_job(0).unwrap()),
                ];
                compare(case, "expected.explain", &explanation.concat(), failures);
            }
            ("expected.jsonl", "expected.err", text)
        }
        Err(mistakes) => {
            let mut text = String::new();
            let theme = GraphicalTheme::unicode_nocolor();
            GraphicalReportHandler::new_themed(theme).with_width(120).render_report(&mut text, &mistakes).unwrap();
            if case.join("expected.json").exists() {
                let json = serde_json::to_string_pretty(&mistakes).unwrap();
                compare(case, "expected.json", &(json + "\n"), failures);
            }
            if case.join("expected.narrated").exists() {
                let mut narrated = String::new();
                NarratableReportHandler::new().render_report(&mut narrated, &mistakes).unwrap();
                compare(case, "expected.narrated", &narrated, failures);
            }
            ("expected.err", "expected.jsonl", text)
        }
    };
    if case.join(other).exists() {
        failures.push(format!("{}: expected {other}, found\n{actual}", case.display()));
    }
    compare(case, kept, &actual, failures);
}

#[test]
fn every_configuration_comes_out_as_expected() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut cases: Vec<PathBuf> = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.retain(|case| case.is_dir());
    cases.sort();
    assert!(cases.len() > 20);
    let mut failures = Vec::new();
    for case in &cases {
        check(case, &mut failures);
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}
