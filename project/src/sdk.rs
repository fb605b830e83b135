//! The SDK's own source, carried along in this program.
//!
//! A Rust project's Cargo.toml names the SDK by a path in its own folder, `.armada/guest-sdk/rust`, and this puts it
//! there: the SDK that this very program's host knows, on any machine, with nothing to look up anywhere. The folder is
//! not for version control; a project that names another path (as the examples here do) gets none. A Python project is
//! always built with the SDK that is carried along; what is put into its folder is for editors.

use std::io;
use std::path::{Path, PathBuf};

use include_dir::{Dir, include_dir};

use crate::project::Language;
use crate::schema::template_schema;

static RUST: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../guest-sdk/rust");
static PYTHON: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../guest-sdk/python/armada");
/// Modules of the system that Armada succeeds, for projects that import them.
static REFERENCE: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../guest-sdk/python/reference");
static WIT: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../wit");

/// Where Armada keeps what is its own in a project folder.
pub(crate) const FOLDER: &str = ".armada";
/// Where the schema of the template is put, within that folder.
pub(crate) const SCHEMA: &str = "config_template.schema.json";
/// Where the SDKs are put, within that folder.
const RUST_SDK: &str = "guest-sdk/rust";
const PYTHON_SDK: &str = "guest-sdk/python";

/// Puts the SDK and the schema into a project folder, if the project wants them from there. Files that are as they
/// should be are left alone, so that nothing is compiled again for nothing.
pub(crate) fn provide(root: &Path, language: Language) -> Result<(), (PathBuf, io::Error)> {
    let folder = root.join(FOLDER);
    match language {
        Language::Rust => {
            let manifest = std::fs::read_to_string(root.join("Cargo.toml")).unwrap_or_default();
            if manifest.contains(&format!("{FOLDER}/{RUST_SDK}")) {
                write_all(&RUST, &folder.join(RUST_SDK))?;
                write_all(&WIT, &folder.join("wit"))?;
            }
        }
        Language::Python if folder.is_dir() => {
            write_all(&PYTHON, &folder.join(PYTHON_SDK).join("armada"))?;
            write_all(&REFERENCE, &folder.join(PYTHON_SDK))?;
        }
        Language::Python => {}
    }
    if folder.is_dir() {
        let schema = serde_json::to_string_pretty(&template_schema()).unwrap_or_default();
        write(&folder.join(SCHEMA), format!("{schema}\n").as_bytes())?;
    }
    Ok(())
}

/// Puts what Python projects are built with into folders: the SDK, the reference's modules, and the contract.
pub(crate) fn write_python(sdk: &Path, reference: &Path, wit: &Path) -> Result<(), (PathBuf, io::Error)> {
    write_all(&PYTHON, &sdk.join("armada"))?;
    write_all(&REFERENCE, reference)?;
    write_all(&WIT, wit)
}

/// Each file that Python projects are built with.
pub(crate) fn each_python_file(visit: &mut dyn FnMut(&Path, &[u8])) {
    fn each(folder: &Dir<'_>, visit: &mut dyn FnMut(&Path, &[u8])) {
        for file in folder.files().filter(|file| belongs(file.path())) {
            visit(file.path(), file.contents());
        }
        folder.dirs().for_each(|folder| each(folder, visit));
    }
    for folder in [&PYTHON, &REFERENCE, &WIT] {
        each(folder, visit);
    }
}

/// Whether a file is part of an SDK, rather than what Python leaves beside one.
fn belongs(file: &Path) -> bool {
    file.extension().is_none_or(|extension| extension != "pyc")
}

fn write_all(from: &Dir<'_>, to: &Path) -> Result<(), (PathBuf, io::Error)> {
    for file in from.files().filter(|file| belongs(file.path())) {
        write(&to.join(file.path().file_name().unwrap_or_default()), file.contents())?;
    }
    for folder in from.dirs() {
        write_all(folder, &to.join(folder.path().file_name().unwrap_or_default()))?;
    }
    Ok(())
}

fn write(path: &Path, content: &[u8]) -> Result<(), (PathBuf, io::Error)> {
    refuse_links(path)?;
    if std::fs::read(path).is_ok_and(|there| there == content) {
        return Ok(());
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(path, content))
        .map_err(|error| (path.to_owned(), error))
}

/// What is Armada's own in a project is written where it is called to be, not where a link leads that came with the
/// project.
fn refuse_links(path: &Path) -> Result<(), (PathBuf, io::Error)> {
    let from_own = |part: &&Path| part.components().any(|part| part.as_os_str() == FOLDER);
    match path.ancestors().take_while(from_own).find(|part| part.is_symlink()) {
        Some(link) => {
            Err((link.to_owned(), io::Error::other("this is a link, where Armada keeps files of its own: remove it")))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_written_through_a_link_that_came_with_a_project() {
        let folder = tempfile::tempdir().unwrap();
        let (project, victim) = (folder.path().join("project"), folder.path().join("victim"));
        std::fs::create_dir_all(project.join(FOLDER)).unwrap();
        std::fs::write(&victim, "mine").unwrap();
        std::os::unix::fs::symlink(&victim, project.join(FOLDER).join(SCHEMA)).unwrap();
        assert!(provide(&project, Language::Rust).is_err());
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "mine");

        std::fs::remove_dir_all(project.join(FOLDER)).unwrap();
        let elsewhere = folder.path().join("elsewhere");
        std::fs::create_dir(&elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, project.join(FOLDER)).unwrap();
        assert!(provide(&project, Language::Python).is_err());
        assert_eq!(std::fs::read_dir(&elsewhere).unwrap().count(), 0);
    }
}
