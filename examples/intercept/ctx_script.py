"""What a job does. Shows a page that a modifier has changed, and how a script sees what went over the network."""

from dataclasses import dataclass

import armada


@dataclass
class Seen:
    """What a job gives."""

    hearts: int
    """How many the page shows, and how many the site had sent is this less a million."""
    requests: list[str]
    """What the page has asked for, and what came of it."""
    author: str
    """The title of the page of the quote's author, which a rule answers."""


async def ctx_script(job_ctx: armada.Job, agent_ctx: armada.Agent) -> Seen:
    site, quote = agent_ctx.agent_message["site"], job_ctx.job_message["quote"]
    requests = []
    async with (
        agent_ctx.proxy.watch(f"{site}/**") as everything,
        agent_ctx.proxy.watch("**/hearts", bodies=True) as counts,
    ):
        page = await agent_ctx.browser.new_page()
        await page.goto(f"{site}/quotes/{quote}")
        # The page asks for it by itself, some time after it was loaded.
        count = await counts.next(timeout_ms=10_000)
        shown = await page.get_by_test_id("hearts").inner_text()
        assert shown == count.response_text, "a watch sees what the browser gets"
        job_ctx.monitoring_client.record_success_event(f"quote {quote}: {shown} hearts after {count.duration_ms:.0f} ms")

        await page.goto(f"{site}/authors/anybody")
        while not requests or "/authors/" not in requests[-1]:
            exchange = await everything.next(timeout_ms=10_000)
            requests.append(f"{exchange.method} {exchange.url.removeprefix(site)} {exchange.failure or exchange.status}")
        author = await page.title()
    return Seen(hearts=int(shown), requests=requests, author=author)
