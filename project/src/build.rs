//! Building: from a project folder to one component.
//!
//! Cargo decides what has to be compiled again and keeps what it has compiled; nothing is rebuilt that has not changed.
//! Source files are named by their place in the project, so that a traceback says `ctx_script.rs:12` on any machine and
//! the same sources give the same component.

use std::io::{self, BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cargo_metadata::{Message, MetadataCommand, TargetKind};

use crate::component::{Component, ComponentFlaw};
use crate::project::{Language, Project};
use crate::sdk;

/// What components are compiled for.
const TARGET: &str = "wasm32-wasip2";

/// Why a project could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// It is written in a language that cannot be built yet.
    #[error("{0} projects cannot be built by this version of Armada")]
    Language(Language),
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
    /// The compiler cannot compile for Wasm.
    #[error("the Rust toolchain in use cannot compile for {TARGET}: run `rustup target add {TARGET}`")]
    NoTarget,
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
    /// The compiler has been started: the process group of all that it starts, for whoever wants to end it.
    Started(u32),
    /// A line that the compiler prints.
    Line(&'a str),
}

/// Compiles a project to a component. `progress` is told of it; lines have colours if they are wanted.
pub fn build(
    project: &Project,
    colours: bool,
    mut progress: impl FnMut(Progress<'_>),
) -> Result<Component, BuildError> {
    if project.language() != Language::Rust {
        return Err(BuildError::Language(project.language()));
    }
    let root = project.root();
    sdk::provide(root).map_err(|(path, source)| BuildError::File { path, source })?;
    check_target(root)?;
    let name = package_name(root)?;
    let mut command = cargo(root);
    command
        .args(["build", "--release", "--target", TARGET])
        .arg("--message-format=json-render-diagnostics")
        .arg(format!("--color={}", if colours { "always" } else { "never" }))
        .args(["--config", &remapping(root)])
        // Lines for the author's own code; what it uses does not show in tracebacks.
        .args(["--config", &format!("profile.release.package.{name}.debug=\"line-tables-only\"")])
        .args(["--config", "profile.release.strip=\"none\""])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // What Cargo starts is ended with it.
        .process_group(0);
    let mut child = command.spawn().map_err(no_cargo)?;
    progress(Progress::Started(child.id()));
    let (printed, messages) = (child.stderr.take(), child.stdout.take());
    let reading = std::thread::spawn(move || messages.map(|messages| component_path(messages, &name)));
    if let Some(printed) = printed {
        for line in BufReader::new(printed).lines().map_while(Result::ok) {
            progress(Progress::Line(&line));
        }
    }
    let path = reading.join().ok().flatten().flatten();
    if !child.wait().map_err(no_cargo)?.success() {
        return Err(BuildError::Compile);
    }
    let path = path.ok_or(BuildError::NoComponent)?;
    let bytes = std::fs::read(&path).map_err(|source| BuildError::File { path, source })?;
    Ok(Component::read(bytes)?)
}

fn cargo(root: &Path) -> Command {
    // Within `cargo run` or `cargo test`, this is set to the very program that runs us.
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command
}

fn no_cargo(source: io::Error) -> BuildError {
    BuildError::Tool { program: "cargo", source, advice: "install Rust from https://rustup.rs" }
}

/// Whether the toolchain that the project uses has the target.
fn check_target(root: &Path) -> Result<(), BuildError> {
    let mut command = Command::new("rustc");
    command.current_dir(root).args(["--print", "target-libdir", "--target", TARGET]).stderr(Stdio::null());
    let output = command.output().map_err(|source| BuildError::Tool {
        program: "rustc",
        source,
        advice: "install Rust from https://rustup.rs",
    })?;
    let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    if output.status.success() && folder.is_dir() { Ok(()) } else { Err(BuildError::NoTarget) }
}

/// The name of the project's own package.
fn package_name(root: &Path) -> Result<String, BuildError> {
    let manifest = root.join("Cargo.toml");
    if !manifest.is_file() {
        return Err(BuildError::Manifest(
            "there is no Cargo.toml: `armada new` makes a project that has one".to_owned(),
        ));
    }
    let mut command = MetadataCommand::new();
    command.manifest_path(&manifest).no_deps();
    let metadata = command.exec().map_err(|error| BuildError::Manifest(error.to_string()))?;
    let own = metadata.packages.iter().find(|package| package.manifest_path.as_std_path() == manifest);
    own.map(|package| package.name.to_string())
        .ok_or_else(|| BuildError::Manifest("Cargo.toml is of a workspace, not of a package".to_owned()))
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
