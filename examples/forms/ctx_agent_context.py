"""What an agent keeps between its jobs. Shows how everything is opened that the agent's message asks for."""

import armada


class AgentContext(armada.Agent):
    async def __aenter__(self) -> "AgentContext":
        # The proxy is leased by now. This launches the browser, too: what cannot be opened fails the agent and not its jobs.
        await self.instantiate_default()
        self.site: str = self.agent_message["site"]
        """The URL that the site's paths are put after."""
        return self
