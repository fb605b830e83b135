//! What tests need from PyPI, installed once into the folder of the tests' cache.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use crate::run::cache_folder;

/// The Celery that Armada is tried and measured with.
pub const CELERY: &str = "celery==5.7.0";

/// A Python that has a package, `name==version`, and what it needs, all of it from wheels.
///
/// # Panics
///
/// When it cannot be installed.
pub fn python(package: &str) -> PathBuf {
    python_building(package, &[])
}

/// The same where there are no wheels of these packages, so that pip makes them.
///
/// # Panics
///
/// When it cannot be installed.
pub fn python_building(package: &str, without_wheels: &[&str]) -> PathBuf {
    static INSTALLING: Mutex<()> = Mutex::new(());
    let _installing = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = cache_folder().join(package.replace("==", "-"));
    let (python, complete) = (folder.join("bin/python"), folder.join("complete"));
    if !complete.exists() {
        let any = std::env::var_os("ARMADA_PYTHON").unwrap_or_else(|| OsString::from("python3"));
        run(Command::new(any).args(["-I", "-m", "venv", "--clear"]).arg(&folder));
        let install =
            ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:", package];
        let built = without_wheels.iter().flat_map(|package| ["--no-binary", package]);
        run(Command::new(&python).args(install).args(built));
        std::fs::write(complete, "").unwrap();
    }
    python
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
