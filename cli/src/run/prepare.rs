//! What is seen to before a run starts anything: that its component can be run, and that there is a browser if it needs
//! one. The component is compiled here, once for all agents.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use armada_host::{ComponentCache, Sandbox, find_chromium, has_display};
use armada_project::{Capability, Component, Digest, Grant};
use indicatif::{ProgressBar, ProgressStyle};

use crate::args::BrowserArguments;
use crate::console::{printable_line, progress};
use crate::places;
use crate::signals::Interruption;

/// Whether a component can be run with this grant, and whether there is the browser that it needs.
pub(crate) fn check(component: &Component, grant: &Grant, browser: &BrowserArguments) -> anyhow::Result<()> {
    check_imports(component)?;
    if grant.check_capability(Capability::Browser.name()).is_ok()
        && component.capabilities().any(|used| used == Capability::Browser)
    {
        find_chromium(browser.chromium.as_deref())?;
    }
    Ok(())
}

/// A window needs somewhere to be: told before anything takes time.
pub(crate) fn check_display(browser: &BrowserArguments) -> anyhow::Result<()> {
    ensure!(
        !browser.headed || has_display(),
        "--headed needs a display, and neither DISPLAY nor WAYLAND_DISPLAY is set: leave it out, or run under xvfb-run"
    );
    Ok(())
}

/// A component whose imports are not there cannot be run.
fn check_imports(component: &Component) -> anyhow::Result<()> {
    let unknown: Vec<String> = component.unknown_imports().map(printable_line).collect();
    ensure!(
        unknown.is_empty(),
        "the component imports {}, which this version of Armada does not know: build it with the SDK of this version",
        unknown.join(", ")
    );
    Ok(())
}

/// Has the component compiled. Gives the folder of the cache that has it, or nothing when it was interrupted.
pub(crate) async fn compile(
    component: &Component,
    cache: PathBuf,
    temp: &Path,
    interruption: &Interruption,
) -> anyhow::Result<Option<PathBuf>> {
    let bar = progress().add(ProgressBar::no_length());
    bar.set_style(
        ProgressStyle::with_template("{spinner} preparing").unwrap_or_else(|_| ProgressStyle::default_spinner()),
    );
    bar.enable_steady_tick(Duration::from_millis(100));
    let (digest, bytes) = (component.reference().digest, component.bytes().to_vec());
    let temp = temp.join("cache");
    let compiling = tokio::task::spawn_blocking(move || compile_into(cache, temp, digest, &bytes));
    let compiled = tokio::select! {
        compiled = compiling => compiled.context("the component's compilation")?.map(Some),
        () = interruption.gently.cancelled() => Ok(None),
    };
    bar.finish_and_clear();
    compiled
}

/// Compiles into the cache, unless it is there; into the run's own one if the cache cannot be used.
fn compile_into(cache: PathBuf, temp: PathBuf, digest: Digest, bytes: &[u8]) -> anyhow::Result<PathBuf> {
    let sandbox = Sandbox::new()?;
    if ComponentCache::new(places::components(&cache)).load(&sandbox, digest).is_some() {
        return Ok(cache);
    }
    let folder = match try_writing(&places::components(&cache)) {
        Ok(()) => cache,
        Err(error) => {
            tracing::warn!(
                "{}: {error}: what is compiled is kept for this run only; --cache-dir names another folder",
                cache.display()
            );
            temp
        }
    };
    ComponentCache::new(places::components(&folder)).compile(&sandbox, digest, bytes)?;
    Ok(folder)
}

fn try_writing(folder: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    tempfile::tempfile_in(folder).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A component that exports what a project does, by name, and has this import, or none.
    fn component(import: &str) -> Component {
        let text =
            format!(r#"(component {import} (instance $i) (export "armada:project/lifecycle@0.1.0" (instance $i)))"#);
        Component::read(wat::parse_str(text).unwrap()).unwrap()
    }

    #[test]
    fn a_component_with_an_import_that_nobody_knows_is_refused_with_its_name() {
        let refused = check_imports(&component(r#"(import "evil:door/shell@1.0.0" (instance))"#));
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("evil:door/shell@1.0.0") && refused.contains("SDK"), "{refused}");
        assert!(check_imports(&component("")).is_ok());
    }

    #[test]
    fn a_component_is_compiled_into_the_cache_or_for_the_run_if_that_cannot_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, own) = (folder.path().join("cache"), folder.path().join("own"));
        let component = component("");
        let compile = |cache: &Path| {
            compile_into(cache.to_owned(), own.clone(), component.reference().digest, component.bytes()).unwrap()
        };
        assert_eq!(compile(&cache), cache);
        assert_eq!(compile(&cache), cache);
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert_eq!(compile(&file.join("cache")), own);
        assert!(own.join("components").is_dir());
    }
}
