//! The modules of a project in Python that `config_proxy.modifiers` names.
//!
//! One that is missing is a mistake: agents that name it do not open. One that does not seem to have the functions of a
//! modifier is worth a note: with it, every request fails. Which modifiers a project in Rust has is known when it is
//! compiled. Each module is looked at and told of once, since thousands of rows may name the same.

use std::collections::HashSet;
use std::path::Path;

use crate::mistake::Note;
use crate::path::ValuePath;
use crate::proxy::PROXY;
use crate::setting::Problem;
use crate::text::read_in;
use crate::traffic::{MODIFIERS, ModifierSettings};

/// What a modifier has, one of them at least.
const FUNCTIONS: [&str; 2] = ["modify_request", "modify_response"];

/// The most that is read of a module.
const MAX_SOURCE_BYTES: u64 = 1 << 20;

/// The modules of a project.
pub(crate) struct Modules<'a> {
    /// Its folder, if the project is in Python.
    root: Option<&'a Path>,
    /// Those that have been looked at.
    known: HashSet<String>,
}

impl<'a> Modules<'a> {
    pub(crate) fn new(root: &'a Path) -> Modules<'a> {
        Modules { root: Some(root).filter(|root| root.join("ctx_script.py").is_file()), known: HashSet::new() }
    }

    /// What there is to say of modules that have not been looked at.
    pub(crate) fn check(&mut self, modifiers: &[ModifierSettings]) -> (Vec<Problem>, Vec<Note>) {
        let (mut problems, mut notes) = (Vec::new(), Vec::new());
        let Some(root) = self.root else { return (problems, notes) };
        for (index, ModifierSettings { name, .. }) in modifiers.iter().enumerate() {
            if !self.known.insert(name.clone()) {
                continue;
            }
            match file_of(root, name) {
                Some(file) => notes.extend(lacks_functions(root, file)),
                None => {
                    let path = ValuePath::of_keys([PROXY, MODIFIERS]).index(index);
                    let problem = Problem::of_value(&path, format!("the project has no module `{name}`"));
                    problems.push(problem.help("the module `addon.prices` is the file addon/prices.py"));
                }
            }
        }
        (problems, notes)
    }
}

/// The file of a module, relative to the project.
fn file_of(root: &Path, name: &str) -> Option<String> {
    let is_name = name.split('.').all(|part| !part.is_empty() && !part.contains(['/', '\\']));
    let place = name.replace('.', "/");
    let files = [format!("{place}.py"), format!("{place}/__init__.py")];
    files.into_iter().find(|file| is_name && root.join(file).is_file())
}

/// A note on a module that has no function of a modifier, as far as its source tells.
fn lacks_functions(root: &Path, file: String) -> Option<Note> {
    // What is wrong with a file that cannot be read is told when the project is built.
    let source = read_in(root, &file, MAX_SOURCE_BYTES).ok()??;
    let [request, response] = FUNCTIONS;
    let message =
        format!("defines neither `{request}` nor `{response}`: as a modifier, it fails what it is asked about");
    (!may_modify(&String::from_utf8_lossy(&source))).then_some(Note { about: file, message })
}

/// Whether a source has the name of a modifier's function outside of comments, or takes all names of another module.
fn may_modify(source: &str) -> bool {
    source.lines().filter_map(|line| line.split('#').next()).any(|code| {
        let mut words = code.split(|c: char| !c.is_alphanumeric() && c != '_');
        code.contains("import *") || words.any(|word| FUNCTIONS.contains(&word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_may_have_a_function_of_a_modifier_is_told_from_one_that_has_none() {
        for source in [
            "def modify_request(request):\n    pass\n",
            "import armada\n\nasync def modify_response(response): ...\n",
            "from .other import (\n    one,\n    modify_request,\n)\n",
            "modify_response=print",
            "from .other import *  # all of it",
        ] {
            assert!(may_modify(source), "{source}");
        }
        for source in ["", "def modify_respons(response): ...\n", "# def modify_request(request):\ndef x(): ...\n"] {
            assert!(!may_modify(source), "{source}");
        }
    }
}
