"""Tests of the script: `armada test` runs them in the sandbox, each with a real page of its own."""

from armada.browser import Page

from ctx_script import read_headings


async def test_headings_are_read_in_their_order(page: Page) -> None:
    await page.set_content("<h1>Shoes</h1> <p>49.00</p> <h2>On sale</h2>")
    assert await read_headings(page) == ["Shoes", "On sale"]
