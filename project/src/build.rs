//! Building: from a project folder to one component.
//!
//! Each language has its own tools, which are started in a process group of their own, so that they end with whoever
//! started them, and whose lines are passed on as they print them.

mod python;
mod rust;

use std::io::{self, BufRead as _, BufReader, Read as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::component::{Component, ComponentFlaw};
use crate::mistake::{Mistakes, Note};
use crate::project::{Language, Project};
use crate::sdk;

/// Why a project could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Something in the project is not right.
    #[error(transparent)]
    Mistakes(#[from] Mistakes),
    /// Python, or a part of it, is not there.
    #[error("Python projects need Python 3.10 or later with pip and venv on this machine: {0}")]
    NoPython(String),
    /// What builds Python projects could not be installed.
    #[error("{what} could not be installed: {reason}")]
    Install {
        /// What was to be installed.
        what: String,
        /// What the installer said.
        reason: String,
    },
    /// It took too long.
    #[error("{what} took longer than {seconds} s and was ended")]
    TooLong {
        /// What took so long.
        what: &'static str,
        /// How long it may take.
        seconds: u64,
    },
    /// A program that is needed is not there.
    #[error("{program} could not be started ({source}): {advice}")]
    Tool {
        /// The program.
        program: &'static str,
        /// Why not.
        source: io::Error,
        /// What to do.
        advice: &'static str,
    },
    /// It took too much space.
    #[error("{what} takes more than 1 GiB, so building was ended")]
    TooMuch {
        /// What takes so much.
        what: &'static str,
    },
    /// There is no compiler in this installation of Rust.
    #[error("no Rust toolchain can be used: {0}")]
    NoToolchain(String),
    /// The compiler cannot compile for Wasm.
    #[error("the Rust toolchain in {} cannot compile for {target}: {advice}", folder.display(), target = rust::TARGET)]
    NoTarget {
        /// Where it is.
        folder: PathBuf,
        /// What to do.
        advice: String,
    },
    /// The crate does not compile. What the compiler said has been passed on.
    #[error("the project does not compile")]
    Compile,
    /// The crate is no library that becomes a component.
    #[error(
        "Cargo.toml does not make a component: under [lib], it needs crate-type = [\"cdylib\"] and path = \"lib.rs\""
    )]
    NoComponent,
    /// The manifest cannot be read.
    #[error("{0}")]
    Manifest(String),
    /// What was compiled is no component that Armada can run.
    #[error(transparent)]
    Component(#[from] ComponentFlaw),
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// What is to be told while a project is built.
#[derive(Clone, Debug)]
pub enum Progress<'a> {
    /// Something is begun that takes a while.
    Step(&'a str),
    /// Something worth knowing.
    Note(Note),
    /// A program has been started: the process group of all that it starts, for whoever wants to end it.
    Started(u32),
    /// A line that the program prints.
    Line(&'a str),
}

/// How a project is to be built.
#[derive(Clone, Copy, Debug)]
pub struct BuildOptions<'a> {
    /// Whether the lines that are passed on have colours.
    pub colours: bool,
    /// The folder of what can be made again: tools, packages, components.
    pub cache: &'a Path,
    /// Whether the project's own tests are part of the component, whose jobs they are then.
    pub tests: bool,
}

/// Makes a component of a project. `progress` is told of it.
pub fn build(
    project: &Project,
    options: BuildOptions<'_>,
    mut progress: impl FnMut(Progress<'_>),
) -> Result<Component, BuildError> {
    let root = project.root();
    sdk::provide(root, project.language()).map_err(|(path, source)| BuildError::File { path, source })?;
    match project.language() {
        Language::Rust => rust::build(root, options, &mut progress),
        Language::Python => python::build(root, options, &mut progress),
    }
}

/// How a program ended.
struct Ended {
    status: ExitStatus,
    /// What it wrote to standard output.
    output: Vec<u8>,
    /// Why it was ended before it ended by itself, if it was.
    cut_short: Option<CutShort>,
}

/// Why a program was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CutShort {
    /// Its time was over.
    Time,
    /// Its folder was full.
    Space,
}

/// What a program may take.
struct Bounds {
    time: Duration,
    /// A folder, and how many bytes may be in it.
    folder: Option<(PathBuf, u64)>,
}

/// How often a folder is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// Runs a program to its end, or until it has taken what it may, passing on the lines of its standard error.
fn run(mut command: Command, bounds: Option<Bounds>, progress: &mut dyn FnMut(Progress<'_>)) -> io::Result<Ended> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // What it starts is ended with it.
        .process_group(0)
        .spawn()?;
    let group = child.id();
    progress(Progress::Started(group));
    let (printed, output) = (child.stderr.take(), child.stdout.take());
    let reading = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What cannot be read was not written.
        let _ = output.map(|mut output| output.read_to_end(&mut bytes));
        bytes
    });
    let (ended, watched) = mpsc::channel::<()>();
    let watching = std::thread::spawn(move || {
        let cut_short = bounds.and_then(|bounds| watch(&bounds, &watched));
        if cut_short.is_some() {
            end_group(group);
        }
        cut_short
    });
    if let Some(printed) = printed {
        let mut printed = BufReader::new(printed);
        let mut line = Vec::new();
        while printed.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            progress(Progress::Line(String::from_utf8_lossy(&line).trim_end()));
            line.clear();
        }
    }
    let output = reading.join().unwrap_or_default();
    let status = child.wait()?;
    drop(ended);
    Ok(Ended { status, output, cut_short: watching.join().unwrap_or_default() })
}

/// Waits until a program has ended, or gives why it must be.
fn watch(bounds: &Bounds, ended: &mpsc::Receiver<()>) -> Option<CutShort> {
    let started = Instant::now();
    loop {
        let left = bounds.time.checked_sub(started.elapsed()).filter(|left| !left.is_zero());
        let Some(left) = left else { return Some(CutShort::Time) };
        if ended.recv_timeout(left.min(LOOK)) != Err(RecvTimeoutError::Timeout) {
            return None;
        }
        if bounds.folder.as_ref().is_some_and(|(folder, most)| bytes_in(folder) > *most) {
            return Some(CutShort::Space);
        }
    }
}

/// How many bytes there are in a folder and below it.
fn bytes_in(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(about) if about.is_dir() => bytes_in(&entry.path()),
            Ok(about) => about.len(),
            Err(_) => 0,
        })
        .sum()
}

/// Ends a program and what it has started.
fn end_group(group: u32) {
    let group = i32::try_from(group).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(group) = group {
        // Whoever has ended by itself needs no ending.
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
}
