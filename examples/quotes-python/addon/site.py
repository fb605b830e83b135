"""The site, as the script sees it. Shows locators, waiting, forms, and JavaScript in the page."""

from dataclasses import dataclass
from typing import Any

from armada.browser import BrowserContext


@dataclass
class Quote:
    """What a quote's own page tells."""

    words: int
    hearts: int


class Site:
    def __init__(self, url: str, context: BrowserContext) -> None:
        self.url = url
        self.context = context

    async def search(self, word: str) -> tuple[list[str], int]:
        """Searches for a word and pages through what is found: the quotes' paths, and how many pages they were on."""
        page = await self.context.new_page()
        await page.goto(self.url)
        search = page.get_by_role("searchbox", name="Search")
        await search.fill(word)
        await search.press("Enter")
        following = page.get_by_role("link", name="Next", exact=True)
        paths: list[str] = []
        pages = 1
        while True:
            # An act that leads to another page is over when that has begun; a list is read when it is whole.
            await page.wait_for_load_state("domcontentloaded")
            links = page.locator(".quote blockquote a")
            paths += await links.evaluate_all("links => links.map(link => link.pathname)")
            if await following.count() == 0:
                return paths, pages
            await following.click()
            pages += 1

    async def quote(self, path: str) -> Quote:
        """Reads a quote's page, whose hearts come later than the rest."""
        page = await self.context.new_page()
        await page.goto(f"{self.url}{path}")
        text = await page.locator("blockquote").inner_text()
        # What reads an element waits for it.
        hearts = await page.get_by_test_id("hearts").inner_text()
        return Quote(words=len(text.split()), hearts=int(hearts))

    async def cards_ordered(self, month: str) -> int:
        """Adds up a column of a table that only members see, and whose rows come late."""
        page = await self.context.new_page()
        await page.goto(f"{self.url}/orders?month={month}")
        rows = page.locator("table tbody tr")
        await rows.first.wait_for()
        return sum([int(await row.locator("td").nth(2).inner_text()) for row in await rows.all()])

    async def add_note(self, path: str, note: dict[str, Any]) -> tuple[str, bytes]:
        """Fills in the form of a quote: what the site answers, and a picture of it."""
        page = await self.context.new_page()
        await page.goto(f"{self.url}{path}")
        await page.get_by_role("link", name="Add a note").click()
        await page.get_by_label("Your note").fill(note["text"])
        await page.get_by_label("Mood").select_option(note["mood"])
        await page.get_by_label("Show my name").set_checked(note["named"])
        await page.get_by_role("button", name="Add the note").click()
        # The page of the note, and all of it: an element may be there before its last words are.
        await page.wait_for_url(r"re=/notes/\d+$")
        answer = await page.locator("main .by").inner_text()
        return answer, await page.screenshot(full_page=True)
