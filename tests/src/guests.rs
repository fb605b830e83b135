//! Guests: small projects under `tests/guests`, each compiled to a component of its own.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use crate::{repository, target_folder};

/// The component of a guest, by the name of its file.
///
/// # Panics
///
/// When guests do not compile, or there is none of this name.
pub fn component(name: &str) -> Vec<u8> {
    let path = built().join(format!("{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("there is no guest {name}: {}: {error}", path.display()))
}

/// Compiles all guests, once; gives the folder that they are in.
fn built() -> &'static PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
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
