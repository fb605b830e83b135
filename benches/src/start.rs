//! From the start of `armada run` to a script that has its browser, against the start of the browser alone.
//!
//! The project has been built before. Its one job launches the browser and gives the time that this took: the peer's,
//! with 0.3 s for everything else.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use armada_tests::repository;
use armada_tests::run::cache_folder;

use crate::host_call::duration;
use crate::measure::Row;

const ROUNDS: usize = 7;
/// What everything but the browser may take.
const REST: Duration = Duration::from_millis(300);

pub(crate) fn measure() -> anyhow::Result<Vec<Row>> {
    [("python-project", "a run in Python, until its job is done"), ("project", "a run in Rust, until its job is done")]
        .into_iter()
        .map(|(folder, what)| {
            let folder = repository().join("benches").join(folder);
            // The first one builds.
            run(&folder)?;
            let times: anyhow::Result<Vec<_>> = (0..ROUNDS).map(|_| run(&folder)).collect();
            Ok(Row::new(what, "starting Chromium, and 0.3 s", times?, 1.0))
        })
        .collect()
}

/// How long a run takes from its start until its job is done, and how long the browser took to start.
fn run(project: &Path) -> anyhow::Result<(Duration, Duration)> {
    let program = std::env::current_exe()?.with_file_name("armada");
    ensure!(program.is_file(), "{} is not there: `make bench` builds it", program.display());
    let folder = tempfile::tempdir()?;
    let results = folder.path().join("results.jsonl");
    let started = Instant::now();
    let mut child = Command::new(program)
        .args(["run", "--jobs", "1", "--agents", "1", "--json", "--output"])
        .arg(&results)
        .arg(project)
        .env("ARMADA_CACHE_DIR", cache_folder())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let told = std::io::BufReader::new(child.stdout.take().context("no output")?);
    let mut took = None;
    for line in std::io::BufRead::lines(told) {
        let told: serde_json::Value = serde_json::from_str(&line?)?;
        if told.get("type").is_some_and(|kind| kind == "ended") {
            took = Some(started.elapsed());
        }
    }
    ensure!(child.wait()?.success(), "the run failed");
    let job: serde_json::Value = serde_json::from_str(std::fs::read_to_string(&results)?.trim())?;
    let result = job.get("result").context("the job has no result")?;
    Ok((took.context("no job has ended")?, duration(&result.to_string())? + REST))
}
