//! An agent context that says when it is opened and closed.

use armada::{Message, Result};

pub struct AgentContext {
    pub shop: String,
}

impl armada::AgentContext for AgentContext {
    async fn open(agent_message: Message) -> Result<Self> {
        println!("the agent is open");
        Ok(Self { shop: agent_message.field("shop")? })
    }

    async fn close(self) -> Result<()> {
        println!("the agent is closed");
        Ok(())
    }
}
