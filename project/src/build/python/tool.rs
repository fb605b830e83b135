//! componentize-py and pip, in a virtual environment of Armada's own.
//!
//! The environment is made when it is first needed, under a lock, so that two builds do not make it at once, and it
//! counts as made only when it is complete. A componentize-py of the right version that is installed already is used
//! instead.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::at;
use super::workshop::lock;
use crate::build::{Bounds, BuildError, CutShort, Progress, run};

/// The version of componentize-py that components are made with.
pub(super) const VERSION: &str = "0.25.1";
/// Its wheels, as PyPI has them: one for each platform.
const WHEELS: [&str; 4] = [
    "8623cd8cab8453cb0cd8bf03f3c7103420d06f2f3d360186a280a70a1ca5e89f", // Linux, x86-64
    "7b6a87c520358166843af0daa86d2312d7af4cbcbbf1e598951085cf7f2991ca", // Linux, ARM
    "a556991534cc496207a9d2ca733c4b0f17ed38ef56a8d6b5f1847fdf1225dd1b", // macOS, ARM
    "65fbc4a94df1de8acf7da50a1f5ed1711230188844e53e6332d99029be4e0afa", // macOS, x86-64
];
/// The version of pip that installs packages, and its wheel.
const PIP_VERSION: &str = "26.3";
const PIP_WHEEL: &str = "f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13";
/// What starts pip, with two things that it has no option for: a source distribution is never prepared, which would run
/// its code, and whatever a package says that it needs comes from the index, not from where the package points. Both
/// are functions of the very version above.
const START_PIP: &str = r#"
import sys
from pip._internal.cli.main import main
from pip._internal.distributions.sdist import SourceDistribution
from pip._internal.exceptions import InstallationError
from pip._internal.req.req_install import InstallRequirement

def refuse(self, *_, **__):
    raise InstallationError(f"No matching distribution found for {self.req.name} as a wheel")

def make(self, req, *args, **options):
    if getattr(req, "url", None) or options.get("editable"):
        raise InstallationError(f"No matching distribution found for {req} in the package index")
    made(self, req, *args, **options)

SourceDistribution.prepare_distribution_metadata = refuse
made, InstallRequirement.__init__ = InstallRequirement.__init__, make
sys.exit(main())
"#;
/// What pip may know of this process's environment: how to reach the package index.
const INDEX: [&str; 18] = [
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_FIND_LINKS",
    "PIP_NO_INDEX",
    "PIP_CERT",
    "PIP_CLIENT_CERT",
    "PIP_PROXY",
    "PIP_TRUSTED_HOST",
    "PIP_CONFIG_FILE",
    "PIP_DEFAULT_TIMEOUT",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
];
/// The oldest Python whose pip knows what it is asked.
const OLDEST: (u32, u32) = (3, 10);
/// How long an installation may take.
const TIME: Duration = Duration::from_secs(600);
/// How long a program may take that has little to say.
const MOMENT: Duration = Duration::from_secs(30);
/// What starts componentize-py, in whatever folder its environment is.
const START: &str = "import sys; from componentize_py import script; sys.exit(script())";

/// Where the tools are, or will be.
pub(super) struct Tool {
    folder: PathBuf,
}

impl Tool {
    /// The tools that are kept in this folder.
    pub(super) fn new(cache: &Path) -> Self {
        Self { folder: cache.to_owned() }
    }

    /// The folder of all that has to do with Python.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// componentize-py, installed first if it is not.
    pub(super) fn componentize(&self, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Command, BuildError> {
        let marker = self.folder.join(format!("componentize-py-{VERSION}"));
        let is_there = || marker.exists() && self.has("componentize_py");
        if !is_there() {
            if is_installed() {
                return Ok(clean(Path::new("componentize-py")));
            }
            let _lock = lock(&self.folder, progress)?;
            // Whoever had the lock may have installed it.
            if !is_there() {
                self.prepare(progress)?;
                progress(Progress::Step("installing componentize-py (once), then building"));
                let hashes: String = WHEELS.iter().map(|hash| format!(" --hash=sha256:{hash}")).collect();
                let wanted = self.folder.join("componentize-py.txt");
                fs::write(&wanted, format!("componentize-py=={VERSION}{hashes}\n")).map_err(at(&wanted))?;
                let mut pip = self.pip_install();
                pip.args(["--require-hashes", "--no-deps", "--requirement"]).arg(&wanted);
                if let Err(reason) = run_told(pip, None, progress)? {
                    return Err(BuildError::Install { what: "componentize-py".to_owned(), reason });
                }
                fs::write(&marker, "").map_err(at(&marker))?;
            }
        }
        let mut command = clean(&self.python());
        command.args(["-I", "-c", START]);
        Ok(command)
    }

    fn python(&self) -> PathBuf {
        self.folder.join("venv/bin/python")
    }

    /// Whether the environment has a module. It is of the Python that made it, which may be gone or have become
    /// another.
    fn has(&self, module: &str) -> bool {
        let mut command = clean(&self.python());
        command.args(["-I", "-c", &format!("import {module}")]);
        asked(command).is_some()
    }

    /// Makes the environment, if there is none that works. Whoever calls it has the lock.
    pub(super) fn prepare(&self, progress: &mut dyn FnMut(Progress<'_>)) -> Result<(), BuildError> {
        let (venv, complete) = (self.folder.join("venv"), self.folder.join("venv/complete"));
        if !complete.exists() || !self.has("pip") {
            progress(Progress::Step("making a virtual environment (once), then building"));
            let python = find_python()?;
            let _ = fs::remove_dir_all(&venv);
            // What was installed went with it.
            let _ = fs::remove_file(self.folder.join(format!("componentize-py-{VERSION}")));
            let mut command = clean(&python);
            command.args(["-I", "-m", "venv"]).arg(&venv);
            if let Err(reason) = run_told(command, None, progress)? {
                let advice = "its module venv does not work (on Debian and Ubuntu: apt-get install python3-venv)";
                return Err(BuildError::NoPython(format!("{advice}: {reason}")));
            }
            // The one that comes with Python is as old as that, and not the one that is known here.
            let wanted = self.folder.join("pip.txt");
            fs::write(&wanted, format!("pip=={PIP_VERSION} --hash=sha256:{PIP_WHEEL}\n")).map_err(at(&wanted))?;
            let mut pip = self.pip_install();
            pip.args(["--require-hashes", "--no-deps", "--upgrade", "--requirement"]).arg(&wanted);
            if let Err(reason) = run_told(pip, None, progress)? {
                return Err(BuildError::Install { what: "pip".to_owned(), reason });
            }
            fs::write(&complete, "").map_err(at(&complete))?;
        }
        Ok(())
    }

    /// pip, to install wheels and nothing else, in the environment that has been prepared.
    pub(super) fn pip_install(&self) -> Command {
        let mut pip = clean(&self.python());
        pip.args([
            "-I",
            "-c",
            START_PIP,
            "--quiet",
            "--no-input",
            "--disable-pip-version-check",
            "--no-color",
            "install",
        ]);
        pip.args(["--only-binary", ":all:"]).current_dir(&self.folder);
        for name in INDEX {
            if let Some(value) = std::env::var_os(name) {
                pip.env(name, value);
            }
        }
        pip
    }
}

/// Runs a program to its end; what it says when it fails is the reason.
pub(super) fn run_told(
    command: Command,
    folder: Option<(PathBuf, u64)>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Result<(), String>, BuildError> {
    let mut said = String::new();
    let ended = run(command, Some(Bounds { time: TIME, folder }), &mut |told| {
        if let Progress::Line(line) = told {
            said.push_str(line);
            said.push('\n');
        }
        progress(told);
    })
    .map_err(not_started)?;
    match ended.cut_short {
        Some(CutShort::Time) => return Err(BuildError::TooLong { what: "installing", seconds: TIME.as_secs() }),
        Some(CutShort::Space) => return Err(BuildError::TooMuch { what: "what the requirements install" }),
        None => {}
    }
    // Some say it there.
    said.push_str(&String::from_utf8_lossy(&ended.output));
    Ok(if ended.status.success() { Ok(()) } else { Err(said.trim().to_owned()) })
}

/// Python could not be started.
pub(super) fn not_started(source: io::Error) -> BuildError {
    BuildError::NoPython(source.to_string())
}

/// A program that gets nothing of this process's environment but what programs need to be found and to find their own.
fn clean(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear();
    for name in ["PATH", "HOME", "TMPDIR", "LANG", "LC_ALL"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

/// What a program prints that has little to say, if it succeeds.
fn asked(command: Command) -> Option<String> {
    let ended = run(command, Some(Bounds { time: MOMENT, folder: None }), &mut |_| {}).ok()?;
    ended.status.success().then(|| String::from_utf8_lossy(&ended.output).into_owned())
}

/// Whether componentize-py is installed in the right version.
fn is_installed() -> bool {
    let mut command = clean(Path::new("componentize-py"));
    command.arg("--version");
    asked(command).is_some_and(|printed| printed.split_whitespace().any(|word| word == VERSION))
}

/// A Python that is new enough.
fn find_python() -> Result<PathBuf, BuildError> {
    let chosen = std::env::var_os("ARMADA_PYTHON").map(PathBuf::from);
    let names = ["python3", "python3.14", "python3.13", "python3.12", "python3.11", "python3.10", "python"];
    let candidates =
        chosen.clone().into_iter().chain(names.map(PathBuf::from).into_iter().filter(|_| chosen.is_none()));
    let mut found = Vec::new();
    for python in candidates {
        let mut command = clean(&python);
        command.args(["-I", "-c", "import sys; print(sys.version_info[0], sys.version_info[1])"]);
        let Some(printed) = asked(command) else { continue };
        let mut numbers = printed.split_whitespace().filter_map(|number| number.parse::<u32>().ok());
        if let (Some(major), Some(minor)) = (numbers.next(), numbers.next()) {
            if (major, minor) >= OLDEST {
                return Ok(python);
            }
            found.push(format!("{} is {major}.{minor}", python.display()));
        }
    }
    Err(BuildError::NoPython(match (found.is_empty(), chosen) {
        (true, Some(chosen)) => format!("ARMADA_PYTHON is {}, which is none", chosen.display()),
        (true, None) => "there is none (on Debian and Ubuntu: apt-get install python3-venv)".to_owned(),
        (false, _) => format!("{}; ARMADA_PYTHON names another one", found.join(", ")),
    }))
}
