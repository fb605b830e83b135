//! The folder of a run's temporary files: browser profiles, downloads, sockets.
//!
//! A lock on a file in it is shared with every process of the run, by inheritance: agents, and the browsers that they
//! start. While any of them lives, the lock is held. So the folder is removed when nobody can write to it any more, and
//! a folder whose lock is free belongs to a run that was killed: the next run removes it.

use std::fs::{self, File, Permissions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};
use tempfile::TempDir;

const PREFIX: &str = "armada-";
const LOCK: &str = "lock";
/// The lowest descriptor that the lock may have: those below are given to browsers for other purposes.
const LOWEST: i32 = 10;
/// How long the last processes of a run may take to end.
const ENDING: Duration = Duration::from_secs(5);

/// A folder that goes with this.
#[derive(Debug)]
pub(crate) struct Temp {
    folder: TempDir,
    lock: Option<OwnedFd>,
}

impl Temp {
    /// Makes the folder, and removes those of runs that were killed.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let place = std::env::temp_dir();
        sweep(&place);
        Self::new_in(&place).with_context(|| format!("a folder for temporary files in {}", place.display()))
    }

    fn new_in(place: &Path) -> std::io::Result<Self> {
        let mut builder = tempfile::Builder::new();
        let folder = builder.prefix(PREFIX).permissions(Permissions::from_mode(0o700)).tempdir_in(place)?;
        // It has its name only once it is locked: nobody finds it free.
        let unlocked = folder.path().join("unlocked");
        let lock = File::create_new(&unlocked)?;
        lock.lock()?;
        fs::rename(&unlocked, folder.path().join(LOCK))?;
        let inherited = fcntl_dupfd_cloexec(&lock, LOWEST)?;
        fcntl_setfd(&inherited, FdFlags::empty())?;
        Ok(Self { folder, lock: Some(inherited) })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        drop(self.lock.take());
        let started = Instant::now();
        while is_in_use(self.folder.path()) && started.elapsed() < ENDING {
            std::thread::sleep(Duration::from_millis(10));
        }
        // What cannot be removed now is found by the next run.
    }
}

/// Whether a process of its run lives.
fn is_in_use(folder: &Path) -> bool {
    File::open(folder.join(LOCK)).is_ok_and(|lock| lock.try_lock().is_err())
}

/// Removes the folders of runs of this user that were killed.
fn sweep(place: &Path) {
    let user = rustix::process::geteuid().as_raw();
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        let is_named_so = entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes());
        // Not followed, should it be a link.
        let is_own = entry.metadata().is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == user);
        let path = entry.path();
        if is_named_so && is_own && path.join(LOCK).is_file() && !is_in_use(&path) {
            // Another run may be doing the same.
            let _ = fs::remove_dir_all(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_whose_owner_is_gone_are_swept() {
        let place = tempfile::tempdir().unwrap();
        let live = Temp::new_in(place.path()).unwrap();
        let dead = place.path().join("armada-dead");
        let foreign = place.path().join("armada-foreign");
        for folder in [&dead, &foreign] {
            fs::create_dir(folder).unwrap();
            fs::write(folder.join("profile"), "").unwrap();
        }
        File::create(dead.join(LOCK)).unwrap();
        std::os::unix::fs::symlink(&foreign, place.path().join("armada-link")).unwrap();
        sweep(place.path());
        assert!(live.path().exists() && foreign.join("profile").exists());
        assert!(!dead.exists());
        assert_eq!(fs::metadata(live.path()).unwrap().mode() & 0o777, 0o700);
        let path = live.path().to_owned();
        drop(live);
        assert!(!path.exists());
    }

    #[test]
    fn a_folder_is_there_until_the_last_process_of_its_run_has_ended() {
        let place = tempfile::tempdir().unwrap();
        let temp = Temp::new_in(place.path()).unwrap();
        let late = temp.path().join("late");
        let mut child = std::process::Command::new("sh");
        child.args(["-c", "read line; echo late >\"$0\""]).arg(&late).stdin(std::process::Stdio::piped());
        let mut child = child.spawn().unwrap();
        let path = temp.path().to_owned();
        let ending = std::thread::spawn(move || drop(temp));
        assert!(is_in_use(&path));
        // It writes, then it ends.
        drop(child.stdin.take());
        ending.join().unwrap();
        assert!(!path.exists());
        child.wait().unwrap();
    }
}
