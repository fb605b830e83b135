//! Resolves a configuration: reads every layer, checks everything that can be checked without running, and reports
//! whatever is wrong in all files together.
//!
//! What depends on something broken is not checked, so that one mistake does not show as many. The CSV files are gone
//! through once, row by row.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use csv::StringRecord;
use serde_json::{Map, Value};

use crate::agent::AgentSettings;
use crate::capability::Capability;
use crate::configuration::{Resolved, Side};
use crate::digest::Digest;
use crate::explain::Recorder;
use crate::mistake::{Mistake, Mistakes, Note};
use crate::modules::Modules;
use crate::path::{Step, ValuePath};
use crate::plan::{Plan, check_cell};
use crate::project::{Mode, Overrides};
use crate::proxy::PROXY;
use crate::reach::{MAX_ROWS, Reach};
use crate::rows::{Flaw, Row, Rows, Start, Target};
use crate::sandbox::Sandbox;
use crate::setting::{Block, Checked, Kind, Problem, Unknown, note_misspelt, read_block, settings};
use crate::suggest::{counted, shown, thousands};
use crate::template::{self, TEMPLATE, Template};
use crate::url_pattern::{UrlPattern, UrlPatternError};

/// The most agents that a run may have.
const MAX_AGENTS: u64 = 10_000;

/// The URL patterns that are read before the rest is left to agents, who say what is wrong when they open: a pattern
/// can take long, and a project may be checked while others wait.
const MOST_PATTERNS: usize = 200;

/// Notes that are kept; a file of a million rows could give as many.
const MAX_NOTES: usize = 100;

settings! {
    /// How many there are of each.
    #[derive(Clone, Debug)]
    pub(crate) struct Counts {
        number_of_agents: Option<u32> = Kind::Whole { min: 1, max: MAX_AGENTS }, None, "",
            "How many agents work; where absent, the number of rows of data_agent.csv, at least 1.";
        number_of_jobs: Option<u64> = Kind::Whole { min: 1, max: 100_000_000 }, None, "",
            "How many jobs there are; where absent, the number of rows of data_job.csv, at least 1.";
    }
}

/// The key of the run's message that holds what the project asks to be allowed.
pub(crate) const SANDBOX: &str = "sandbox";

/// Reads and checks the configuration in a folder.
pub(crate) fn resolve(root: &Path, mode: Mode, overrides: &Overrides) -> Result<Resolved, Mistakes> {
    let mut mistakes = Mistakes::default();
    let mut template = template::load(root, mode, overrides, &mut mistakes);
    let notes = std::mem::take(&mut template.notes);
    let mut check = Check {
        root,
        notes,
        template: &template,
        patterns: Patterns::default(),
        modules: Modules::new(root),
        lacks_proxy: false,
        mistakes,
    };
    let (sandbox, counts) = check.run_message();
    let mut reach = Reach::new(&sandbox);
    check.lacks_proxy = !sandbox.capabilities.contains(&Capability::Proxy);
    check.agent_message();
    let agents = check.side(Target::Agent, &counts, overrides.agents.map(u64::from), &mut reach);
    let jobs = check.side(Target::Job, &counts, overrides.jobs, &mut reach);
    let Check { notes, mistakes, .. } = check;
    mistakes.unless_any(|| Resolved {
        root: root.to_owned(),
        template,
        sandbox,
        notes,
        overrides: overrides.clone(),
        agents,
        jobs,
    })
}

struct Check<'a> {
    root: &'a Path,
    template: &'a Template,
    notes: Vec<Note>,
    patterns: Patterns,
    modules: Modules<'a>,
    /// Whether the project does not ask for the capability `proxy`, and nobody has been told that agents need it.
    lacks_proxy: bool,
    mistakes: Mistakes,
}

/// The URL patterns that have been read, and what is wrong with them.
#[derive(Default)]
struct Patterns(HashMap<Digest, Result<(), UrlPatternError>>);

impl Patterns {
    /// Says what is wrong with a pattern. Rows often have the same ones: each is read once.
    fn check(&mut self, text: &str) -> Result<Option<UrlPattern>, UrlPatternError> {
        let digest = Digest::of(text.as_bytes());
        let read = match self.0.get(&digest) {
            Some(read) => read.clone(),
            None if self.0.len() >= MOST_PATTERNS => Ok(()),
            None => self.0.entry(digest).or_insert(text.parse::<UrlPattern>().map(drop)).clone(),
        };
        read.map(|()| None)
    }
}

/// How many agents or jobs the template says there are.
#[derive(Clone, Copy)]
enum Declared {
    /// So many.
    Number(u64),
    /// It does not say.
    Absent,
    /// It says something that is a mistake, and reported.
    Unknown,
}

/// The numbers that the template declares.
struct Numbers {
    agents: Declared,
    jobs: Declared,
}

impl Check<'_> {
    fn run_message(&mut self) -> (Sandbox, Numbers) {
        let Some(section) = &self.template.run else {
            return (Sandbox::default(), Numbers { agents: Declared::Unknown, jobs: Declared::Unknown });
        };
        let message = section.message();
        let mut problems = Vec::new();
        let sandbox = message.get(SANDBOX).map(|sandbox| {
            let path = ValuePath::of_keys([SANDBOX]);
            Sandbox::read(sandbox, &path, &mut problems)
        });
        let mut counts = Counts { number_of_agents: None, number_of_jobs: None };
        let names = Counts::TABLE.iter().map(|setting| setting.name).chain([SANDBOX]);
        note_misspelt(&message, &ValuePath::of_keys(["run_message"]), names, &mut self.notes);
        let given: Vec<String> = message.keys().cloned().collect();
        read_block(&mut counts, &Value::Object(message), &ValuePath::default(), Unknown::Pass, &mut problems);
        for problem in problems {
            self.template.layers.report_problem(section, problem, &mut self.mistakes);
        }
        let declared = |target: Target| match counts.get(target.count_key()) {
            Some(Checked::Whole(number)) => Declared::Number(number),
            _ if given.iter().any(|key| key == target.count_key()) => Declared::Unknown,
            _ => Declared::Absent,
        };
        let numbers = Numbers { agents: declared(Target::Agent), jobs: declared(Target::Job) };
        (sandbox.unwrap_or_default(), numbers)
    }

    fn agent_message(&mut self) {
        let Some(section) = &self.template.agent else { return };
        for problem in self.settings(&section.message(), |path| format!("default_agent_message.{path}")) {
            self.template.layers.report_problem(section, problem, &mut self.mistakes);
        }
        for target in [Target::Agent, Target::Job] {
            let members = self.template.section(target).map(|section| section.message()).unwrap_or_default();
            self.note(target.injected().iter().filter(|key| members.contains_key(**key)).map(|key| Note {
                about: format!("default_{}_message.{key}", target.noun()),
                message: "Armada sets this when a run starts, whatever is written here".to_owned(),
            }));
        }
    }

    /// Checks the settings in an agent's message, and with them what they need of the project. `about` says in whose
    /// message a value is.
    fn settings(&mut self, message: &Map<String, Value>, about: impl Fn(&ValuePath) -> String) -> Vec<Problem> {
        let (settings, notes) = match AgentSettings::read(message, &mut |text| self.patterns.check(text)) {
            Ok(read) => read,
            Err(problems) => return problems,
        };
        self.note(notes);
        if let Some(key) = settings.uses_of_proxy().next().filter(|_| self.lacks_proxy) {
            self.lacks_proxy = false;
            self.note([Note {
                about: about(&ValuePath::of_keys([PROXY, key])),
                message: "needs \"proxy\" in run_message.sandbox.capabilities: without it, agents do not open"
                    .to_owned(),
            }]);
        }
        let (problems, notes) = self.modules.check(&settings.traffic.modifiers);
        self.note(notes);
        problems
    }

    /// Goes through the rows of one file.
    fn side(&mut self, target: Target, numbers: &Numbers, given: Option<u64>, reach: &mut Reach<'_>) -> Side {
        if let Some(section) = self.template.section(target) {
            let path = ValuePath::of_keys([format!("default_{}_message", target.noun()).as_str()]);
            reach.check(&section.message().into(), &path, &mut self.notes);
        }
        let declared = match target {
            Target::Agent => numbers.agents,
            Target::Job => numbers.jobs,
        };
        let mut side = Side { target, count: given.unwrap_or(1), rows: 0, file: None };
        if let (None, Declared::Number(number)) = (given, declared) {
            side.count = number;
        }
        if let Some(number) = given {
            self.check_given(target, number);
        }
        let mut rows = match Rows::open(self.root, target) {
            Ok(Some(rows)) => rows,
            Ok(None) => return side,
            Err(mistake) => {
                self.mistakes.push(mistake);
                return side;
            }
        };
        let surplus = self.rows(target, &mut rows, side.count, reach);
        let count = rows.count();
        match (given, declared) {
            (Some(_), _) | (None, Declared::Unknown) => {}
            (None, Declared::Number(number)) => {
                if let Some(start) = surplus {
                    self.mistakes.push(self.surplus(&rows, start, number));
                }
            }
            (None, Declared::Absent) => {
                side.count = count.max(1);
                if let Some(most) = most(target).filter(|most| count > *most) {
                    let message =
                        format!("{}, but a run has at most {}", counted(count, "row"), counted(most, target.noun()));
                    self.mistakes.push(Mistake::new(target.file(), message));
                }
            }
        }
        side.rows = count.min(side.count);
        side.file = Some((rows.header().clone(), rows.fingerprint()));
        side
    }

    /// Checks every row; says where the first one starts that is beyond `limit`.
    fn rows(&mut self, target: Target, rows: &mut Rows, limit: u64, reach: &mut Reach<'_>) -> Option<Start> {
        rows.check_header(&mut self.mistakes);
        let header = rows.header().clone();
        let report = |mistakes: &mut Mistakes, flaw: Flaw, rows: &Rows| {
            for flaw in flaw.each() {
                mistakes.report(target.file(), || rows.mistake(&flaw));
            }
        };
        let settings = self.settings_plan(target, &header);
        let mut surplus = None;
        while let Some(read) = rows.read() {
            if rows.count() > limit && surplus.is_none() {
                surplus = Some(rows.row().start);
            }
            if let Err(flaw) = read {
                report(&mut self.mistakes, flaw, rows);
                continue;
            }
            let row = rows.row();
            for (column, name) in header.iter().enumerate() {
                if let Err(flaw) = check_cell(row, column, name, target) {
                    report(&mut self.mistakes, flaw, rows);
                }
                if row.index < MAX_ROWS {
                    let about = || format!("row {} of {}, column `{}`", row.index, target.file(), shown(name));
                    self.notes.extend(reach.check_text(row.cells.get(column).unwrap_or_default(), about));
                }
            }
            // A row that no agent has is a mistake already.
            if let Some(plan) = settings.as_ref().filter(|_| row.index < MAX_AGENTS) {
                for flaw in self.agent_settings(plan, row) {
                    report(&mut self.mistakes, flaw, rows);
                }
            }
        }
        surplus
    }

    /// The plan for those parts of agents' messages that have settings, if columns say something about them.
    fn settings_plan(&self, target: Target, header: &StringRecord) -> Option<Plan> {
        let section = self.template.section(target)?;
        let columns = |key: &str| header.iter().filter(|name| *name == key).count();
        let keys: Vec<&str> = AgentSettings::BLOCKS.into_iter().filter(|key| columns(key) == 1).collect();
        if target != Target::Agent || keys.is_empty() {
            return None;
        }
        Some(Plan::new(section.message(), Some(header), target).only(&keys))
    }

    /// Checks what a row makes of an agent's settings. What it leaves as it was has been checked already.
    fn agent_settings(&mut self, plan: &Plan, row: Row<'_>) -> Vec<Flaw> {
        let mut seen = Recorder::default();
        // A cell that is no JSON has been reported.
        let Ok(message) = plan.message(row, &mut seen) else { return Vec::new() };
        let about = |path: &ValuePath| format!("row {} of {}, {path}", row.index, Target::Agent.file());
        self.settings(&message, about)
            .into_iter()
            .filter(|problem| seen.has_replaced(&problem.path))
            .filter_map(|Problem { path, message, help, .. }| {
                let Some(Step::Key(key)) = path.steps().first() else { return None };
                let column = plan.column(key)?;
                Some(Flaw::cell(row, column, format!("{path}: {message}"), help))
            })
            .collect()
    }

    fn surplus(&self, rows: &Rows, start: Start, number: u64) -> Mistake {
        let target = rows.target();
        let place = self.template.run.as_ref().map(|section| {
            let reached = section.node.reach(&ValuePath::of_keys([target.count_key()]));
            self.template.layers.origin(reached.node.at).to_string()
        });
        let message = format!(
            "{} in this file, but `{}` is {}",
            counted(rows.count(), "row"),
            target.count_key(),
            thousands(number)
        );
        rows.show(start, None, None, message).in_row(number, None).label("the first row too many").help(format!(
            "change `{}` ({}), or remove rows",
            target.count_key(),
            place.unwrap_or_else(|| TEMPLATE.to_owned())
        ))
    }

    /// Checks a number of the command line.
    fn check_given(&mut self, target: Target, number: u64) {
        let setting = Counts::TABLE.iter().find(|setting| setting.name == target.count_key());
        if let Some(setting) = setting.filter(|setting| setting.check(&Value::from(number)).is_err()) {
            let message = format!("must be {}, found {}", setting.expected(), thousands(number));
            self.mistakes.push(Mistake::new(&format!("--{}s", target.noun()), message));
        }
    }

    fn note(&mut self, notes: impl IntoIterator<Item = Note>) {
        let known: HashSet<Note> = self.notes.iter().cloned().collect();
        let new = notes.into_iter().filter(|note| !known.contains(note));
        self.notes.extend(new.take(MAX_NOTES.saturating_sub(known.len())));
    }
}

/// The most agents or jobs that a run may have.
fn most(target: Target) -> Option<u64> {
    let setting = Counts::TABLE.iter().find(|setting| setting.name == target.count_key())?;
    match setting.kind {
        Kind::Whole { max, .. } => Some(max),
        _ => None,
    }
}
