//! The rig of the end-to-end tests: components to run, pages to visit, and runs of one process.
//!
//! Everything is real: components are compiled by the project's own toolchain, agents launch a real Chromium, and pages
//! come from a server on a free port of this machine. Whatever a test starts, it ends.

pub mod answers;
pub mod calls;
pub mod cases;
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
pub mod upstreams;

/// The hosts that an operator has to name for pages of this machine to be visited.
pub const PRIVATE_HOSTS: &str = "127.0.0.1:*,localhost:*,[::1]:*";

/// Has this process use one provider of cryptography, as the command does: libraries bring two along.
pub fn choose_cryptography() {
    // Another test may have been first.
    let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
}

/// The folder of this repository.
pub fn repository() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap_or_default()
}

/// The folder that everything is built in: a program is in [`profile_folder`], and one of tests in `deps` there.
pub fn target_folder() -> std::path::PathBuf {
    profile_folder().parent().map(Into::into).unwrap_or_default()
}

/// The folder of this program and those that were built with it.
pub fn profile_folder() -> std::path::PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    program.ancestors().skip(1).find(|folder| !folder.ends_with("deps")).map(Into::into).unwrap_or_default()
}
