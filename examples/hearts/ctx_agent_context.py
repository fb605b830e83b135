"""What an agent keeps between its jobs. Shows how a table is made that jobs write to."""

import armada


class AgentContext(armada.Agent):
    async def __aenter__(self) -> "AgentContext":
        # The device, the database and the browser: what cannot be opened fails the agent and not its jobs.
        await self.instantiate_default()
        await self.database.execute(
            "CREATE TABLE IF NOT EXISTS hearts (quote integer, hearts integer, counted_at timestamp)"
        )
        self.site: str = self.agent_message["site"]
        """The URL that the site's paths are put after."""
        return self
