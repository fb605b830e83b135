"""Cases: each is a job of its own, named by the job message. It asserts what it must and then has passed."""

from collections.abc import Awaitable, Callable
from typing import Any

import armada
from armada.browser import Browser, Page


class Case:
    """What a case has to work with: the job, the agent's browser, and where the test's pages are."""

    def __init__(self, job: armada.Job, browser: Browser) -> None:
        self.job = job
        self.browser = browser
        self.site: str = job.job_message.get("site", "")

    def url(self, path: str) -> str:
        """The URL of one of the test's pages."""
        return f"{self.site}/{path}"

    async def open(self, path: str) -> Page:
        """Opens one of the test's pages."""
        page = await self.browser.new_page()
        await page.goto(self.url(path))
        return page

    async def show(self, html: str) -> Page:
        """Opens a page of this HTML."""
        page = await self.browser.new_page()
        await page.set_content(html)
        return page


_Function = Callable[[Case], Awaitable[None]]
CASES: dict[str, _Function] = {}


def case(function: _Function) -> _Function:
    """Makes a function a case."""
    CASES[function.__name__] = function
    return function


class raises:
    """Fails unless its block raises this, saying this."""

    def __init__(self, kind: type[BaseException], says: str = "") -> None:
        self.kind = kind
        self.says = says

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        assert error is not None, f"nothing was raised, and {self.kind} should have been"
        if not isinstance(error, self.kind):
            return False
        assert self.says in str(error), f"{error!r} does not say {self.says!r}"
        return True
