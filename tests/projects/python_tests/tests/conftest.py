"""What tests have in common."""

from collections.abc import AsyncIterator, Iterator

import pytest

from armada.browser import Page


@pytest.fixture
async def shop(page: Page) -> AsyncIterator[Page]:
    await page.set_content("<h1>Shoes</h1> <p class='price'>49.00</p>")
    yield page
    print("the shop is closed")


@pytest.fixture(params=["EUR", "USD"])
def currency(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def broken() -> None:
    raise ValueError("nothing to be had")


@pytest.fixture
def breaks_later() -> Iterator[int]:
    yield 1
    raise RuntimeError("too late")
