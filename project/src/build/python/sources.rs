//! The files of a Python project: its modules, and what lies beside them in their folders.
//!
//! Folders without any module are no part of the program, nor are hidden ones, tests, environments, and what other
//! tools leave behind. `main.py` belongs to the system that Armada succeeds: here, nothing imports it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::at;
use crate::build::BuildError;
use crate::mistake::{Mistake, Mistakes};

/// How much a project may hold, in bytes.
const MOST_BYTES: u64 = 64 << 20;
/// How deep its folders may be.
const MOST_DEPTH: usize = 16;
/// Folders that are no part of the program.
const APART: [&str; 6] = ["__pycache__", "artifacts", "config", "node_modules", "target", "venv"];
/// The folder of the project's tests, which are part of it only when they are asked for.
const TESTS: &str = "tests";
/// Files that are not for this system.
const NOT_OURS: [&str; 2] = ["main.py", "setup.py"];

/// What a project consists of: each file by its path in the project.
pub(super) struct Sources {
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl Sources {
    /// Reads a project's files, with its tests or without.
    pub(super) fn read(root: &Path, tests: bool) -> Result<Self, BuildError> {
        let mut reading = Reading { root, tests, left: MOST_BYTES, files: BTreeMap::new() };
        reading.folder(Path::new(""), 0)?;
        for name in ["armada", "wit_world"] {
            for file in [format!("{name}.py"), format!("{name}/__init__.py")] {
                if reading.files.contains_key(Path::new(&file)) {
                    let message = "this hides the module of the same name that Armada brings";
                    return Err(wrong(Path::new(&file), message, "give it another name"));
                }
            }
        }
        Ok(Self { files: reading.files })
    }

    /// Each file, in the order of their paths.
    pub(super) fn each(&self, visit: &mut dyn FnMut(&Path, &[u8])) {
        self.files.iter().for_each(|(path, content)| visit(path, content));
    }

    /// The text of a file.
    pub(super) fn text(&self, file: &str) -> Option<String> {
        Some(String::from_utf8_lossy(self.files.get(Path::new(file))?).into_owned())
    }

    /// Writes copies into a folder.
    pub(super) fn write(&self, folder: &Path) -> Result<(), BuildError> {
        for (file, content) in &self.files {
            let path = folder.join(file);
            let parent = path.parent().unwrap_or(folder);
            fs::create_dir_all(parent).map_err(at(parent))?;
            fs::write(&path, content).map_err(at(&path))?;
        }
        Ok(())
    }
}

struct Reading<'a> {
    root: &'a Path,
    tests: bool,
    left: u64,
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl Reading<'_> {
    /// Reads a folder: of the project's own only the modules, of those in it everything if there is a module in them.
    fn folder(&mut self, folder: &Path, depth: usize) -> Result<(), BuildError> {
        let path = self.root.join(folder);
        if depth > MOST_DEPTH {
            return Err(wrong(folder, "folders are nested too deeply", "move it up"));
        }
        let is_top = depth == 0;
        for entry in fs::read_dir(&path).map_err(at(&path))? {
            let entry = entry.map_err(at(&path))?;
            let name = entry.file_name();
            let shown = name.to_string_lossy();
            let inner = folder.join(&name);
            let path = path.join(&name);
            let Ok(kind) = fs::metadata(&path) else { continue };
            // A link to a file leads where the author says, unless that is somewhere else altogether; one to a folder
            // may lead round and round.
            if kind.is_dir() && path.is_symlink() {
                continue;
            }
            if shown.starts_with('.') || (is_top && NOT_OURS.contains(&shown.as_ref())) {
                continue;
            }
            if kind.is_dir() {
                let is_apart = APART.contains(&shown.as_ref())
                    || (shown == TESTS && !(self.tests && is_top))
                    || path.join("pyvenv.cfg").exists();
                if !is_apart && (!is_top || has_module(&path, depth)) {
                    self.stay_inside(&inner)?;
                    self.folder(&inner, depth + 1)?;
                }
            } else if kind.is_file() && (!is_top || shown.ends_with(".py")) && !shown.ends_with(".pyc") {
                self.stay_inside(&inner)?;
                self.file(inner)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, file: PathBuf) -> Result<(), BuildError> {
        let path = self.root.join(&file);
        let mut content = Vec::new();
        let opened = fs::File::open(&path).map_err(at(&path))?;
        opened.take(self.left + 1).read_to_end(&mut content).map_err(at(&path))?;
        self.left = match self.left.checked_sub(content.len() as u64) {
            Some(left) => left,
            None => {
                let message =
                    format!("the project's modules and what lies beside them exceed {} MiB", MOST_BYTES >> 20);
                return Err(wrong(&file, &message, "keep data out of the folders of modules"));
            }
        };
        self.files.insert(file, content);
        Ok(())
    }

    /// What becomes part of a component is the project's.
    fn stay_inside(&self, inner: &Path) -> Result<(), BuildError> {
        let path = self.root.join(inner);
        let real = path.canonicalize().map_err(at(&path))?;
        if real.starts_with(self.root) {
            return Ok(());
        }
        Err(wrong(inner, "this link leads out of the project", "put a copy in its place"))
    }
}

fn wrong(file: &Path, message: &str, help: &str) -> BuildError {
    Mistakes::from(Mistake::new(&file.display().to_string(), message).help(help)).into()
}

/// Whether there is a module in a folder or below it.
fn has_module(folder: &Path, depth: usize) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    entries.flatten().any(|entry| {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => {
                let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
                !is_hidden && depth < MOST_DEPTH && has_module(&path, depth + 1)
            }
            _ => path.extension().is_some_and(|extension| extension == "py"),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (file, content) in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        folder
    }

    fn read(folder: &tempfile::TempDir) -> Result<Vec<String>, BuildError> {
        read_with(folder, false)
    }

    fn read_with(folder: &tempfile::TempDir, tests: bool) -> Result<Vec<String>, BuildError> {
        let sources = Sources::read(&folder.path().canonicalize().unwrap(), tests)?;
        Ok(sources.files.keys().map(|path| path.display().to_string()).collect())
    }

    #[test]
    fn modules_belong_to_a_project_and_so_do_files_beside_them() {
        let folder = project(&[
            ("ctx_script.py", ""),
            ("prices.csv", ""),
            ("main.py", ""),
            ("addon/site.py", ""),
            ("addon/data/rates.json", "{}"),
            ("notes/read.me", ""),
            ("config/config_template.json", ""),
            ("tests/test_script.py", ""),
            (".armada/x.py", ""),
            ("env/pyvenv.cfg", ""),
            ("env/lib/x.py", ""),
            ("addon/__pycache__/site.pyc", ""),
        ]);
        assert_eq!(read(&folder).unwrap(), ["addon/data/rates.json", "addon/site.py", "ctx_script.py"]);
    }

    #[test]
    fn tests_belong_to_a_project_when_they_are_to_be_run() {
        let folder = project(&[("ctx_script.py", ""), ("tests/test_script.py", ""), ("addon/tests/test_x.py", "")]);
        assert_eq!(read_with(&folder, true).unwrap(), ["ctx_script.py", "tests/test_script.py"]);
    }

    #[test]
    fn a_link_that_leads_out_of_the_project_is_refused() {
        let folder = project(&[("ctx_script.py", "")]);
        std::os::unix::fs::symlink("/etc/hostname", folder.path().join("secret.py")).unwrap();
        let error = read(&folder).unwrap_err();
        assert!(format!("{error:?}").contains("leads out of the project"), "{error:?}");
    }

    #[test]
    fn a_project_cannot_hide_the_sdk() {
        let error = read(&project(&[("ctx_script.py", ""), ("armada/__init__.py", "")])).unwrap_err();
        assert!(format!("{error:?}").contains("hides the module"), "{error:?}");
    }
}
