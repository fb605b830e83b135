//! The `armada` command as a process of its own.

use std::io::{BufRead as _, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::processes::{self, Process};
use crate::run::cache_folder;
use crate::{PRIVATE_HOSTS, profile_folder, repository, target_folder};

/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(180);

/// The command, with everything that it keeps in the folder of this repository's builds.
///
/// # Panics
///
/// When it has not been built.
pub fn armada() -> Command {
    let program = profile_folder().join("armada");
    assert!(program.is_file(), "{} is not there: `cargo build --workspace` makes it", program.display());
    let mut command = Command::new(program);
    command.env("ARMADA_CACHE_DIR", cache_folder()).env("ARMADA_PRIVATE_HOSTS", PRIVATE_HOSTS);
    command.env_remove("ARMADA_LOG").env_remove("RUST_LOG").env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
    command.stdin(Stdio::null());
    command
}

/// The command, with what it compiles of this project in the folder of this repository's builds. Not in one folder for
/// all: paths of a project are among the compiler's flags, and Cargo compiles everything again where flags change.
pub fn armada_for(project: &Path) -> Command {
    let parts: Vec<_> = project.iter().rev().take(2).map(|part| part.to_string_lossy()).collect();
    let mut command = armada();
    command.env("CARGO_TARGET_DIR", target_folder().join("projects").join(parts.join("-of-")));
    command
}

/// A project of `tests/projects`.
pub fn project(name: &str) -> PathBuf {
    repository().join("tests/projects").join(name)
}

/// A project in a folder of its own, of these files.
pub fn written(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (file, content) in files {
        let path = folder.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    folder
}

/// Runs a command to its end; gives its exit code and what it printed.
pub fn finish(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

/// A run that goes on, told as JSON lines.
pub struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    folder: Arc<tempfile::TempDir>,
    /// What it has told so far.
    pub told: Vec<Value>,
}

impl Running {
    /// Starts `armada run` on a project of `tests/projects` with a job of each of these kinds, and with these arguments
    /// more.
    pub fn start(name: &str, kinds: &[&str], arguments: &[&str]) -> Self {
        let (kinds, jobs) = (format!("KINDS={}", Value::from(kinds)), kinds.len().to_string());
        Self::start_at(&project(name), &[&["--set", &kinds, "--jobs", &jobs], arguments].concat())
    }

    /// Starts `armada run` on the project of this folder. What it writes goes to a folder of its own.
    pub fn start_at(project: &Path, arguments: &[&str]) -> Self {
        Self::start_with(project, arguments, &[])
    }

    /// The same with these environment variables.
    pub fn start_with(project: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let temp = folder.path().join("temp");
        std::fs::create_dir(&temp).unwrap();
        let mut command = armada_for(project);
        command.args(["run", "--json", "--output"]).arg(folder.path().join("results.jsonl"));
        command.args(arguments).arg(project).env("TMPDIR", temp).envs(variables.iter().copied());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines, folder, told: Vec::new() }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The folder of its temporary files.
    pub fn temp(&self) -> PathBuf {
        self.folder.path().join("temp")
    }

    /// The processes that it has started.
    pub fn processes(&self) -> Vec<Process> {
        processes::descendants(self.id())
    }

    /// The results so far, by index.
    pub fn results(&self) -> Vec<Value> {
        read_results(&self.folder.path().join("results.jsonl"))
    }

    /// Waits until it tells something.
    pub fn until(&mut self, is_it: impl Fn(&Value) -> bool) -> Value {
        loop {
            let line = self.lines.next().expect("the run has told nothing like it").unwrap();
            let told: Value = serde_json::from_str(&line).unwrap();
            self.told.push(told.clone());
            if is_it(&told) {
                return told;
            }
        }
    }

    /// Waits until so many jobs have reported that they are ready.
    pub fn until_ready(&mut self, jobs: usize) {
        for _ in 0..jobs {
            self.until(|told| told["event"]["content"] == "ready");
        }
    }

    /// Waits until it has ended; gives its exit code, and its results by index.
    pub fn finish(mut self) -> Ended {
        for line in self.lines.by_ref() {
            self.told.push(serde_json::from_str(&line.unwrap()).unwrap());
        }
        let status = processes::wait_for("the command to end", PATIENCE, || self.child.try_wait().unwrap());
        let results = self.results();
        let left = std::fs::read_dir(self.folder.path().join("temp")).unwrap().count();
        let told = std::mem::take(&mut self.told);
        Ended { code: status.code(), results, told, temporary_files: left, folder: self.folder.clone() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A test that has failed leaves nothing running.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What came of a run.
pub struct Ended {
    /// The exit code; nothing when a signal has ended it.
    pub code: Option<i32>,
    /// The lines of the results, by index.
    pub results: Vec<Value>,
    /// What was told.
    pub told: Vec<Value>,
    /// How many things it has left in the folder for temporary files.
    pub temporary_files: usize,
    folder: Arc<tempfile::TempDir>,
}

impl Ended {
    /// The folder of the run's artifacts.
    pub fn artifacts(&self) -> PathBuf {
        let run = self.told.first().and_then(|told| told["run_id"].as_str()).expect("a run");
        self.folder.path().join("artifacts").join(run)
    }
}

/// The lines of a results file, by index.
pub fn read_results(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    let mut results: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    results.sort_by_key(|result| result["index"].as_u64());
    results
}

/// The rows of a CSV file, without its header.
pub fn read_rows(path: &Path) -> Vec<Vec<String>> {
    let rows = csv::Reader::from_path(path).unwrap().into_records();
    rows.map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect()
}
