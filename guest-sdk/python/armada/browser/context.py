"""The browser and its contexts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

from .. import _results
from .._done import Done
from .._host import browser as _wit
from .._words import optional_choice
from ..errors import ClosedError
from . import options as _options
from .options import ColorScheme, Cookie, SetCookie, StorageState, ViewportSize
from .page import Page
from .tab import Tab
from .types import BrowserInfo

__all__ = ["Browser", "BrowserContext"]


_VIEWPORT: ViewportSize = {"width": 1280, "height": 720}


class Browser:
    """The agent's browser: `agent_ctx.browser`. It is launched when it is first used and kept between jobs."""

    def __init__(self) -> None:
        self._tab: Tab | None = None

    async def launch(self) -> BrowserInfo:
        """Launches the browser now rather than when it is first used, and says what it is."""
        info = await _wit.launch()
        return BrowserInfo(info.product, info.user_agent, info.headless)

    async def new_page(self) -> Page:
        """Opens an empty page in the context of the current job: the host closes it with the job."""
        context = await self.current_context()
        return await context.new_page()

    async def current_context(self) -> BrowserContext:
        """The context of the current job, or the agent's own while its context is opened or closed. The host closes it
        with the job (or the agent)."""
        return BrowserContext(await _wit.current_context())

    async def new_context(
        self,
        *,
        viewport: ViewportSize | None = None,
        device_scale_factor: float | None = None,
        is_mobile: bool | None = None,
        has_touch: bool | None = None,
        user_agent: str | None = None,
        locale: str | None = None,
        timezone_id: str | None = None,
        color_scheme: ColorScheme | None = None,
        extra_http_headers: Mapping[str, str] | None = None,
        storage_state: StorageState | Mapping[str, Any] | None = None,
        ignore_https_errors: bool = False,
    ) -> BrowserContext:
        """Makes a context of its own, which shares nothing with others. One that is made while a job runs is closed
        with the job; `async with await browser.new_context() as context` closes it at the end of the block.

        `viewport` is 1280 × 720 unless given, `device_scale_factor` its device pixels for each CSS pixel, `is_mobile`
        and `has_touch` make it one of a phone; `locale` is a language such as `de-DE`, `timezone_id` a zone such as
        `Europe/Berlin`; `extra_http_headers` are added to every request; `storage_state` has cookies and local storage
        to begin with; `ignore_https_errors` accepts invalid certificates.
        """
        shape = None
        if (viewport, device_scale_factor, is_mobile, has_touch) != (None, None, None, None):
            shape = _options.viewport(viewport or _VIEWPORT, device_scale_factor, is_mobile, has_touch)
        options = _wit.ContextOptions(
            viewport=shape,
            user_agent=user_agent,
            locale=locale,
            timezone=timezone_id,
            color_scheme=optional_choice(_wit.ColorScheme, ColorScheme, color_scheme),
            extra_headers=_options.optional_headers(extra_http_headers),
            storage_state=None if storage_state is None else _results.write(storage_state, "the state"),
            ignore_https_errors=ignore_https_errors,
        )
        return BrowserContext(await _wit.new_context(options))

    async def get(self, url: str, new_tab: bool = False, new_window: bool = False) -> Tab:
        """Goes to a URL in the browser's tab, which is opened when there is none, or in a new one; the way of nodriver.
        The tab belongs to the job that is running and is closed with it; one that the agent context opens is kept
        between jobs.
        """
        tab = self._tab
        if tab is None or tab.is_closed() or new_tab or new_window:
            context = await _wit.current_context()
            tab = Tab(await context.new_page(), BrowserContext(context))
            if self._tab is None or self._tab.is_closed():
                self._tab = tab
        await tab.goto(url)
        return tab

    def stop(self) -> Done:
        """Forgets the tab of `get`. The browser itself goes on: the agent has it, and ends it after the last job."""
        self._tab = None
        return Done()


class BrowserContext:
    """An isolated session of the browser: cookies, storage and cache. It closes when nobody keeps it or a page of it
    any more, unless it is the current job's."""

    def __init__(self, handle: _wit.BrowserContext) -> None:
        self._handle = handle

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self.close()
        except ClosedError:
            # It is gone already, as it should be.
            pass

    async def new_page(self) -> Page:
        """Opens an empty page. Raises `armada.LimitError` when the run's limit `pages` is reached."""
        return Page(await self._handle.new_page(), self)

    async def cookies(self, urls: str | Sequence[str] | None = None) -> list[Cookie]:
        """The cookies that would be sent to these URLs; with no URLs, all of the context's cookies."""
        listed = [urls] if isinstance(urls, str) else list(urls or ())
        return [_options.cookie_from(cookie) for cookie in await self._handle.cookies(listed)]

    async def add_cookies(self, cookies: Iterable[SetCookie | Cookie]) -> None:
        """Sets cookies: `[{"name": "a", "value": "1", "url": "https://example.com"}]`."""
        await self._handle.set_cookies([_options.cookie(cookie) for cookie in cookies])

    async def clear_cookies(self) -> None:
        """Removes every cookie."""
        await self._handle.clear_cookies()

    async def storage_state(self) -> StorageState:
        """Cookies and local storage, to begin another context with: see `Browser.new_context`."""
        state: StorageState = _results.read(await self._handle.storage_state())
        return state

    async def set_storage_state(self, state: StorageState | Mapping[str, Any]) -> None:
        """Adds the cookies and local storage of a state that `storage_state` gave."""
        await self._handle.set_storage_state(_results.write(state, "the state"))

    async def set_extra_http_headers(self, headers: Mapping[str, str]) -> None:
        """Sets the headers added to every request of the context's pages, replacing those set before."""
        await self._handle.set_extra_headers(_options.headers(headers))

    async def add_init_script(self, script: str) -> None:
        """Runs this script in every document of pages opened afterwards, before the page's own scripts."""
        await self._handle.add_init_script(script)

    def set_default_timeout(self, timeout: float | timedelta) -> None:
        """The time (milliseconds, or a `timedelta`) that acts, reads and waits of the context's pages may take where
        they are given none."""
        self._handle.set_default_timeouts(_options.timeout_ms(timeout), None)

    def set_default_navigation_timeout(self, timeout: float | timedelta) -> None:
        """The time (milliseconds, or a `timedelta`) that navigations of the context's pages may take where they are
        given none."""
        self._handle.set_default_timeouts(None, _options.timeout_ms(timeout))

    async def close(self) -> None:
        """Closes the context and its pages."""
        await self._handle.close()
