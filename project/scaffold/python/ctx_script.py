"""What a job does."""

from armada import Agent, Job
from armada.browser import Page


async def ctx_script(job_ctx: Job, agent_ctx: Agent) -> dict[str, object]:
    """Opens the page that the job names, and reads its title and headings. What it returns is the job's result, as JSON."""
    url = job_ctx.job_message["url"]

    page = await agent_ctx.browser.new_page()
    await page.goto(url)
    headings = await read_headings(page)

    job_ctx.monitoring_client.record_success_event(f"{url}: {len(headings)} headings")
    return {"title": await page.title(), "headings": headings}


async def read_headings(page: Page) -> list[str]:
    """The headings of a page, as its readers see them."""
    return await page.locator("h1, h2").all_inner_texts()
