//! What an agent keeps between its jobs. Shows how to log in once per agent and hand the session on to every job.

use armada::browser::{BrowserContext, Role};
use armada::{Agent, Message, Result, Value};

pub struct AgentContext {
    agent: Agent,
    /// The URL that the site's paths are put after.
    pub site: String,
    /// Cookies and local storage of the member who is logged in.
    session: Value,
}

impl armada::AgentContext for AgentContext {
    async fn open(agent_message: Message) -> Result<Self> {
        let agent = Agent::open(agent_message).await?;
        let site: String = agent.agent_message.field("site")?;
        let email: String = agent.agent_message.field("email")?;
        let password: String = agent.agent_message.field("password")?;

        let context = agent.browser.new_context().await?;
        let page = context.new_page().await?;
        page.goto(format!("{site}/login")).await?;
        page.get_by_label("Email").fill(email).await?;
        page.get_by_label("Password").fill(password).await?;
        page.get_by_role(Role::new("button").name("Log in")).click().await?;
        page.wait_for_url("**/account").await?;
        let session = context.storage_state().await?;
        Ok(Self { agent, site, session })
    }
}

impl AgentContext {
    /// A browser context of its own for a job, logged in: what one job leaves behind, no other one meets.
    pub async fn member_context(&self) -> Result<BrowserContext> {
        Ok(self.agent.browser.new_context().storage_state(self.session.clone()).await?)
    }
}
