"""What an agent keeps between its jobs. Shows how to log in once per agent and hand the session on to every job."""

import armada
from armada.browser import BrowserContext


class AgentContext(armada.Agent):
    async def __aenter__(self) -> "AgentContext":
        self.site: str = self.agent_message["site"]
        """The URL that the site's paths are put after."""
        async with await self.browser.new_context() as context:
            page = await context.new_page()
            await page.goto(f"{self.site}/login")
            await page.get_by_label("Email").fill(self.agent_message["email"])
            await page.get_by_label("Password").fill(self.agent_message["password"])
            await page.get_by_role("button", name="Log in").click()
            await page.wait_for_url("**/account")
            self._session = await context.storage_state()
        return self

    async def member_context(self) -> BrowserContext:
        """A browser context of its own for a job, logged in: what one job leaves behind, no other one meets."""
        return await self.browser.new_context(storage_state=self._session)
