//! The control plane: it launches runs, dispatches their jobs, and looks after their agents.
//!
//! [`launch`](launch::launch) is the whole of a run on one machine: it opens the ledger, stores one record per agent, starts
//! the agents as processes of their own ([`agents`]) and publishes the jobs, streaming. What happens is told as it
//! happens, as [`Change`](armada_protocol::Change)s.

pub mod agents;
pub mod conductor;
pub mod credentials;
pub mod http;
pub mod inputs;
pub mod launch;
mod retention;
pub mod server;
pub mod settings;
pub mod store;
