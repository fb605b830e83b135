//! What the agent keeps: how many jobs it has seen, and a page that tells the test's site when the context opens and
//! closes.

use armada::{Agent, Message, Result, bail};

pub struct AgentContext {
    pub agent: Agent,
    pub jobs_seen: u32,
}

impl armada::AgentContext for AgentContext {
    async fn open(agent_message: Message) -> Result<Self> {
        match agent_message["open"].as_str() {
            Some("fail") => bail!("there is nothing to open"),
            Some("panic") => panic!("opening is too hard"),
            Some("wait") => armada::sleep(std::time::Duration::from_secs(600)).await?,
            Some("loop") => loop {
                std::hint::black_box(0);
            },
            _ => {}
        }
        let context = Self { agent: Agent::open(agent_message).await?, jobs_seen: 0 };
        context.tell("opened").await?;
        Ok(context)
    }

    async fn close(self) -> Result<()> {
        self.tell("closed").await
    }
}

impl AgentContext {
    /// Tells the test's site, if there is one.
    async fn tell(&self, what: &str) -> Result<()> {
        if let Some(site) = self.agent.agent_message["site"].as_str() {
            let page = self.agent.browser.new_page().await?;
            page.goto(format!("{site}/tell/{what}")).await?;
        }
        Ok(())
    }
}
