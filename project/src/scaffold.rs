//! New projects: a template for each language, and the configuration that all languages share.

use std::io;
use std::path::{Path, PathBuf};

use include_dir::{Dir, include_dir};

use crate::project::Language;
use crate::sdk;

/// Names that no Rust project can have: the crates that its Cargo.toml names and those that come with Rust, and the
/// keywords.
const TAKEN: &str = "armada serde \
    alloc compiler_builtins core proc_macro std test \
    abstract as async await become box break const continue crate do dyn else enum extern false final fn for gen if impl \
    in let loop macro match mod move mut override priv pub ref return self Self static struct super trait true try type \
    typeof unsafe unsized use virtual where while yield";

static CONFIG: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/scaffold/config");
static PYTHON: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/scaffold/python");
static RUST: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/scaffold/rust");

/// Why a project was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScaffoldError {
    /// The name is none.
    #[error("a {language} project cannot be called `{name}`: {}", advice(*language))]
    Name {
        /// The name.
        name: String,
        /// The project's language, which says how names look.
        language: Language,
    },
    /// The name means something else to Rust, or to the project.
    #[error("a project cannot be called `{0}`, which is the name of a crate or a word of Rust: try `my-{0}`")]
    Taken(String),
    /// There is something already.
    #[error("{} is there already, and is not an empty folder", .0.display())]
    Exists(PathBuf),
    /// A file could not be written.
    #[error("{}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Makes a project folder that builds and runs. `path` ends with its name; it may be there already if nothing is in it.
/// Gives the files that it has.
pub fn scaffold(path: &Path, language: Language) -> Result<Vec<PathBuf>, ScaffoldError> {
    // `.` has a name only when it is looked up.
    let there = std::fs::canonicalize(path).ok();
    let name = there.as_deref().unwrap_or(path).file_name();
    let name = name.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    check_name(&name, language)?;
    let is_empty = |folder: &PathBuf| std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none());
    if path.symlink_metadata().is_ok() && !there.as_ref().is_some_and(is_empty) {
        return Err(ScaffoldError::Exists(path.to_owned()));
    }
    let mut written = Vec::new();
    let template = match language {
        Language::Python => &PYTHON,
        Language::Rust => &RUST,
    };
    let made = write_all(template, path, &name, &mut written);
    let made = made.and_then(|()| write_all(&CONFIG, &path.join("config"), &name, &mut written)).and_then(|()| {
        let folder = path.join(sdk::FOLDER);
        std::fs::create_dir_all(&folder).map_err(|error| (folder, error))?;
        sdk::provide(path, language)
    });
    match made {
        Ok(()) => Ok(written),
        Err((file, source)) => {
            // Half a project is none.
            let _ = std::fs::remove_dir_all(path);
            if there.is_some() {
                let _ = std::fs::create_dir(path);
            }
            Err(ScaffoldError::File { path: file, source })
        }
    }
}

/// Whether a project can have this name: a Rust project's is also that of a crate, a Python project's only that of its
/// folder.
fn check_name(name: &str, language: Language) -> Result<(), ScaffoldError> {
    let is_well_formed = match language {
        Language::Python => !name.is_empty() && !name.contains(char::is_control),
        Language::Rust => {
            name.starts_with(|first: char| first.is_ascii_alphabetic())
                && name.chars().all(|one| one.is_ascii_alphanumeric() || one == '-' || one == '_')
                && name.len() <= 64
        }
    };
    if !is_well_formed {
        return Err(ScaffoldError::Name { name: name.to_owned(), language });
    }
    let is_taken = || TAKEN.split_whitespace().any(|taken| taken == name.replace('-', "_"));
    match language == Language::Rust && is_taken() {
        true => Err(ScaffoldError::Taken(name.to_owned())),
        false => Ok(()),
    }
}

/// How names look.
fn advice(language: Language) -> &'static str {
    match language {
        Language::Python => "give the name of a folder, in characters that can be seen",
        Language::Rust => "use letters, digits, `-` and `_`, and begin with a letter",
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
            assert!(matches!(made, Err(ScaffoldError::Name { .. } | ScaffoldError::Exists(_))), "{name}: {made:?}");
        }
        let path = folder.path().join("prices-2");
        scaffold(&path, Language::Rust).unwrap();
        assert!(std::fs::read_to_string(path.join("Cargo.toml")).unwrap().contains("name = \"prices-2\""));
        assert!(path.join(".gitignore").is_file());
        assert!(path.join(".armada/guest-sdk/rust/Cargo.toml").is_file());
        assert!(path.join(".armada/wit/project.wit").is_file());
        assert!(path.join(".armada").join(sdk::SCHEMA).is_file());
        assert!(matches!(scaffold(&path, Language::Rust), Err(ScaffoldError::Exists(_))));
        let of_a_file = scaffold(&path.join("Cargo.toml"), Language::Rust);
        assert!(matches!(of_a_file, Err(ScaffoldError::Name { .. })));
    }

    #[test]
    fn a_python_project_is_called_whatever_a_folder_can_be_called() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["1st", "my shop", "größe", "class"] {
            let path = folder.path().join(name);
            let written = scaffold(&path, Language::Python).unwrap();
            assert!(written.contains(&path.join("ctx_script.py")) && written.contains(&path.join("pyproject.toml")));
            assert!(std::fs::read_to_string(path.join("README.md")).unwrap().starts_with(&format!("# {name}\n")));
            assert!(path.join(".armada").join(sdk::SCHEMA).is_file());
        }
        let refused = scaffold(&folder.path().join("a\nb"), Language::Python).unwrap_err();
        assert!(refused.to_string().ends_with("in characters that can be seen"), "{refused}");
        let path = folder.path().join("1st");
        assert!(matches!(scaffold(&path, Language::Python), Err(ScaffoldError::Exists(_))));
    }

    #[test]
    fn names_of_crates_and_words_of_rust_are_refused_with_another_name() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["armada", "serde", "std", "proc-macro", "match"] {
            let refused = scaffold(&folder.path().join(name), Language::Rust).unwrap_err();
            assert!(refused.to_string().ends_with(&format!("try `my-{name}`")), "{refused}");
        }
        assert!(scaffold(&folder.path().join("my-armada"), Language::Rust).is_ok());
    }

    #[test]
    fn a_folder_that_is_there_and_empty_becomes_a_project_of_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shoes");
        std::fs::create_dir(&path).unwrap();
        scaffold(&path.join("."), Language::Rust).unwrap();
        assert!(std::fs::read_to_string(path.join("Cargo.toml")).unwrap().contains("name = \"shoes\""));
    }

    #[test]
    fn a_new_projects_configuration_is_right_in_every_language() {
        let folder = tempfile::tempdir().unwrap();
        for language in [Language::Python, Language::Rust] {
            let path = folder.path().join(language.to_string());
            scaffold(&path, language).unwrap();
            let project = crate::Project::open(&path).unwrap();
            assert_eq!((project.language(), project.notes()), (language, &[][..]));
            let configuration = project.resolve(crate::Mode::Local, &crate::Overrides::default()).unwrap();
            assert!(configuration.notes().is_empty(), "{:?}", configuration.notes());
            assert!(project.resolve(crate::Mode::Distant, &crate::Overrides::default()).is_ok());
        }
    }
}
