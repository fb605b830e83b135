//! What is run in the sandbox: guests under `tests/guests`, each a component of its own, and whole projects.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use armada_project::{BuildOptions, Project};

use crate::run::cache_folder;
use crate::{repository, target_folder};

/// The component of a project, built as `armada build` does.
///
/// # Panics
///
/// When it cannot be built.
pub fn built(folder: &Path) -> Vec<u8> {
    let project = Project::open(folder).unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
    let mut printed = String::new();
    let options = BuildOptions { colours: false, cache: &cache_folder(), tests: false };
    let built = armada_project::build(&project, options, |told| printed.push_str(&format!("{told:?}\n")));
    built.unwrap_or_else(|error| panic!("{error}\n{printed}")).into_bytes()
}

/// The component of a guest, by the name of its file.
///
/// # Panics
///
/// When guests do not compile, or there is none of this name.
pub fn component(name: &str) -> Vec<u8> {
    let path = compiled().join(format!("{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("there is no guest {name}: {}: {error}", path.display()))
}

/// Compiles all guests, once; gives the folder that they are in.
fn compiled() -> &'static PathBuf {
    static COMPILED: OnceLock<PathBuf> = OnceLock::new();
    COMPILED.get_or_init(|| {
        let folder = repository().join("tests/guests");
        // Apart from the host's own target folder: both can be compiled at the same time.
        let target = target_folder().join("guests");
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(&folder).args(["build", "--release", "--examples", "--target", "wasm32-wasip2"]);
        cargo.arg("--target-dir").arg(&target);
        // What a traceback names is relative to the guests' folder, as `armada build` has it for projects.
        let remap = format!("target.wasm32-wasip2.rustflags=[\"--remap-path-prefix={}=\"]", folder.display());
        cargo.args(["--config", &remap]);
        let output = cargo.output().unwrap_or_else(|error| panic!("cargo: {error}"));
        assert!(output.status.success(), "guests do not compile:\n{}", String::from_utf8_lossy(&output.stderr));
        target.join("wasm32-wasip2/release/examples")
    })
}
