//! The project that tests of the command have in common.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use armada_tests::command::{armada, armada_for, finish};
use armada_tests::site::Site;
use armada_tests::target_folder;

/// A Rust project as `armada new` makes it, but for the site that it visits. It is compiled once for all tests that
/// need one, which take turns; a file that a test changes is put back by [`Scaffold::with`].
pub(crate) struct Scaffold {
    pub(crate) root: PathBuf,
    pub(crate) site: Site,
}

impl Scaffold {
    pub(crate) fn take() -> MutexGuard<'static, Self> {
        static SCAFFOLD: OnceLock<Mutex<Scaffold>> = OnceLock::new();
        SCAFFOLD.get_or_init(|| Mutex::new(Self::make())).lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn make() -> Self {
        let folder = target_folder().join("scaffolds");
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(folder.join("elsewhere")).unwrap();
        let (code, _, told) = finish(armada().args(["new", "prices", "--lang", "rust"]).current_dir(&folder));
        assert_eq!(code, 0, "{told}");
        assert!(told.contains("created prices/ctx_script.rs") && told.contains("armada run"), "{told}");
        let scaffold = Self { root: folder.join("prices"), site: Site::start() };
        for file in ["config/config_template.json", "config/data_job.csv"] {
            let text =
                scaffold.read(file).replace("https://example.com/", &format!("{}/plain.html", scaffold.site.url()));
            std::fs::write(scaffold.root.join(file), text.replace("example.com", &scaffold.site.host())).unwrap();
        }
        scaffold
    }

    pub(crate) fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.root.join(file)).unwrap()
    }

    /// Does something while a file has other content.
    pub(crate) fn with<T>(&self, file: &str, content: &str, act: impl FnOnce() -> T) -> T {
        struct PutBack(PathBuf, String);
        impl Drop for PutBack {
            fn drop(&mut self) {
                std::fs::write(&self.0, &self.1).unwrap();
            }
        }
        let _put_back = PutBack(self.root.join(file), self.read(file));
        std::fs::write(self.root.join(file), content).unwrap();
        act()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = armada_for(&self.root);
        command.args(arguments).current_dir(&self.root);
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        finish(&mut self.command(arguments))
    }
}
