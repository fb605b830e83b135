//! A project folder: what belongs to it, in which language it is written, and how it is to be run.
//!
//! Opening a project looks at the folder only; [`Project::resolve`](crate::Project::resolve) reads its configuration.

use std::env::VarError;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::configuration::Configuration;
use crate::json;
use crate::mistake::{Mistake, Mistakes, Note};
use crate::node::Source;
use crate::suggest::{quoted, shown};

/// What to do where there is no project.
const NO_PROJECT: &str = "give the folder of a project, or make one: `armada new NAME`";

/// What starts a Python program elsewhere; projects that come from there may still have it.
const MAIN: &str = "main.py";

/// The parts of a project that are written in its language.
const CONTEXTS: [&str; 2] = ["ctx_agent_context", "ctx_job_context"];

/// The language that a project is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// `ctx_script.py` and, if needed, `requirements.txt`.
    Python,
    /// A crate: `ctx_script.rs`, `lib.rs`, `Cargo.toml`.
    Rust,
}

impl Language {
    /// How the language's files end.
    pub const fn extension(self) -> &'static str {
        match self {
            Language::Rust => "rs",
            Language::Python => "py",
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Language::Rust => "Rust",
            Language::Python => "Python",
        })
    }
}

/// Which tune file fills in the template's placeholders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// `config_local.json`: this machine.
    #[default]
    Local,
    /// `config_distant.json`: a cluster.
    Distant,
}

impl Mode {
    /// The mode's tune file, relative to the project.
    pub const fn tune_file(self) -> &'static str {
        match self {
            Mode::Local => "config/config_local.json",
            Mode::Distant => "config/config_distant.json",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::Local => "local",
            Mode::Distant => "distant",
        })
    }
}

/// There is no mode of this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the mode is local or distant")]
pub struct UnknownMode;

impl FromStr for Mode {
    type Err = UnknownMode;

    fn from_str(name: &str) -> Result<Mode, UnknownMode> {
        [Mode::Local, Mode::Distant].into_iter().find(|mode| mode.to_string() == name).ok_or(UnknownMode)
    }
}

/// What is said over the configuration, on the command line unless it is said otherwise.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overrides {
    /// `--agents`: so many agents, whatever the template and the rows of `data_agent.csv` say.
    pub agents: Option<u32>,
    /// `--jobs`: so many jobs, whatever the template and the rows of `data_job.csv` say.
    pub jobs: Option<u64>,
    /// `--set NAME=VALUE`: values for placeholders, over the tune file's. Of two for one name, the last holds.
    pub set: Vec<(String, Value)>,
    /// `--set-env NAME=VARIABLE`: texts for placeholders, over both. Of two for one name, the last holds.
    pub set_env: Vec<(String, String)>,
    /// Where advice is for.
    pub given: Given,
}

/// How a configuration and what goes over it are given: what there is to do about a mistake is said in these terms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Given {
    /// A project's folder, and a command line.
    #[default]
    Command,
    /// A request to a server: a form with parts and `options`.
    Request,
}

impl Overrides {
    /// Takes apart the `NAME=VALUE` of `--set`: the value is JSON if it can be read as such, else a text.
    pub fn parse_set(argument: &str) -> Result<(String, Value), InvalidSet> {
        let (name, text) = argument.split_once('=').ok_or(InvalidSet::NoValue)?;
        if name.is_empty() {
            return Err(InvalidSet::NoName);
        }
        let value = match json::read_value(text) {
            Ok(value) => value,
            Err(faults) => match faults.into_iter().find(|fault| !fault.syntax) {
                Some(fault) => return Err(InvalidSet::Lossy { value: quoted(text), message: fault.message }),
                None => Value::from(text),
            },
        };
        Ok((name.to_owned(), value))
    }

    /// Takes apart the `NAME=VARIABLE` of `--set-env`, or `NAME` where both are called the same, and reads the
    /// variable. Its value is a text, whatever it looks like, and is on no command line for others to see.
    pub fn parse_set_env(argument: &str) -> Result<(String, String), InvalidSet> {
        let (name, variable) = argument.split_once('=').unwrap_or((argument, argument));
        if name.is_empty() {
            return Err(InvalidSet::NoName);
        }
        let value = std::env::var(variable).map_err(|error| match error {
            VarError::NotPresent => InvalidSet::NotSet { variable: shown(variable) },
            VarError::NotUnicode(_) => InvalidSet::NotUtf8 { variable: shown(variable) },
        })?;
        Ok((name.to_owned(), value))
    }

    /// The value that the command line gives for a placeholder, and by which option.
    pub(crate) fn value(&self, name: &str) -> Option<(Source, Value)> {
        let of_env = self.set_env.iter().rfind(|(given, _)| given == name);
        let of_set = self.set.iter().rfind(|(given, _)| given == name);
        let of_env = of_env.map(|(_, text)| (Source::Environment, Value::from(text.as_str())));
        of_env.or_else(|| of_set.map(|(_, value)| (Source::CommandLine, value.clone())))
    }
}

/// Why an argument of `--set` or `--set-env` is not acceptable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSet {
    /// There is no equals sign.
    #[error("expected NAME=VALUE")]
    NoValue,
    /// There is nothing in front of the equals sign.
    #[error("expected a name in front of `=`")]
    NoName,
    /// There is no such environment variable.
    #[error("the environment variable `{variable}` is not set")]
    NotSet {
        /// Its name.
        variable: String,
    },
    /// An environment variable is not UTF-8.
    #[error("the value of the environment variable `{variable}` is not UTF-8")]
    NotUtf8 {
        /// Its name.
        variable: String,
    },
    /// The value is JSON that would lose something.
    #[error("{value}: {message}")]
    Lossy {
        /// The value as it is given.
        value: String,
        /// What is wrong with it.
        message: String,
    },
}

/// A project folder.
#[derive(Clone, Debug)]
pub struct Project {
    root: PathBuf,
    name: String,
    language: Language,
    notes: Vec<Note>,
}

impl Project {
    /// Opens the project in a folder.
    pub fn open(path: impl AsRef<Path>) -> Result<Project, Mistakes> {
        let path = path.as_ref();
        let shown = path.display().to_string();
        let root = std::fs::canonicalize(path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => Mistake::new(&shown, "there is no such folder").help(NO_PROJECT),
            _ => Mistake::new(&shown, format!("the folder cannot be read: {error}")),
        })?;
        if !root.is_dir() {
            return Err(Mistake::new(&shown, "not a folder: a project is a folder with a ctx_script in it").into());
        }
        let name = root.file_name().map_or_else(|| "project".into(), |name| name.to_string_lossy().into_owned());
        let exists = |stem: &str, language: Language| root.join(format!("{stem}.{}", language.extension())).is_file();
        let language = match (exists("ctx_script", Language::Rust), exists("ctx_script", Language::Python)) {
            (true, false) => Language::Rust,
            (false, true) => Language::Python,
            (true, true) => {
                return Err(Mistake::new("ctx_script.py", "there is a ctx_script.rs too")
                    .help("a project is written in one language: remove one of the two")
                    .into());
            }
            (false, false) => {
                return Err(Mistake::new(&shown, "there is no ctx_script.py or ctx_script.rs in this folder")
                    .help(NO_PROJECT)
                    .into());
            }
        };
        let other = if language == Language::Rust { Language::Python } else { Language::Rust };
        let mut mistakes = Mistakes::default();
        for stem in CONTEXTS.into_iter().filter(|stem| exists(stem, other)) {
            mistakes.push(
                Mistake::new(&format!("{stem}.{}", other.extension()), format!("not written in {language}"))
                    .help(format!("ctx_script.{} makes this a {language} project", language.extension())),
            );
        }
        let mut notes = Vec::new();
        if language == Language::Python && root.join(MAIN).is_file() {
            let message = "not used: Armada calls ctx_script itself".to_owned();
            notes.push(Note { about: MAIN.to_owned(), message });
        }
        mistakes.unless_any(|| Project { root, name, language, notes })
    }

    /// The folder, as an absolute path.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The language of its `ctx_script`.
    pub fn language(&self) -> Language {
        self.language
    }

    /// What is worth knowing of the folder.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// Reads and checks the project's whole configuration. Either all of it is right, or every mistake is reported.
    pub fn resolve(&self, mode: Mode, overrides: &Overrides) -> Result<Configuration, Mistakes> {
        Configuration::resolve(&self.root, mode, overrides)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            std::fs::write(folder.path().join(file), "").unwrap();
        }
        folder
    }

    fn mistakes(files: &[&str]) -> Vec<String> {
        let folder = folder(files);
        let mistakes = Project::open(folder.path()).unwrap_err();
        mistakes.lines().map(|line| line.replace(&folder.path().display().to_string(), "FOLDER")).collect()
    }

    #[test]
    fn the_script_decides_the_language() {
        let rust = folder(&["ctx_script.rs"]);
        let project = Project::open(rust.path()).unwrap();
        assert_eq!(project.language(), Language::Rust);
        assert_eq!(project.name(), rust.path().file_name().unwrap().to_str().unwrap());
        let python = folder(&["ctx_script.py", "ctx_job_context.py"]);
        assert_eq!(Project::open(python.path()).unwrap().language(), Language::Python);
    }

    #[test]
    fn a_folder_that_is_no_project_says_why() {
        assert_eq!(
            mistakes(&["lib.rs"]),
            [
                "FOLDER: there is no ctx_script.py or ctx_script.rs in this folder (give the folder of a project, or make one: \
              `armada new NAME`)"
            ]
        );
        assert_eq!(mistakes(&["ctx_script.rs", "ctx_script.py"]).len(), 1);
        assert_eq!(mistakes(&["ctx_script.rs", "ctx_agent_context.py", "ctx_job_context.py"]).len(), 2);
        assert!(Project::open("/nowhere/at/all").is_err());
        assert!(Project::open("/dev/null").is_err());
    }

    #[test]
    fn a_main_program_beside_a_python_script_gets_a_note_and_nothing_else_is_needed() {
        let notes = |files: &[&str]| Project::open(folder(files).path()).unwrap().notes().to_vec();
        let noted: Vec<_> = notes(&["ctx_script.py", "main.py"]).iter().map(ToString::to_string).collect();
        assert_eq!(noted, ["main.py: not used: Armada calls ctx_script itself"]);
        assert_eq!(notes(&["ctx_script.py"]), []);
        assert_eq!(notes(&["ctx_script.rs", "main.py"]), []);
    }

    #[test]
    fn set_values_are_json_if_they_can_be() {
        for (argument, value) in [
            ("A=1", Value::from(1)),
            ("A=", Value::from("")),
            ("A=a=b", Value::from("a=b")),
            ("A={\"b\": [true]}", serde_json::json!({"b": [true]})),
            ("A=01", Value::from("01")),
            ("A=\"1\"", Value::from("1")),
        ] {
            assert_eq!(Overrides::parse_set(argument), Ok(("A".to_owned(), value)), "{argument}");
        }
        assert_eq!(Overrides::parse_set("A"), Err(InvalidSet::NoValue));
        assert_eq!(Overrides::parse_set("=1"), Err(InvalidSet::NoName));
        assert!(matches!(Overrides::parse_set("A=99999999999999999999"), Err(InvalidSet::Lossy { .. })));
    }

    #[test]
    fn modes_have_names() {
        assert_eq!("local".parse(), Ok(Mode::Local));
        assert_eq!("distant".parse(), Ok(Mode::Distant));
        assert_eq!("Local".parse::<Mode>(), Err(UnknownMode));
    }
}
