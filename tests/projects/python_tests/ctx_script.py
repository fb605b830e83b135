"""A script with a part that can be tested, and tests of which each comes to another end."""

from armada import Agent, Job
from armada.browser import Page


async def ctx_script(job_ctx: Job, agent_ctx: Agent) -> float:
    return await read_price(await agent_ctx.browser.new_page())


async def read_price(page: Page) -> float:
    """The price that a page shows."""
    return float(await page.locator(".price").inner_text())
