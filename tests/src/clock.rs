//! A wall clock that a test sets, for processes that it starts.
//!
//! `libfaketime` answers those who ask the C library what time it is. The monotonic clock goes on as it does when
//! somebody sets a machine's clock, and so do the times of files.

use std::path::PathBuf;

use tempfile::TempDir;

/// The wall clock of whoever is started with its variables, and of their children.
pub struct Clock {
    library: String,
    /// Says by how much it differs from the right time.
    difference: String,
    folder: TempDir,
}

impl Clock {
    /// One that is right.
    ///
    /// # Panics
    ///
    /// When `libfaketime` is not installed.
    pub fn right() -> Self {
        let below =
            std::fs::read_dir("/usr/lib").into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
        let folders = below.chain([PathBuf::from("/usr/lib"), PathBuf::from("/usr/lib64")]);
        let mut libraries = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1"));
        let library = libraries.find(|library| library.is_file());
        let library = library.expect("there is no libfaketime: `make setup` installs what is missing");
        let folder = tempfile::tempdir().unwrap();
        let text = |path: PathBuf| path.display().to_string();
        let clock = Self { library: text(library), difference: text(folder.path().join("difference")), folder };
        clock.set("+0");
        clock
    }

    /// What a process is started with to have it.
    pub fn variables(&self) -> [(&str, &str); 5] {
        [
            ("LD_PRELOAD", &self.library),
            ("FAKETIME_TIMESTAMP_FILE", &self.difference),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("NO_FAKE_STAT", "1"),
        ]
    }

    /// Has it differ from the right time by this from now on: `+2d`, `-3h`.
    pub fn set(&self, difference: &str) {
        // Whoever looks sees the one or the other.
        let new = self.folder.path().join("new");
        std::fs::write(&new, difference).unwrap();
        std::fs::rename(new, &self.difference).unwrap();
    }
}
