"""What a job does. Shows a page as a phone has it, a request without the browser, and a table that outlives the run."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime

import armada
from armada import fingerprint, http

from ctx_agent_context import AgentContext


@dataclass
class Counted:
    """What a job gives."""

    quote: int
    hearts: int
    """How many readers like it."""
    change: int | None
    """How many more these are than the last time, if there was one."""
    since: datetime | None
    """When that was."""
    device: str
    """What the page was looked at with."""
    fits: bool
    """Whether the page is no wider than that."""


async def ctx_script(job_ctx: armada.Job, agent_ctx: AgentContext) -> Counted:
    quote, report = int(job_ctx.job_message["quote"]), job_ctx.monitoring_client
    url = f"{agent_ctx.site}/quotes/{quote}"
    device = await fingerprint.current()

    page = await agent_ctx.browser.new_page()
    await page.goto(url)
    shown = int(await page.get_by_test_id("hearts").inner_text())
    width: int = await page.evaluate("document.documentElement.scrollWidth")
    # What a page has drawn is on the screen a little later.
    await asyncio.sleep(0.5)
    await report.save_artifact("screen.png", "image/png", await agent_ctx.screen.screenshot())
    report.record_success_event(f"a {device.model} shows {shown} hearts")

    answer = await http.get(f"{url}/hearts", headers={"user-agent": device.user_agent}, timeout=10)
    hearts: int = answer.raise_for_status().json()
    assert hearts == shown, f"the site counts {hearts} hearts, and its page shows {shown}"

    last = await agent_ctx.database.select_from_db(
        "SELECT hearts, counted_at FROM hearts WHERE quote = %s ORDER BY counted_at DESC LIMIT 1", quote
    )
    before, since = last[0] if last else (None, None)
    change = None if before is None else hearts - before
    # It comes last: an attempt that has failed has not counted.
    await agent_ctx.database.post_to_db("INSERT INTO hearts VALUES (%s, %s, %s)", quote, hearts, datetime.now(UTC))
    news = f"{change:+} since {since:%d %B}" if since else "counted for the first time"
    report.record_success_event(f"quote {quote} has {hearts} hearts: {news}")

    return Counted(quote, hearts, change, since, device.model, fits=width <= device.viewport.width)
