//! Queue, store and ledger inside this process, for a run that needs nothing installed.
//!
//! They keep to the same rules as a broker and a database would: a bounded queue that redelivers, records that are read
//! once, and a ledger whose decisions are made under one lock. What a run leaves behind in memory is one bit per job.

mod ledger;
mod queue;
mod runs;

pub use ledger::EmbeddedJobStore;
pub use queue::EmbeddedQueue;
pub use runs::EmbeddedRunStore;
