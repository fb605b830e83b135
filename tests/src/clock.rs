//! A wall clock that a test sets, for processes that it starts.
//!
//! `libfaketime` answers those who ask the C library what time it is. The monotonic clock goes on as it does when somebody
//! sets a machine's clock, and so do the times of files.

use std::path::PathBuf;

use tempfile::TempDir;

/// The wall clock of whoever is started with its variables, and of their children.
pub struct Clock {
    folder: TempDir,
    library: String,
}

impl Clock {
    /// One that is right.
    ///
    /// # Panics
    ///
    /// When `libfaketime` is not installed.
    #[expect(clippy::new_without_default, reason = "it makes a folder and looks for a library")]
    pub fn new() -> Self {
        let folders =
            std::fs::read_dir("/usr/lib").into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
        let mut libraries = folders
            .flat_map(|folder| [folder.join("faketime"), folder])
            .map(|folder| folder.join("libfaketimeMT.so.1"));
        let library = libraries.find(|library| library.is_file());
        let library = library.expect("there is no libfaketime: `make setup` installs what is missing");
        let clock = Self { folder: tempfile::tempdir().unwrap(), library: library.display().to_string() };
        clock.set("+0");
        clock
    }

    /// What a process is started with to have it.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        vec![
            ("LD_PRELOAD", self.library.clone()),
            ("FAKETIME_TIMESTAMP_FILE", self.file().display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("NO_FAKE_STAT", "1".to_owned()),
        ]
    }

    /// Has it differ from the right time by this from now on: `+2d`, `-3h`.
    pub fn set(&self, difference: &str) {
        // Whoever looks sees the one or the other.
        let new = self.folder.path().join("new");
        std::fs::write(&new, difference).unwrap();
        std::fs::rename(new, self.file()).unwrap();
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("difference")
    }
}
