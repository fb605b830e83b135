//! The rig of the end-to-end tests: components to run, pages to visit, and runs of one process.
//!
//! Everything is real: components are compiled by the project's own toolchain, agents launch a real Chromium, and pages
//! come from a server on a free port of this machine. Whatever a test starts, it ends.

pub mod answers;
pub mod calls;
pub mod clock;
pub mod command;
pub mod cut;
pub mod guests;
pub mod processes;
pub mod pypi;
pub mod run;
pub mod serve;
pub mod servers;
pub mod site;

/// The folder of this repository.
pub fn repository() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap_or_default()
}

/// The folder that everything is built in: a program is in `<folder>/<profile>`, and one of tests in `deps` there.
pub fn target_folder() -> std::path::PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let profile = program.ancestors().skip(1).find(|folder| !folder.ends_with("deps"));
    profile.and_then(std::path::Path::parent).map(Into::into).unwrap_or_default()
}
