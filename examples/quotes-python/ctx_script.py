"""What a job does. Shows how a script reads and fills pages, does several things at once, and what it gives."""

import asyncio
from dataclasses import dataclass

from addon.site import Site
from ctx_agent_context import AgentContext
from ctx_job_context import JobContext


@dataclass
class Found:
    """What a job gives. It becomes the job's result, as JSON."""

    word: str
    quotes: int
    """How many quotes there are, and on how many pages."""
    pages: int
    words: int
    """Of the quotes that were opened: their words, and the hearts that readers gave them."""
    hearts: int
    cards: int
    """How many cards were ordered in the task's month."""
    note: str
    """What the site says about the note that was added."""


async def ctx_script(job_ctx: JobContext, agent_ctx: AgentContext) -> Found:
    task = job_ctx.job_message
    async with await agent_ctx.member_context() as context:
        site = Site(agent_ctx.site, context)

        quotes, pages = await site.search(task["word"])
        assert quotes, f"nothing is said about “{task['word']}”"
        job_ctx.done(f"found {len(quotes)} quotes")

        # Several operations in flight: every page that is opened and the orders, all at the same time.
        open_quotes = [quotes[place] for place in task["open"] if place < len(quotes)]
        cards, *opened = await asyncio.gather(
            site.cards_ordered(task["month"]),
            *(site.quote(path) for path in open_quotes),
        )
        job_ctx.done(f"read {len(opened)} of them")

        note, picture = await site.add_note(quotes[0], task["note"])
        await job_ctx.monitoring_client.save_artifact("note.png", "image/png", picture)
        job_ctx.done(note)

    return Found(
        word=task["word"],
        quotes=len(quotes),
        pages=pages,
        words=sum(quote.words for quote in opened),
        hearts=sum(quote.hearts for quote in opened),
        cards=cards,
        note=note,
    )
