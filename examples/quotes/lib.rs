//! The example project: it logs in to a small site, and for each job reads what is there about a word.
//!
//! Shows how the parts of a project are named. Read on in `ctx_script.rs`.

mod addon;
mod ctx_agent_context;
mod ctx_job_context;
mod ctx_script;

armada::project! {
    script: ctx_script::ctx_script,
    agent_context: ctx_agent_context::AgentContext,
    job_context: ctx_job_context::JobContext,
}
