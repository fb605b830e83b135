//! Runs, agents, jobs and attempts: what is stored for an agent and put on a queue.

use std::fmt;
use std::str::FromStr;

use armada_project::{ComponentRef, Digest, Grant};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use uuid::Uuid;

/// Names a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub Uuid);

impl RunId {
    /// A new run's id.
    pub fn new() -> Self {
        Self(Uuid::new_v4())
    }

    /// Names the job at a place of the run, from 0. It follows from run and place, so that a job has its name whether
    /// it was ever dispatched or not, and one that is dispatched twice is the same job.
    pub fn job(self, index: u64) -> Uuid {
        // The run's own name is random; below its version and variant there are 62 bits.
        let place = u128::from(index.wrapping_add(1)) & (u128::MAX >> 66);
        Uuid::from_u128(self.0.as_u128() ^ place)
    }

    /// The place of the job of this name: where [`RunId::job`] has it; or, of a job that somebody else has named, one
    /// from [`FOREIGN_PLACES`] on, which is always the same for the same name.
    pub fn place(self, job: Uuid) -> u64 {
        match u64::try_from(self.0.as_u128() ^ job.as_u128()) {
            Ok(place @ 1..=FOREIGN_PLACES) => place - 1,
            _ => {
                let digest = Digest::of(job.as_bytes());
                let number = digest.as_bytes().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte));
                FOREIGN_PLACES | number & (FOREIGN_PLACES - 1)
            }
        }
    }
}

/// The first place of those that jobs have which the run does not know from its own launch. They are as many again:
/// every place is a number that JavaScript has exactly, and that chance gives twice in one of nine thousand runs with a
/// million such jobs.
pub const FOREIGN_PLACES: u64 = 1 << 52;

impl Default for RunId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for RunId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// A job as it lies on a queue.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// Names the job; the same for every attempt.
    pub uuid: Uuid,
    /// Its place in the run, from 0.
    pub index: u64,
    /// The merged job configuration: the text of a JSON object.
    pub message: Box<RawValue>,
}

/// One process of an agent. An agent that is started again is another incarnation: what the one before had begun, it
/// does not know of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Incarnation {
    /// The agent's number within its run, from 0.
    pub agent: u32,
    /// Names the process.
    pub id: Uuid,
}

impl Incarnation {
    /// A new process of an agent.
    pub fn new(agent: u32) -> Self {
        Self { agent, id: Uuid::new_v4() }
    }
}

/// One attempt at a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Attempt {
    /// The run that the job belongs to.
    pub run: RunId,
    /// The job.
    pub job: Uuid,
    /// The job's place in the run, from 0.
    pub index: u64,
    /// Which attempt this is, from 1.
    pub number: u32,
    /// The agent that makes it.
    pub agent: u32,
}

/// What an agent reads once, when it starts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AgentRecord {
    /// The merged agent configuration.
    pub message: Map<String, Value>,
    /// Which component to run.
    pub component: ComponentRef,
    /// What the run is allowed.
    pub grant: Grant,
    /// What the component was compiled to, if agents need not do that themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compiled: Option<CompiledRef>,
}

/// What a component was compiled to, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompiledRef {
    /// The configuration of the engines that can load it.
    pub engine: String,
    /// The orchestrator's signature of component, configuration and code, in hexadecimal digits. Nobody else can make
    /// it.
    pub signature: String,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_job_of_the_run_is_found_by_its_name(run: u128, index in 0..FOREIGN_PLACES) {
            let run = RunId(Uuid::from_u128(run));
            prop_assert_eq!(run.place(run.job(index)), index);
        }

        #[test]
        fn a_foreign_job_has_a_place_of_its_own_outside_of_the_run(run: u128, job: u128) {
            let (run, job) = (RunId(Uuid::from_u128(run)), Uuid::from_u128(job));
            prop_assume!((run.0.as_u128() ^ job.as_u128()) >> 64 != 0);
            let place = run.place(job);
            prop_assert!((FOREIGN_PLACES..2 * FOREIGN_PLACES).contains(&place), "{}", place);
            prop_assert_eq!(place, run.place(job));
        }
    }

    #[test]
    fn the_name_of_the_run_is_a_foreign_one() {
        let run = RunId::new();
        assert!(run.place(run.0) >= FOREIGN_PLACES);
    }
}
