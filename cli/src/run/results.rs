//! The results of a run: one JSON object per job and line, written as jobs end.
//!
//! The file is locked as long as the run goes on, and only emptied once it is: two runs never write to one file. It is
//! named by whoever runs the project, or has the default name; one that is a link then was put there by somebody else,
//! and leads who knows where.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use armada_protocol::JobRecord;

/// Where results go unless it is said.
const FILE: &str = "results.jsonl";
/// Where artifacts go unless it is said: beside the results.
const ARTIFACTS: &str = "artifacts";
/// What stands for standard output.
const STANDARD_OUTPUT: &str = "-";

/// Where a run's results and artifacts go.
#[derive(Clone, Debug)]
pub(super) struct Places {
    /// The results; standard output when not given.
    pub(super) results: Option<PathBuf>,
    /// The folder of artifacts, with a folder for each run.
    pub(super) artifacts: PathBuf,
}

impl Places {
    /// The places that were named, and the default ones of what was not.
    pub(super) fn new(output: Option<&Path>, artifacts: Option<&Path>) -> anyhow::Result<Self> {
        let results = output.unwrap_or(Path::new(FILE));
        let beside = results.parent().unwrap_or(Path::new("")).join(ARTIFACTS);
        ensure_no_link(results, output.is_none(), "--output")?;
        ensure_no_link(&beside, artifacts.is_none(), "--artifacts")?;
        let is_standard_output = results.as_os_str() == STANDARD_OUTPUT;
        Ok(Self {
            results: (!is_standard_output).then(|| results.to_owned()),
            artifacts: artifacts.map_or(beside, Path::to_owned),
        })
    }

    /// Where the results go, in words.
    pub(super) fn describe(&self) -> String {
        self.results.as_ref().map_or_else(|| "standard output".to_owned(), |path| path.display().to_string())
    }
}

fn ensure_no_link(path: &Path, is_default: bool, argument: &str) -> anyhow::Result<()> {
    ensure!(
        !(is_default && path.is_symlink()),
        "{0} is a symbolic link, and nobody has asked to write there: remove it, or give {argument} {0}",
        path.display()
    );
    Ok(())
}

/// The file that results go to.
pub(super) struct Results {
    name: String,
    to: Box<dyn Write + Send>,
    line: Vec<u8>,
}

impl Results {
    /// Takes hold of the file, and empties it.
    pub(super) fn open(places: &Places) -> anyhow::Result<Self> {
        let to: Box<dyn Write + Send> = match &places.results {
            Some(path) => Box::new(open(path)?),
            None => Box::new(io::stdout()),
        };
        Ok(Self { name: places.describe(), to, line: Vec::new() })
    }

    /// Writes a job. It is in the file at once: whoever follows it sees it, and an end of this process loses nothing.
    pub(super) fn write(&mut self, record: &JobRecord) -> anyhow::Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, record)?;
        self.line.push(b'\n');
        self.to.write_all(&self.line).and_then(|()| self.to.flush()).with_context(|| self.name.clone())
    }
}

fn open(path: &Path) -> anyhow::Result<File> {
    let name = || path.display().to_string();
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(path).with_context(name)?;
    // Devices and pipes are whoever's they are.
    if file.metadata().with_context(name)?.is_file() {
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                bail!("{}: another run is writing its results there: wait until it has ended, or give --output", name())
            }
            // Not every file system has locks.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(error).with_context(name),
        }
        file.set_len(0).with_context(name)?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_written_through_only_when_it_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (file, artifacts) = (folder.path().join(FILE), folder.path().join(ARTIFACTS));
        std::os::unix::fs::symlink("/nowhere", &file).unwrap();
        assert!(ensure_no_link(&file, true, "--output").unwrap_err().to_string().contains("--output"));
        assert!(Places::new(Some(&file), None).is_ok());
        std::os::unix::fs::symlink("/nowhere", &artifacts).unwrap();
        let refused = Places::new(Some(&file), None).unwrap_err().to_string();
        assert!(refused.contains("symbolic link") && refused.contains("--artifacts"), "{refused}");
        assert!(Places::new(Some(&file), Some(&artifacts)).is_ok());
    }

    #[test]
    fn a_file_is_emptied_by_the_one_run_that_holds_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        std::fs::write(&path, "of an earlier run\n").unwrap();
        let first = open(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"");
        std::fs::write(&path, "of this run\n").unwrap();
        assert!(open(&path).unwrap_err().to_string().contains("another run"));
        assert_eq!(std::fs::read(&path).unwrap(), b"of this run\n");
        drop(first);
        assert!(open(&path).is_ok());
    }
}
