//! The modules of a project in Python that `config_proxy.modifiers` names.
//!
//! One that is missing is a mistake: agents that name it do not open. Which modifiers a project in Rust has is known
//! when it is compiled. Each module is looked at and told of once, since thousands of rows may name the same.

use std::collections::HashSet;
use std::path::Path;

use crate::path::ValuePath;
use crate::proxy::PROXY;
use crate::setting::Problem;
use crate::traffic::{MODIFIERS, ModifierSettings};

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
    pub(crate) fn check(&mut self, modifiers: &[ModifierSettings]) -> Vec<Problem> {
        let mut problems = Vec::new();
        let Some(root) = self.root else { return problems };
        for (index, ModifierSettings { name, .. }) in modifiers.iter().enumerate() {
            if self.known.insert(name.clone()) && file_of(root, name).is_none() {
                let path = ValuePath::of_keys([PROXY, MODIFIERS]).index(index);
                let problem = Problem::of_value(&path, format!("the project has no module `{name}`"));
                problems.push(problem.help("the module `addon.prices` is the file addon/prices.py"));
            }
        }
        problems
    }
}

/// The file of a module, relative to the project.
fn file_of(root: &Path, name: &str) -> Option<String> {
    let is_name = name.split('.').all(|part| !part.is_empty() && !part.contains(['/', '\\']));
    let place = name.replace('.', "/");
    let files = [format!("{place}.py"), format!("{place}/__init__.py")];
    files.into_iter().find(|file| is_name && root.join(file).is_file())
}
