//! What happened in a run, as it happens: what whoever watches a run is told.

use crate::report::{Event, LogLine, Progress};
use crate::{AgentState, Attempt, JobRecord, Outcome};

/// Something that happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Change {
    /// An agent does something else now.
    Agent {
        /// The agent.
        index: u32,
        /// What it does.
        state: AgentState,
    },
    /// An attempt began.
    Started(Attempt),
    /// A job reported a step.
    Event(Attempt, Event),
    /// A job wrote to its log.
    Log(Attempt, LogLine),
    /// A job said how far it has come.
    Progress(Attempt, Progress),
    /// An attempt failed, and the job gets another.
    Retried(Attempt, Outcome),
    /// A job ended.
    Ended(Box<JobRecord>),
    /// Every job has ended.
    Drained,
}
