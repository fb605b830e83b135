//! The first two layers: the template, with its `$env_…` placeholders filled in from the mode's tune file.
//!
//! A placeholder is a whole string value that starts with `$env_`; it becomes the value of that name, whatever its
//! type. What is filled in is not looked through again. Every value keeps the place that it came from.

use std::collections::HashSet;
use std::path::Path;

use indexmap::IndexMap;
use serde_json::{Map, Value};

use crate::json::{self, MAX_DEPTH};
use crate::mistake::{Mistake, Mistakes, Note};
use crate::node::{At, Member, Node, Shape, Source, to_map};
use crate::origin::{Origin, Place};
use crate::project::{Given, Mode, Overrides};
use crate::rows::Target;
use crate::setting::Problem;
use crate::suggest::{did_you_mean, found, list, nearest, quoted, shown};
use crate::text::{Position, SourceFile, Span};

/// The template, relative to the project.
pub(crate) const TEMPLATE: &str = "config/config_template.json";

/// What a placeholder starts with.
pub(crate) const PREFIX: &str = "$env_";

/// The template's keys, with their meanings.
pub(crate) const SECTIONS: [(&str, &str); 3] = [
    ("run_message", "The run as a whole: how many agents and jobs, and what they may do."),
    ("default_agent_message", "What every agent is given; a row of data_agent.csv is merged over it."),
    ("default_job_message", "What every job is given; a row of data_job.csv is merged over it."),
];

/// The most that filled-in placeholders may add: many of them could stand for one large value.
const MAX_FILLED_BYTES: usize = 16 << 20;

/// The files of the first two layers, for whoever must show a place in them.
#[derive(Debug)]
pub(crate) struct Layers {
    template: Option<SourceFile>,
    tune: Option<SourceFile>,
}

/// A part of the template, filled in.
#[derive(Debug)]
pub(crate) struct Section {
    /// Its values, with their places.
    pub(crate) node: Node,
}

/// The template, filled in. A part that is not usable is missing, and a mistake says why.
#[derive(Debug)]
pub(crate) struct Template {
    pub(crate) layers: Layers,
    pub(crate) run: Option<Section>,
    pub(crate) agent: Option<Section>,
    pub(crate) job: Option<Section>,
    pub(crate) notes: Vec<Note>,
}

impl Section {
    fn empty() -> Section {
        let at = At { source: Source::Template, span: Span::default(), placeholder: None };
        Section { node: Node { at, shape: Shape::Object(IndexMap::new()) } }
    }

    /// The plain message.
    pub(crate) fn message(&self) -> Map<String, Value> {
        match &self.node.shape {
            Shape::Object(members) => to_map(members),
            _ => Map::new(),
        }
    }
}

impl Template {
    /// The default message of an agent or a job.
    pub(crate) fn section(&self, target: Target) -> Option<&Section> {
        match target {
            Target::Agent => self.agent.as_ref(),
            Target::Job => self.job.as_ref(),
        }
    }
}

impl Layers {
    /// A mistake where a value, or its key, stands.
    fn mistake(&self, at: At, message: String) -> Mistake {
        match (at.source, &self.template, &self.tune) {
            (Source::Tune, template, Some(tune)) => {
                let mistake = tune.mistake(at.span, message);
                match (at.placeholder, template) {
                    (Some(placeholder), Some(template)) => mistake.label(used_by(template, placeholder)),
                    _ => mistake,
                }
            }
            (Source::CommandLine, Some(template), _) => {
                template.mistake(at.span, message).label("the value is given on the command line")
            }
            (Source::Environment, Some(template), _) => {
                template.mistake(at.span, message).label("the value is that of an environment variable (--set-env)")
            }
            (_, Some(template), _) => template.mistake(at.span, message),
            (_, None, _) => Mistake::new(TEMPLATE, message),
        }
    }

    /// Reports a mistake where a value, or its key, stands. Its words (and what to do) are found only if it is kept.
    pub(crate) fn report(&self, at: At, mistakes: &mut Mistakes, words: impl FnOnce() -> (String, Option<String>)) {
        let file = match (at.source, &self.tune) {
            (Source::Tune, Some(tune)) => tune.name(),
            _ => TEMPLATE,
        };
        mistakes.report(file, || {
            let (message, help) = words();
            let mistake = self.mistake(at, message);
            match help {
                Some(help) => mistake.help(help),
                None => mistake,
            }
        });
    }

    /// Reports a problem of a section's value, unless the value could not be found out anyway.
    pub(crate) fn report_problem(&self, section: &Section, problem: Problem, mistakes: &mut Mistakes) {
        let reached = section.node.reach(&problem.path);
        if matches!(reached.node.shape, Shape::Unknown) {
            return;
        }
        let at = match (problem.at_key, reached.key) {
            (true, Some(key)) => key,
            _ => reached.node.at,
        };
        self.report(at, mistakes, || (problem.message, problem.help));
    }

    /// The layer that a value came from, and where in it.
    pub(crate) fn origin(&self, at: At) -> Origin {
        let placeholder = at.placeholder.map(|span| place(self.template.as_ref(), TEMPLATE, span));
        match (at.source, placeholder) {
            (Source::CommandLine | Source::Environment, placeholder) => {
                let option = if at.source == Source::CommandLine { "--set" } else { "--set-env" };
                let text = self.template.as_ref().and_then(|file| file.text().get(at.span.start..at.span.end));
                let name = text.unwrap_or_default().trim_matches('"').trim_start_matches(PREFIX);
                Origin::CommandLine { option: format!("{option} {}", shown(name)), placeholder }
            }
            (Source::Tune, Some(placeholder)) => {
                Origin::Tune { place: place(self.tune.as_ref(), "", at.span), placeholder }
            }
            _ => Origin::Template { place: place(self.template.as_ref(), TEMPLATE, at.span) },
        }
    }
}

fn place(file: Option<&SourceFile>, name: &str, span: Span) -> Place {
    let position = file.map_or(Position { line: 1, column: 1 }, |file| file.position(span.start));
    let file = file.map_or(name, SourceFile::name).to_owned();
    Place { file, line: position.line, column: position.column }
}

/// “for `$env_X` in config/config_template.json:4:20”.
fn used_by(template: &SourceFile, placeholder: Span) -> String {
    let text = template.text().get(placeholder.start..placeholder.end).unwrap_or_default();
    format!("for {} in {}", shown(text), place(Some(template), TEMPLATE, placeholder))
}

/// Reads both layers of the project at `root`.
pub(crate) fn load(root: &Path, mode: Mode, overrides: &Overrides, mistakes: &mut Mistakes) -> Template {
    let (template, tree) = read(root, TEMPLATE, Source::Template, mistakes);
    let (tune, values) = read(root, mode.tune_file(), Source::Tune, mistakes);
    let mut loaded =
        Template { layers: Layers { template, tune }, run: None, agent: None, job: None, notes: Vec::new() };
    let mut filler = Filler {
        layers: &loaded.layers,
        tune_name: mode.tune_file(),
        values,
        overrides,
        used: HashSet::new(),
        budget: MAX_FILLED_BYTES,
        mistakes,
    };
    let sections = match tree {
        File::Unusable => [None, None, None],
        File::Missing => SECTIONS.map(|_| Some(Section::empty())),
        File::Object(members) => filler.sections(members),
    };
    let unused = filler.unused();
    [loaded.run, loaded.agent, loaded.job] = sections;
    loaded.notes = unused;
    loaded
}

/// What came of reading a file that should hold an object.
enum File {
    Missing,
    /// There are mistakes in it, which have been reported.
    Unusable,
    Object(IndexMap<String, Member>),
}

fn read(root: &Path, name: &'static str, source: Source, mistakes: &mut Mistakes) -> (Option<SourceFile>, File) {
    let file = match SourceFile::read_in(root, name) {
        Ok(Some(file)) => file,
        Ok(None) => return (None, File::Missing),
        Err(mistake) => {
            mistakes.push(mistake);
            return (None, File::Unusable);
        }
    };
    let (root, faults) = json::read(file.text(), source);
    faults.into_iter().for_each(|fault| mistakes.push(fault.in_file(&file)));
    let content = match root {
        Some(Node { shape: Shape::Object(members), .. }) => File::Object(members),
        None | Some(Node { shape: Shape::Unknown, .. }) => File::Unusable,
        Some(other) => {
            mistakes
                .push(file.mistake(other.at.span, format!("expected an object, found {}", found(&other.to_value()))));
            File::Unusable
        }
    };
    (Some(file), content)
}

/// Fills in placeholders.
struct Filler<'a> {
    layers: &'a Layers,
    tune_name: &'static str,
    values: File,
    overrides: &'a Overrides,
    /// The names that some placeholder stands for.
    used: HashSet<String>,
    budget: usize,
    mistakes: &'a mut Mistakes,
}

/// Why a value cannot be filled in.
enum Misfit {
    Deep,
    Large,
}

impl Filler<'_> {
    fn sections(&mut self, mut members: IndexMap<String, Member>) -> [Option<Section>; 3] {
        for (key, member) in &members {
            if key == "$schema" || SECTIONS.iter().any(|(name, _)| name == key) {
                continue;
            }
            let at = At { span: member.key, ..member.value.at };
            let names = || SECTIONS.iter().map(|(name, _)| *name);
            self.layers.report(at, self.mistakes, || {
                let help = did_you_mean(key, names(), || format!("the template's keys are {}", list(names())));
                (format!("there is no section {} in a template", quoted(key)), Some(help))
            });
        }
        SECTIONS.map(|(name, _)| {
            let Some(member) = members.shift_remove(name) else { return Some(Section::empty()) };
            let node = self.fill(member.value, 1);
            match &node.shape {
                Shape::Object(_) => Some(Section { node }),
                Shape::Unknown => None,
                _ => {
                    self.layers.report(node.at, self.mistakes, || {
                        (format!("`{name}` must be an object, found {}", found(&node.to_value())), None)
                    });
                    None
                }
            }
        })
    }

    fn fill(&mut self, node: Node, depth: usize) -> Node {
        let at = node.at;
        let shape = match node.shape {
            Shape::Leaf(Value::String(text)) => match text.strip_prefix(PREFIX) {
                Some(name) => return self.value_of(name, at, depth),
                None => Shape::Leaf(Value::String(text)),
            },
            Shape::List(items) => Shape::List(items.into_iter().map(|item| self.fill(item, depth + 1)).collect()),
            Shape::Object(members) => Shape::Object(
                members
                    .into_iter()
                    .map(|(key, member)| (key, Member { key: member.key, value: self.fill(member.value, depth + 1) }))
                    .collect(),
            ),
            other => other,
        };
        Node { at, shape }
    }

    fn value_of(&mut self, name: &str, at: At, depth: usize) -> Node {
        let unknown = Node { at, shape: Shape::Unknown };
        if name.is_empty() {
            self.layers.report(at, self.mistakes, || {
                let help = format!("write the name of a value of {} after `{PREFIX}`", self.tune_name);
                ("a placeholder without a name".to_owned(), Some(help))
            });
            return unknown;
        }
        self.used.insert(name.to_owned());
        let filled = if let Some((source, value)) = self.overrides.value(name) {
            let at = At { source, span: at.span, placeholder: Some(at.span) };
            Node::of_value(&value, at, depth).ok_or(Misfit::Deep)
        } else {
            match &self.values {
                File::Object(values) => match values.get(name) {
                    Some(member) => copy(&member.value, at.span, depth, &mut self.budget),
                    None => {
                        self.missing(name, at);
                        return unknown;
                    }
                },
                File::Missing => {
                    self.missing(name, at);
                    return unknown;
                }
                File::Unusable => return unknown,
            }
        };
        filled.unwrap_or_else(|misfit| {
            self.layers.report(at, self.mistakes, || {
                let name = shown(name);
                let message = match misfit {
                    Misfit::Deep => format!("the value of `{name}` nests more than {MAX_DEPTH} levels deep here"),
                    Misfit::Large => format!("with the value of `{name}` here, messages would be larger than 16 MiB"),
                };
                (message, None)
            });
            unknown
        })
    }

    fn missing(&mut self, name: &str, at: At) {
        let file = self.tune_name;
        let (or_give, create) = match self.overrides.given {
            Given::Command => {
                (format!("or give it with `--set {0}=VALUE` or `--set-env {0}`", shown(name)), format!("create {file}"))
            }
            Given::Request => {
                let sent = format!("send {file} as the part `configtune`");
                ("or give it in `set` of the part `options`".to_owned(), sent)
            }
        };
        self.layers.report(at, self.mistakes, || match &self.values {
            File::Object(values) => {
                let add = format!("add {} to {file}, {or_give}", quoted(name));
                let near = nearest(name, values.keys().map(String::as_str));
                let help = near.map(|near| format!("did you mean `{PREFIX}{}`? Otherwise {add}", shown(near)));
                (format!("`{}` has no value in {file}", shown(name)), Some(help.unwrap_or(add)))
            }
            _ => (
                format!("`{}` has no value: there is no {file}", shown(name)),
                Some(format!("{create} with {{{}: …}}, {or_give}", quoted(name))),
            ),
        });
    }

    /// Overrides that no placeholder stands for: they change nothing, which is hardly what was meant.
    fn unused(&self) -> Vec<Note> {
        let set = self.overrides.set.iter().map(|(name, _)| ("--set", name));
        let set_env = self.overrides.set_env.iter().map(|(name, _)| ("--set-env", name));
        let unused = set.chain(set_env).filter(|(_, name)| !self.used.contains(*name));
        let note = |(option, name): (&str, &String)| Note {
            about: format!("{option} {name}"),
            message: format!("no placeholder `{PREFIX}{name}` is in {TEMPLATE}"),
        };
        unused.map(note).collect()
    }
}

/// A copy of a tune value for one placeholder.
fn copy(node: &Node, placeholder: Span, depth: usize, budget: &mut usize) -> Result<Node, Misfit> {
    let size = match &node.shape {
        Shape::Leaf(Value::String(text)) => text.len(),
        _ => 0,
    };
    // Every value takes some characters of its own, for its key and punctuation.
    *budget = budget.checked_sub(size + 16).ok_or(Misfit::Large)?;
    let shape = match &node.shape {
        Shape::List(_) | Shape::Object(_) if depth >= MAX_DEPTH => return Err(Misfit::Deep),
        Shape::List(items) => {
            let items = items.iter().map(|item| copy(item, placeholder, depth + 1, budget));
            Shape::List(items.collect::<Result<_, _>>()?)
        }
        Shape::Object(members) => {
            let members = members.iter().map(|(key, member)| {
                let value = copy(&member.value, placeholder, depth + 1, budget)?;
                Ok((key.clone(), Member { key: member.key, value }))
            });
            Shape::Object(members.collect::<Result<_, _>>()?)
        }
        other => other.clone(),
    };
    Ok(Node { at: At { placeholder: Some(placeholder), ..node.at }, shape })
}
