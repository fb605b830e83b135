//! Projects in Rust: Cargo compiles them.
//!
//! Cargo decides what has to be compiled again and keeps what it has compiled; nothing is rebuilt that has not changed.
//! Source files are named by their place in the project, so that a traceback says `ctx_script.rs:12` on any machine and
//! the same sources give the same component.
//!
//! Build scripts and procedural macros run on this machine, as Cargo has it. But which compiler works is for whoever
//! builds to say: a `.cargo/config.toml` or `rust-toolchain.toml` in the project's folder, which could name any
//! program, is not read, because Cargo and rustup are started elsewhere and look for these where they start.

use std::ffi::OsStr;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::{Message, MetadataCommand, Package, TargetKind};

use super::{BuildError, BuildOptions, Progress, run};
use crate::component::Component;
use crate::mistake::Note;

/// What components are compiled for.
pub(super) const TARGET: &str = "wasm32-wasip2";

/// Compiles a crate to a component.
pub(super) fn build(
    root: &Path,
    options: BuildOptions<'_>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Component, BuildError> {
    check_target()?;
    let package = package(root)?;
    if let Some(script) = package.targets.iter().find(|target| target.is_custom_build()) {
        progress(Progress::Note(Note {
            about: script.src_path.strip_prefix(root).unwrap_or(&script.src_path).to_string(),
            message: "Cargo runs this build script on this machine, outside the sandbox".to_owned(),
        }));
    }
    let name = package.name.to_string();
    let mut command = elsewhere(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args(["rustc", "--lib", "--release", "--target", TARGET, "--manifest-path"])
        .arg(&package.manifest_path)
        .arg("--message-format=json-render-diagnostics")
        .arg(format!("--color={}", if options.colours { "always" } else { "never" }))
        .args(["--config", &remapping(root)])
        // Lines for the author's own code; what it uses does not show in tracebacks.
        .args(["--config", &format!("profile.release.package.{name}.debug=\"line-tables-only\"")])
        .args(["--config", "profile.release.strip=\"none\""]);
    if options.tests {
        // As for `cargo test`, but without its harness: the modules of `#[cfg(test)]` are part of the component.
        command.args(["--", "--cfg", "test", "--allow", "explicit_builtin_cfgs_in_flags"]);
    }
    let ended = run(command, None, progress).map_err(no_cargo)?;
    if !ended.status.success() {
        return Err(BuildError::Compile);
    }
    let path = component_path(ended.output.as_slice(), &name).ok_or(BuildError::NoComponent)?;
    let bytes = std::fs::read(&path).map_err(|source| BuildError::File { path, source })?;
    Ok(Component::read(bytes)?)
}

/// A program that reads no configuration and chooses no toolchain by the folder that it is started in, nor by one
/// above.
fn elsewhere(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir("/");
    // Relative to where the user is, as for Cargo.
    if let Some(folder) = std::env::var_os("CARGO_TARGET_DIR").and_then(|folder| std::path::absolute(folder).ok()) {
        command.env("CARGO_TARGET_DIR", folder);
    }
    command
}

fn no_cargo(source: io::Error) -> BuildError {
    BuildError::Tool { program: "cargo", source, advice: "install Rust from https://rustup.rs" }
}

/// Whether the toolchain in use has the target.
fn check_target() -> Result<(), BuildError> {
    let mut command = elsewhere("rustc");
    command.args(["--print", "sysroot", "--print", "target-libdir", "--target", TARGET]).env("RUST_BACKTRACE", "0");
    let output = command.output().map_err(|source| BuildError::Tool {
        program: "rustc",
        source,
        advice: "install Rust from https://rustup.rs",
    })?;
    if !output.status.success() {
        return Err(BuildError::NoToolchain(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    let printed = String::from_utf8_lossy(&output.stdout);
    let mut folders = printed.lines().map(Path::new);
    let toolchain = folders.next().unwrap_or(Path::new(""));
    if folders.next().is_some_and(Path::is_dir) {
        return Ok(());
    }
    let of_rustup = toolchain.parent().is_some_and(|folder| folder.ends_with("toolchains"));
    let advice = match toolchain.file_name().filter(|_| of_rustup) {
        Some(name) => format!("run `rustup target add {TARGET} --toolchain {}`", name.to_string_lossy()),
        None => format!("install Rust from https://rustup.rs, then run `rustup target add {TARGET}`"),
    };
    Err(BuildError::NoTarget { folder: toolchain.to_owned(), advice })
}

/// The project's own package.
fn package(root: &Path) -> Result<Package, BuildError> {
    let manifest = root.join("Cargo.toml");
    if !manifest.is_file() {
        return Err(BuildError::Manifest(
            "there is no Cargo.toml: `armada new` makes a project that has one".to_owned(),
        ));
    }
    let mut command = MetadataCommand::new();
    command.manifest_path(&manifest).no_deps().current_dir("/");
    let metadata = command.exec().map_err(|error| BuildError::Manifest(error.to_string()))?;
    let own = metadata.packages.into_iter().find(|package| package.manifest_path.as_std_path() == manifest);
    own.ok_or_else(|| BuildError::Manifest("Cargo.toml is of a workspace, not of a package".to_owned()))
}

/// Names source files by their place: in the project, or under a name that is the same everywhere.
fn remapping(root: &Path) -> String {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let mut flags = vec![format!("--remap-path-prefix={}=", root.display())];
    flags.extend(home.map(|home| format!("--remap-path-prefix={}=/cargo", home.display())));
    // JSON strings are TOML strings.
    format!("target.{TARGET}.rustflags={}", serde_json::Value::from(flags))
}

/// The component among the messages of Cargo.
fn component_path(messages: impl io::Read, package: &str) -> Option<PathBuf> {
    let mut found = None;
    for message in Message::parse_stream(BufReader::new(messages)).map_while(Result::ok) {
        if let Message::CompilerArtifact(artifact) = message
            && artifact.target.kind.contains(&TargetKind::CDyLib)
            && artifact.target.name.replace('-', "_") == package.replace('-', "_")
        {
            let wasm = artifact.filenames.iter().find(|file| file.extension() == Some("wasm"));
            found = wasm.map(|file| file.clone().into_std_path_buf()).or(found);
        }
    }
    found
}
