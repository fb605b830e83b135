//! A project with tests of which each comes to another end.

mod ctx_agent_context;
mod ctx_script;
#[cfg(test)]
mod tests;

armada::project! {
    script: ctx_script::ctx_script,
    agent_context: ctx_agent_context::AgentContext,
}
