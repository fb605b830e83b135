//! What a project asks for in `run_message.sandbox`, and what an operator lets anybody have.
//!
//! Both are the same shape and are read by the same code; they differ in what absence means. A project that says
//! nothing gets nothing and the default limits; an operator who says nothing caps nothing. Only an operator can name
//! private hosts: what is not on the public internet is nobody's to reach unless they say so.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use crate::capability::Capability;
use crate::host_pattern::HostPattern;
use crate::json;
use crate::lendable::{Lendable, is_lendable_name};
use crate::limits::Limits;
use crate::mistake::{Mistake, Mistakes};
use crate::node::{Shape, Source};
use crate::path::ValuePath;
use crate::setting::{Problem, Unknown, read_block, unknown_key};
use crate::suggest::{did_you_mean, found, list, quoted};
use crate::text::SourceFile;

/// The keys of a sandbox, with their meanings; those of [`Lendable`] come after them.
pub(crate) const KEYS: [(&str, &str); 3] = [
    ("capabilities", "Groups of host functions that the project may use; none where absent."),
    (
        "allowed_hosts",
        "Hosts that the project and its browser may reach, at ports 80 and 443 unless one is given; none where absent.",
    ),
    ("limits", "What the run may use, per instance, job or call."),
];

/// The key that only a ceiling has.
const PRIVATE_HOSTS: &str = "private_hosts";

/// Names of what an operator lends, by kind.
pub type Names = BTreeMap<Lendable, BTreeSet<String>>;

/// What a project asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sandbox {
    /// The capabilities; empty means none.
    pub capabilities: BTreeSet<Capability>,
    /// The hosts; empty means none.
    pub allowed_hosts: Vec<HostPattern>,
    /// The names of what is lent; empty or absent means none.
    pub names: Names,
    /// The limits, with the defaults of those that are not given.
    pub limits: Limits,
}

/// What an operator allows at most.
#[derive(Clone, Debug, PartialEq)]
pub struct Ceiling {
    /// The capabilities; `None` caps nothing.
    pub capabilities: Option<BTreeSet<Capability>>,
    /// The hosts; `None` caps nothing.
    pub allowed_hosts: Option<Vec<HostPattern>>,
    /// The names of what is lent; a kind that is absent caps nothing.
    pub names: Names,
    /// The limits; [`Limits::loosest`] caps nothing.
    pub limits: Limits,
    /// Hosts that may be reached at addresses that are not public, such as this machine's own; empty means none. The
    /// project has to ask for them in `allowed_hosts` as for any other.
    pub private_hosts: Vec<HostPattern>,
}

impl Sandbox {
    /// Reads `run_message.sandbox`; problems have paths that start inside it.
    pub(crate) fn read(value: &Value, path: &ValuePath, problems: &mut Vec<Problem>) -> Sandbox {
        let mut sandbox = Sandbox::default();
        let lists = read(value, path, &mut sandbox.limits, None, problems);
        sandbox.capabilities = lists.capabilities.unwrap_or_default();
        sandbox.allowed_hosts = lists.allowed_hosts.unwrap_or_default();
        sandbox.names = lists.names;
        sandbox
    }
}

impl Ceiling {
    /// A ceiling that caps nothing.
    pub fn none() -> Ceiling {
        Ceiling {
            capabilities: None,
            allowed_hosts: None,
            names: Names::new(),
            limits: Limits::loosest(),
            private_hosts: Vec::new(),
        }
    }

    /// Reads a ceiling from a JSON file. The file must exist: to cap nothing is a decision, not an accident.
    pub fn open(path: &Path) -> Result<Ceiling, Mistakes> {
        let name = path.display().to_string();
        match SourceFile::read(path, &name)? {
            Some(file) => Ceiling::of(&file),
            None => Err(Mistake::new(&name, "there is no such file").into()),
        }
    }

    /// Reads a ceiling from a JSON text, which mistakes call `name`.
    pub fn from_json(name: &str, text: &str) -> Result<Ceiling, Mistakes> {
        Ceiling::of(&SourceFile::new(name, text.to_owned()))
    }

    fn of(file: &SourceFile) -> Result<Ceiling, Mistakes> {
        let mut mistakes = Mistakes::default();
        let mut ceiling = Ceiling::none();
        let (root, faults) = json::read(file.text(), Source::Tune);
        faults.into_iter().for_each(|fault| mistakes.push(fault.in_file(file)));
        let Some(root) = root else { return mistakes.unless_any(|| ceiling) };
        let mut problems = Vec::new();
        let private_hosts = Some(&mut ceiling.private_hosts);
        let lists = read(&root.to_value(), &ValuePath::default(), &mut ceiling.limits, private_hosts, &mut problems);
        ceiling.capabilities = lists.capabilities;
        ceiling.allowed_hosts = lists.allowed_hosts;
        ceiling.names = lists.names;
        for problem in problems {
            let reached = root.reach(&problem.path);
            if matches!(reached.node.shape, Shape::Unknown) {
                continue;
            }
            let at = if problem.at_key { reached.key.unwrap_or(reached.node.at) } else { reached.node.at };
            let mistake = file.mistake(at.span, problem.message);
            mistakes.push(match problem.help {
                Some(help) => mistake.help(help),
                None => mistake,
            });
        }
        mistakes.unless_any(|| ceiling)
    }
}

/// The lists of a sandbox, where they are given.
#[derive(Default)]
struct Lists {
    capabilities: Option<BTreeSet<Capability>>,
    allowed_hosts: Option<Vec<HostPattern>>,
    names: Names,
}

fn read(
    value: &Value,
    path: &ValuePath,
    limits: &mut Limits,
    mut private_hosts: Option<&mut Vec<HostPattern>>,
    problems: &mut Vec<Problem>,
) -> Lists {
    let mut lists = Lists::default();
    let Value::Object(members) = value else {
        problems.push(Problem::of_value(path, format!("expected an object, found {}", found(value))));
        return lists;
    };
    for (key, value) in members {
        let path = path.key(key);
        if let Some(kind) = Lendable::ALL.into_iter().find(|kind| kind.key() == key) {
            lists.names.insert(kind, items(value, &path, problems, name));
            continue;
        }
        match key.as_str() {
            "capabilities" => lists.capabilities = Some(items(value, &path, problems, capability)),
            "allowed_hosts" => lists.allowed_hosts = Some(items(value, &path, problems, host)),
            "limits" => read_block(limits, value, &path, Unknown::Refuse, problems),
            PRIVATE_HOSTS if private_hosts.is_some() => {
                if let Some(hosts) = private_hosts.as_deref_mut() {
                    *hosts = items(value, &path, problems, host);
                }
            }
            PRIVATE_HOSTS => problems
                .push(Problem::of_key(&path, "only an operator can name private hosts".to_owned()).help(
                    "ask for the host in `allowed_hosts`; the operator allows it with --private-host".to_owned(),
                )),
            _ => {
                let own = private_hosts.is_some().then_some(PRIVATE_HOSTS);
                let lendable = Lendable::ALL.into_iter().map(Lendable::key);
                problems.push(unknown_key(&path, key, KEYS.iter().map(|(name, _)| *name).chain(lendable).chain(own)));
            }
        }
    }
    lists
}

/// Reads a list of texts, each with `parse`.
fn items<T, C: FromIterator<T>>(
    value: &Value,
    path: &ValuePath,
    problems: &mut Vec<Problem>,
    parse: impl Fn(&str, &ValuePath) -> Result<T, Problem>,
) -> C {
    let Value::Array(values) = value else {
        problems.push(Problem::of_value(path, format!("expected a list of texts, found {}", found(value))));
        return C::from_iter([]);
    };
    let parsed = values.iter().enumerate().map(|(index, value)| {
        let path = path.index(index);
        match value {
            Value::String(text) => parse(text, &path),
            other => Err(Problem::of_value(&path, format!("expected a text, found {}", found(other)))),
        }
    });
    parsed.filter_map(|result| result.map_err(|problem| problems.push(problem)).ok()).collect()
}

fn capability(name: &str, path: &ValuePath) -> Result<Capability, Problem> {
    name.parse().map_err(|_| {
        let names = || Capability::ALL.iter().map(|capability| capability.name());
        Problem::of_value(path, format!("there is no capability {}", quoted(name))).help(did_you_mean(
            name,
            names(),
            || format!("the capabilities are {}", list(names())),
        ))
    })
}

fn name(text: &str, path: &ValuePath) -> Result<String, Problem> {
    match is_lendable_name(text) {
        true => Ok(text.to_owned()),
        false => Err(Problem::of_value(path, format!("{} is no name", quoted(text)))
            .help("a name has letters, digits, `-`, `_` and `.`, as the operator's inventory has it")),
    }
}

fn host(text: &str, path: &ValuePath) -> Result<HostPattern, Problem> {
    text.parse().map_err(|error: crate::host_pattern::HostPatternError| {
        let problem = Problem::of_value(path, error.message);
        match error.help {
            Some(help) => problem.help(help),
            None => problem,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absence_means_nothing_for_a_project_and_no_cap_for_an_operator() {
        let mut problems = Vec::new();
        let sandbox = Sandbox::read(&Value::Object(Default::default()), &ValuePath::default(), &mut problems);
        assert_eq!(sandbox, Sandbox::default());
        assert!(sandbox.capabilities.is_empty() && sandbox.allowed_hosts.is_empty());
        assert_eq!(Ceiling::from_json("ceiling.json", "{}").unwrap(), Ceiling::none());
    }

    #[test]
    fn only_a_ceiling_names_private_hosts() {
        let ceiling = Ceiling::from_json("ceiling.json", r#"{"private_hosts": ["localhost:8000"]}"#).unwrap();
        assert_eq!(ceiling.private_hosts, ["localhost:8000".parse().unwrap()]);
        let mut problems = Vec::new();
        Sandbox::read(&serde_json::json!({"private_hosts": ["*"]}), &ValuePath::default(), &mut problems);
        assert!(problems[0].to_string().contains("only an operator can name private hosts"), "{problems:?}");
    }

    #[test]
    fn every_mistake_of_a_ceiling_is_reported_with_its_place() {
        let text = "{\n \"capabilites\": [],\n \"allowed_hosts\": [\"ok\", \"https://x.y/\", 1e999],\n \"limits\": {\n  \
                    \"pages\": 0, \"page\": 1, \"fresh_instance_per_job\": 1 }\n}";
        let mistakes = Ceiling::from_json("ceiling.json", text).unwrap_err();
        let lines: Vec<String> = mistakes.lines().collect();
        assert_eq!(
            lines,
            [
                "ceiling.json:2:2: there is no setting \"capabilites\" (did you mean `capabilities`?)",
                "ceiling.json:3:26: \"https://x.y/\" is not a host: only a name or address, and a port (write `x.y`)",
                "ceiling.json:3:42: this number is too large for a 64-bit float (write a number that fits; what only \
                 your script reads may also be a string: \"1e999\")",
                "ceiling.json:5:12: `pages` must be a whole number from 1 to 1,000, found 0",
                "ceiling.json:5:15: there is no setting \"page\" (did you mean `pages`?)",
                "ceiling.json:5:52: `fresh_instance_per_job` must be true or false, found 1",
            ]
        );
    }
}
