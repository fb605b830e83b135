//! A project whose jobs end in every way that a job can end. Which one is said by the job's message.

mod ctx_agent_context;
mod ctx_job_context;
mod ctx_script;

armada::project! {
    script: ctx_script::ctx_script,
    agent_context: ctx_agent_context::AgentContext,
    job_context: ctx_job_context::JobContext,
}
