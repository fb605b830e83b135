//! The folder that something is made in, for as long as that takes.
//!
//! Each is locked by whoever works in it. One that nobody has locked was left by a build that was interrupted, and goes
//! when the next one is opened.

use std::fs::{self, File, TryLockError};
use std::path::Path;

use tempfile::TempDir;

use super::at;
use crate::build::{BuildError, Progress};

/// The folder of workshops.
const AMONG: &str = "builds";
/// The file that is locked, in a workshop and among them.
const LOCK: &str = "lock";

/// A workshop. Dropping it removes it.
pub(super) struct Workshop {
    folder: TempDir,
    _lock: File,
}

impl Workshop {
    /// Opens one in this cache.
    pub(super) fn open(cache: &Path, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Self, BuildError> {
        let among = cache.join(AMONG);
        // One at a time: a workshop that is not locked yet looks like one that nobody has any more.
        let _opening = lock(&among, progress)?;
        for entry in fs::read_dir(&among).map_err(at(&among))?.flatten() {
            let left = File::open(entry.path().join(LOCK));
            if left.is_ok_and(|left| left.try_lock().is_ok()) {
                // Whoever cannot remove it is not held up by it.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        let folder = tempfile::tempdir_in(&among).map_err(at(&among))?;
        let lock = lock(folder.path(), progress)?;
        Ok(Self { folder, _lock: lock })
    }

    /// Where it is.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// Locks a folder, which is made if it is not there. Says so when somebody else has it.
pub(super) fn lock(folder: &Path, progress: &mut dyn FnMut(Progress<'_>)) -> Result<File, BuildError> {
    fs::create_dir_all(folder).map_err(at(folder))?;
    let path = folder.join(LOCK);
    let file = File::create(&path).map_err(at(&path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            progress(Progress::Step("waiting for another build that installs what this one needs, too, before"));
            file.lock().map_err(at(&path))?;
        }
        Err(TryLockError::Error(error)) => return Err(at(&path)(error)),
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_interrupted_build_leaves_is_removed_by_the_next_and_what_is_in_use_is_not() {
        let cache = tempfile::tempdir().unwrap();
        let used = Workshop::open(cache.path(), &mut |_| {}).unwrap();
        let left = cache.path().join(AMONG).join("left");
        fs::create_dir(&left).unwrap();
        fs::write(left.join(LOCK), "").unwrap();
        let opened = Workshop::open(cache.path(), &mut |_| {}).unwrap();
        assert!(!left.exists() && used.folder().exists() && opened.folder().exists());
    }
}
