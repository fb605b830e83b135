//! What the orchestrator and its agents say to each other, and over what.
//!
//! - [`job`], [`outcome`] and [`report`] are what is said: plain data with a fixed JSON form.
//! - [`JobQueue`], [`RunStore`] and [`JobStore`] are what it is said over, as traits; [`Broker`], [`Registry`] and
//!   [`Ledger`] are the orchestrator's views of the same three, and [`change`] what the last one tells of a run. They
//!   are shaped after what may be on the other side of a network: a queue that redelivers what was not acknowledged, a
//!   store that is read once, and a ledger that decides in one step what becomes of a job.
//! - [`Lender`] is who gives agents what the operator's [`Inventory`] has: upstream proxies, databases, secrets.
//! - [`embedded`] has them in this process; [`link`] gives another process, here or elsewhere, the same three;
//!   [`rabbitmq`] and [`redis`] have the first two for agents on many machines.
//!
//! Attempts are counted by the ledger, never by the queue: a queue may deliver a job twice, and only the ledger knows
//! whether the job has ended.

mod backoff;
pub mod change;
mod device;
pub mod embedded;
mod hidden;
pub mod inventory;
pub mod job;
pub mod lending;
pub mod link;
pub mod outcome;
pub mod patient;
pub mod rabbitmq;
pub mod redis;
pub mod report;
pub mod timestamp;
mod traits;

pub use change::Change;
pub use device::{DeviceProfile, DeviceProfiles};
pub use hidden::Hidden;
pub use inventory::Inventory;
pub use job::{AgentRecord, Attempt, CompiledRef, Incarnation, Job, RunId};
pub use lending::{InventoryLender, Lender, Lent, Wanted};
pub use outcome::{Cause, JobError, JobRecord, Outcome, Status};
pub use report::Report;
pub use traits::{
    AgentState, Broker, Connections, Delivery, JobConsumer, JobQueue, JobStore, Ledger, Next, ProtocolError, Registry,
    RunOptions, RunStore, Start, Stop,
};
