//! The control plane: it launches runs, dispatches their jobs, and looks after their agents.
//!
//! - [`launch`] is the whole of one run without a server, for `armada run`: a ledger in memory, agents as processes of
//!   this machine, and what happens told as it happens, as [`Change`](armada_protocol::Change)s.
//! - [`server`] is `armada serve`: the SQL [`store`], the [`conductor`] with the life of every run, and the API
//!   ([`http`]), started and ended in order.
//!
//! Both start agents with [`agents`].

pub mod agents;
pub mod conductor;
mod connections;
pub mod credentials;
pub mod http;
pub mod inputs;
pub mod launch;
mod retention;
#[cfg(test)]
mod rig;
pub mod server;
pub mod settings;
pub mod store;
