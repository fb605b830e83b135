//! New projects.

use std::io;
use std::path::{Path, PathBuf};

use include_dir::{Dir, include_dir};

use crate::project::Language;
use crate::sdk;

static RUST: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/scaffold/rust");

/// Why a project was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScaffoldError {
    /// The name is none.
    #[error("`{0}` is no name for a project: use letters, digits, `-` and `_`, beginning with a letter")]
    Name(String),
    /// There is something already.
    #[error("{} is there already", .0.display())]
    Exists(PathBuf),
    /// It is a language without a template.
    #[error("there is no template for {0} projects in this version of Armada")]
    Language(Language),
    /// A file could not be written.
    #[error("{}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Makes a project folder that builds and runs. `path` ends with its name. Gives the files that it has.
pub fn scaffold(path: &Path, language: Language) -> Result<Vec<PathBuf>, ScaffoldError> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let well_formed = name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.chars().all(|one| one.is_ascii_alphanumeric() || one == '-' || one == '_');
    if !well_formed || name.len() > 64 {
        return Err(ScaffoldError::Name(name));
    }
    if language != Language::Rust {
        return Err(ScaffoldError::Language(language));
    }
    if path.exists() {
        return Err(ScaffoldError::Exists(path.to_owned()));
    }
    let mut written = Vec::new();
    let made = write_all(&RUST, path, &name, &mut written).and_then(|()| {
        let folder = path.join(sdk::FOLDER);
        std::fs::create_dir_all(&folder).map_err(|error| (folder, error))?;
        sdk::provide(path)
    });
    match made {
        Ok(()) => Ok(written),
        Err((file, source)) => {
            // Half a project is none.
            let _ = std::fs::remove_dir_all(path);
            Err(ScaffoldError::File { path: file, source })
        }
    }
}

/// Writes a template's files: `NAME` becomes the project's name, and a leading `_` of a file's name goes, under which a
/// file hides here that would mean something to the tools of this repository.
fn write_all(from: &Dir<'_>, to: &Path, name: &str, written: &mut Vec<PathBuf>) -> Result<(), (PathBuf, io::Error)> {
    std::fs::create_dir_all(to).map_err(|error| (to.to_owned(), error))?;
    for file in from.files() {
        let file_name = file.path().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let path = to.join(file_name.strip_prefix('_').unwrap_or(&file_name));
        let content = file.contents_utf8().unwrap_or_default().replace("NAME", name);
        std::fs::write(&path, content).map_err(|error| (path.clone(), error))?;
        written.push(path);
    }
    for folder in from.dirs() {
        let folder_name = folder.path().file_name().unwrap_or_default();
        write_all(folder, &to.join(folder_name), name, written)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_project_has_a_name_and_a_place_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["", "1st", "a b", "a/..", "ü"] {
            let made = scaffold(&folder.path().join(name), Language::Rust);
            assert!(matches!(made, Err(ScaffoldError::Name(_) | ScaffoldError::Exists(_))), "{name}: {made:?}");
        }
        let path = folder.path().join("prices-2");
        scaffold(&path, Language::Rust).unwrap();
        assert!(std::fs::read_to_string(path.join("Cargo.toml")).unwrap().contains("name = \"prices-2\""));
        assert!(path.join(".gitignore").is_file());
        assert!(path.join(".armada/guest-sdk/rust/Cargo.toml").is_file());
        assert!(path.join(".armada/wit/project.wit").is_file());
        assert!(path.join(".armada").join(sdk::SCHEMA).is_file());
        assert!(matches!(scaffold(&path, Language::Rust), Err(ScaffoldError::Exists(_))));
    }

    #[test]
    fn a_new_projects_configuration_is_right() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("demo");
        scaffold(&path, Language::Rust).unwrap();
        let project = crate::Project::open(&path).unwrap();
        let configuration = project.resolve(crate::Mode::Local, &crate::Overrides::default()).unwrap();
        assert!(configuration.notes().is_empty(), "{:?}", configuration.notes());
        assert!(project.resolve(crate::Mode::Distant, &crate::Overrides::default()).is_ok());
    }
}
