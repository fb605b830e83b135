//! A project's configuration, resolved and checked: the messages of a run, one at a time.
//!
//! It is cheap to clone and holds the template only; the rows of the CSV files stay on the disk and are read again
//! whenever messages are made. A file that was changed since it was checked is noticed, not half used.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use csv::StringRecord;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::digest::ComponentRef;
use crate::explain::explain_run;
use crate::messages::Messages;
use crate::mistake::{Mistake, Mistakes, Note};
use crate::origin::Explained;
use crate::plan::Plan;
use crate::project::{Mode, Overrides};
use crate::rows::{Fingerprint, Target};
use crate::sandbox::Sandbox;
use crate::suggest::{counted, thousands};
use crate::template::Template;

/// A resolved configuration.
///
/// ```no_run
/// use armada_project::{Mode, Overrides, Project};
///
/// let project = Project::open("examples/quotes")?;
/// let configuration = project.resolve(Mode::Local, &Overrides::default())?;
/// for message in configuration.jobs() {
///     let message = message?;
///     println!("{}", message["targetted_job"]);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Configuration(Arc<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    resolved: Arc<Resolved>,
    /// Whether it is for a run of its own.
    injected: bool,
    run: Map<String, Value>,
    agents: Plan,
    jobs: Plan,
}

/// What resolving found out, which injection does not change.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub(crate) root: PathBuf,
    pub(crate) template: Template,
    pub(crate) sandbox: Sandbox,
    pub(crate) notes: Vec<Note>,
    pub(crate) overrides: Overrides,
    pub(crate) agents: Side,
    pub(crate) jobs: Side,
}

/// The agents, or the jobs.
#[derive(Clone, Debug)]
pub(crate) struct Side {
    pub(crate) target: Target,
    /// How many there are.
    pub(crate) count: u64,
    /// How many of them have a row: the first ones.
    pub(crate) rows: u64,
    /// The columns and the state of the CSV file, if it has any.
    pub(crate) file: Option<(StringRecord, Fingerprint)>,
}

/// What Armada itself tells every agent and job when a run starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Injection {
    /// The run: `run_id` of the run message, of every agent message and of every job message.
    pub run_id: Uuid,
    /// The compiled project: `component` of every agent message.
    pub component: ComponentRef,
}

impl Configuration {
    /// Resolves the configuration in a folder that has a `config` folder, whether or not it has scripts too.
    ///
    /// Either everything in it is right, or every mistake in it is reported.
    pub fn resolve(folder: &Path, mode: Mode, overrides: &Overrides) -> Result<Configuration, Mistakes> {
        crate::resolve::resolve(folder, mode, overrides).map(Configuration::of)
    }

    fn of(resolved: Resolved) -> Configuration {
        let mut run = resolved.template.run.as_ref().map(|section| section.message()).unwrap_or_default();
        for side in [&resolved.agents, &resolved.jobs] {
            run.insert(side.target.count_key().to_owned(), side.count.into());
        }
        let plan = |side: &Side| Plan::new(resolved.default_message(side.target), side.header(), side.target);
        let (agents, jobs) = (plan(&resolved.agents), plan(&resolved.jobs));
        Configuration(Arc::new(Inner { resolved: Arc::new(resolved), injected: false, run, agents, jobs }))
    }

    /// The same configuration for a run of its own: what [`Injection`] says is put into the defaults.
    #[must_use]
    pub fn inject(&self, injection: Injection) -> Configuration {
        let run_id = Value::from(injection.run_id.to_string());
        let component = serde_json::json!({
            "digest": injection.component.digest.to_string(),
            "size": injection.component.size,
        });
        let mut run = self.0.run.clone();
        run.insert("run_id".to_owned(), run_id.clone());
        let plan = |side: &Side| {
            let mut default = self.plan(side.target).default().clone();
            for key in side.target.injected() {
                let value = if *key == "run_id" { &run_id } else { &component };
                default.insert((*key).to_owned(), value.clone());
            }
            Plan::new(default, side.header(), side.target)
        };
        let resolved = self.0.resolved.clone();
        let (agents, jobs) = (plan(&resolved.agents), plan(&resolved.jobs));
        Configuration(Arc::new(Inner { resolved, injected: true, run, agents, jobs }))
    }

    /// How many agents the run has; at least 1.
    pub fn number_of_agents(&self) -> u32 {
        // The check of `number_of_agents` keeps it far below.
        u32::try_from(self.0.resolved.agents.count).unwrap_or(u32::MAX)
    }

    /// How many jobs the run has; at least 1.
    pub fn number_of_jobs(&self) -> u64 {
        self.0.resolved.jobs.count
    }

    /// What the project asks to be allowed.
    pub fn sandbox(&self) -> &Sandbox {
        &self.0.resolved.sandbox
    }

    /// What is worth knowing, but no mistake.
    pub fn notes(&self) -> &[Note] {
        &self.0.resolved.notes
    }

    /// The run's message, with the numbers of agents and jobs that hold.
    pub fn run_message(&self) -> Map<String, Value> {
        self.0.run.clone()
    }

    /// The agents' messages, in the order of their indices.
    pub fn agents(&self) -> Messages {
        Messages::new(self.clone(), Target::Agent)
    }

    /// The jobs' messages, in the order of their indices. One row is in memory at a time.
    pub fn jobs(&self) -> Messages {
        Messages::new(self.clone(), Target::Job)
    }

    /// The message of one agent.
    pub fn agent_message(&self, index: u32) -> Result<Map<String, Value>, Mistake> {
        self.message(Target::Agent, u64::from(index))
    }

    /// The message of one job. Its row is looked for from the start of the file.
    pub fn job_message(&self, index: u64) -> Result<Map<String, Value>, Mistake> {
        self.message(Target::Job, index)
    }

    /// Where each value of the run's message came from. Paths begin with `run_message`.
    pub fn explain_run(&self) -> Vec<Explained> {
        explain_run(self, &self.0.run)
    }

    /// Where each value of an agent's message came from.
    pub fn explain_agent(&self, index: u32) -> Result<Vec<Explained>, Mistake> {
        self.explain(Target::Agent, u64::from(index))
    }

    /// Where each value of a job's message came from.
    pub fn explain_job(&self, index: u64) -> Result<Vec<Explained>, Mistake> {
        self.explain(Target::Job, index)
    }

    fn message(&self, target: Target, index: u64) -> Result<Map<String, Value>, Mistake> {
        self.from(target, index)?.next().unwrap_or_else(|| Err(self.no_such(target, index)))
    }

    fn explain(&self, target: Target, index: u64) -> Result<Vec<Explained>, Mistake> {
        self.from(target, index)?.explain().unwrap_or_else(|| Err(self.no_such(target, index)))
    }

    /// The messages from this index on.
    fn from(&self, target: Target, index: u64) -> Result<Messages, Mistake> {
        if index >= self.side(target).count {
            return Err(self.no_such(target, index));
        }
        let mut messages = Messages::new(self.clone(), target);
        messages.skip_to(index)?;
        Ok(messages)
    }

    fn no_such(&self, target: Target, index: u64) -> Mistake {
        let (noun, count) = (target.noun(), self.side(target).count);
        let message = format!("there is no {noun} {}: the run has {}", thousands(index), counted(count, noun));
        Mistake::new(target.file(), message).help(format!("{noun}s are numbered from 0"))
    }

    pub(crate) fn resolved(&self) -> &Resolved {
        &self.0.resolved
    }

    pub(crate) fn is_injected(&self) -> bool {
        self.0.injected
    }

    pub(crate) fn side(&self, target: Target) -> &Side {
        match target {
            Target::Agent => &self.0.resolved.agents,
            Target::Job => &self.0.resolved.jobs,
        }
    }

    pub(crate) fn plan(&self, target: Target) -> &Plan {
        match target {
            Target::Agent => &self.0.agents,
            Target::Job => &self.0.jobs,
        }
    }
}

impl Resolved {
    fn default_message(&self, target: Target) -> Map<String, Value> {
        self.template.section(target).map(|section| section.message()).unwrap_or_default()
    }
}

impl Side {
    fn header(&self) -> Option<&StringRecord> {
        self.file.as_ref().map(|(header, _)| header)
    }
}
