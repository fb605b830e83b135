"""Pages, and what they bring up: popups, downloads, dialogs."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, Generic, Literal, ParamSpec, Self, TypeVar

from .. import _results
from .._host import browser as _wit
from .._words import choice, milliseconds, optional_choice, takes
from ..errors import ClosedError
from . import options as _options
from .locator import ElementHandle, Finders, Locator
from .options import (
    ColorScheme,
    FloatRect,
    ImageType,
    LoadState,
    MouseButton,
    SelectorState,
    Timeout,
    ViewportSize,
)
from .requests import HeldRequest, Route
from .types import Dialog, Frame, Response

if TYPE_CHECKING:
    from .context import BrowserContext

__all__ = ["Download", "Expected", "Keyboard", "Mouse", "Page"]

_P = ParamSpec("_P")
_R = TypeVar("_R")
_T = TypeVar("_T")


# What of Playwright is not there, and what is there instead.
_INSTEAD = {
    "on": "dialogs are answered by `set_dialog_policy`, popups, downloads and requests are waited for",
    "once": "dialogs are answered by `set_dialog_policy`, popups, downloads and requests are waited for",
    "type": "use `press_sequentially`, or `keyboard.type`",
    "expect_navigation": "a click returns after the navigation that it starts; `wait_for_url` waits for a later one",
    "wait_for_navigation": "a click returns after the navigation that it starts; `wait_for_url` waits for a later one",
    "expect_event": "use `expect_popup` or `expect_download`",
    "wait_for_event": "use `wait_for_popup` or `wait_for_download`",
    "eval_on_selector": "use `locator(selector).evaluate`",
    "eval_on_selector_all": "use `locator(selector).evaluate_all`",
    "frame": "use `frame_locator`",
    "set_default_timeout": "use `context.set_default_timeout`",
    "set_default_navigation_timeout": "use `context.set_default_navigation_timeout`",
}


def _with_selector(function: Callable[Concatenate[Locator, _P], _R]) -> Callable[Concatenate[Page, str, _P], _R]:
    """A function of a locator as one of a page: `page.click("#save")` is `page.locator("#save").click()`."""

    @functools.wraps(function)
    def of_page(page: Page, selector: str, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        return function(page.locator(selector), *args, **kwargs)

    return of_page


class Page(Finders):
    """A page: a tab of the browser. It closes with its context, at the end of an `async with page`, and when nobody
    keeps it or anything of it any more.

    URL patterns (`wait_for_url`, `route`) are globs over the whole URL: `*` is any text without `/`, `**` any text,
    `{a,b}` either; a pattern that starts with `re=` is a regular expression.
    """

    def __init__(self, handle: _wit.Page, context: BrowserContext) -> None:
        self._handle = handle
        self._context = context
        self._keyboard = Keyboard(handle)
        self._mouse = Mouse(handle)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url!r}>"

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            hint = f": {_INSTEAD[name]}" if name in _INSTEAD else ""
            raise AttributeError(f"a page has no `{name}`{hint}", name=name, obj=self)

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

    @property
    def context(self) -> BrowserContext:
        """The context that it belongs to."""
        return self._context

    @property
    def url(self) -> str:
        """The page's URL now."""
        return self._handle.url()

    @property
    def frames(self) -> list[Frame]:
        """The page's frames, the main frame first."""
        return [Frame(frame.name, frame.url, frame.depth) for frame in self._handle.frames()]

    @property
    def keyboard(self) -> Keyboard:
        """Types into the element that has the focus."""
        return self._keyboard

    @property
    def mouse(self) -> Mouse:
        """The mouse, by places rather than elements."""
        return self._mouse

    def locator(self, selector: str) -> Locator:
        """Elements by a selector, anywhere in the page: CSS, or with one of the prefixes `text=`, `role=`, `xpath=`,
        `label=`, …; parts joined by ` >> ` look inside each other."""
        return Locator(self._handle, selector, self)

    # Going from document to document.

    async def goto(
        self, url: str, *, timeout: Timeout = None, wait_until: LoadState = "load", referer: str | None = None
    ) -> Response | None:
        """Goes to a URL and gives the answer of the document's server: `None` for `about:blank` and for another place
        in the same document. An answer with an HTTP error status is an answer, not an error.

        Raises `armada.DeniedError` for a host that the run is not allowed, `armada.UnavailableError` when the server
        cannot be reached.
        """
        return _response(await self._handle.goto(url, _navigating(timeout, wait_until, referer)))

    async def reload(self, *, timeout: Timeout = None, wait_until: LoadState = "load") -> Response | None:
        """Loads the page again."""
        return _response(await self._handle.reload(_navigating(timeout, wait_until)))

    async def go_back(self, *, timeout: Timeout = None, wait_until: LoadState = "load") -> Response | None:
        """Goes back in the page's history; gives `None` when there is nowhere to go."""
        return _response(await self._handle.go_back(_navigating(timeout, wait_until)))

    async def go_forward(self, *, timeout: Timeout = None, wait_until: LoadState = "load") -> Response | None:
        """Goes forward in the page's history; gives `None` when there is nowhere to go."""
        return _response(await self._handle.go_forward(_navigating(timeout, wait_until)))

    async def wait_for_url(self, url: str, *, timeout: Timeout = None, wait_until: LoadState = "load") -> None:
        """Waits until the page's URL matches this pattern and the document has come so far."""
        await self._handle.wait_for_url(url, _navigating(timeout, wait_until))

    async def wait_for_load_state(self, state: LoadState = "load", *, timeout: Timeout = None) -> None:
        """Waits until the page's document has come so far, which it may already have."""
        wanted = choice(_wit.LoadState, LoadState, state)
        await self._handle.wait_for_load_state(wanted, _options.waiting(timeout))

    async def title(self) -> str:
        """The page's title."""
        return await self._handle.title()

    async def content(self) -> str:
        """The page's HTML."""
        return await self._handle.content()

    async def set_content(self, html: str, *, timeout: Timeout = None, wait_until: LoadState = "load") -> None:
        """Replaces the page's HTML."""
        await self._handle.set_content(html, _navigating(timeout, wait_until))

    # The functions of a locator, with a selector.

    click = _with_selector(Locator.click)
    dblclick = _with_selector(Locator.dblclick)
    hover = _with_selector(Locator.hover)
    fill = _with_selector(Locator.fill)
    clear = _with_selector(Locator.clear)
    press_sequentially = _with_selector(Locator.press_sequentially)
    press = _with_selector(Locator.press)
    check = _with_selector(Locator.check)
    uncheck = _with_selector(Locator.uncheck)
    set_checked = _with_selector(Locator.set_checked)
    select_option = _with_selector(Locator.select_option)
    set_input_files = _with_selector(Locator.set_input_files)
    focus = _with_selector(Locator.focus)
    scroll_into_view_if_needed = _with_selector(Locator.scroll_into_view_if_needed)
    dispatch_event = _with_selector(Locator.dispatch_event)
    count = _with_selector(Locator.count)
    text_content = _with_selector(Locator.text_content)
    inner_text = _with_selector(Locator.inner_text)
    all_inner_texts = _with_selector(Locator.all_inner_texts)
    all_text_contents = _with_selector(Locator.all_text_contents)
    inner_html = _with_selector(Locator.inner_html)
    input_value = _with_selector(Locator.input_value)
    get_attribute = _with_selector(Locator.get_attribute)
    attributes = _with_selector(Locator.attributes)
    bounding_box = _with_selector(Locator.bounding_box)
    is_visible = _with_selector(Locator.is_visible)
    is_hidden = _with_selector(Locator.is_hidden)
    is_enabled = _with_selector(Locator.is_enabled)
    is_disabled = _with_selector(Locator.is_disabled)
    is_editable = _with_selector(Locator.is_editable)
    is_checked = _with_selector(Locator.is_checked)
    is_focused = _with_selector(Locator.is_focused)

    async def drag_and_drop(self, source: str, target: str, *, timeout: Timeout = None, force: bool = False) -> None:
        """Drags one element onto another."""
        await self.locator(source).drag_to(self.locator(target), timeout=timeout, force=force)

    async def query_selector(self, selector: str) -> ElementHandle | None:
        """The first element that matches now, as a handle that stays with this very element."""
        found = await self.query_selector_all(f"{selector} >> nth=0")
        return found[0] if found else None

    async def query_selector_all(self, selector: str) -> Sequence[ElementHandle]:
        """The elements that match now, as handles that stay with these very elements."""
        return await self.locator(selector).element_handles()

    async def wait_for_selector(
        self, selector: str, *, state: SelectorState = "visible", timeout: Timeout = None
    ) -> Locator:
        """Waits until the selector is in this state, and gives its locator."""
        locator = self.locator(selector)
        await locator.wait_for(state=state, timeout=timeout)
        return locator

    # JavaScript.

    async def evaluate(self, expression: str, arg: Any = None) -> Any:
        """Runs JavaScript in the page and gives its value: an expression, statements of which the last one's value
        counts, or a function, which is called with `arg`. A promise is awaited; what JSON cannot say becomes `None`.

            width = await page.evaluate("innerWidth")
            total = await page.evaluate("([a, b]) => a + b", [1, 2])

        Raises `armada.OtherError` with the script's own message and stack when it throws.
        """
        return _results.read(await self._handle.evaluate(expression, _options.argument(arg)))

    async def wait_for_function(
        self, expression: str, *, arg: Any = None, timeout: Timeout = None, polling: float | None = None
    ) -> Any:
        """Waits until an expression or function gives a value that counts as true in JavaScript, looking every
        `polling` milliseconds (100 unless given), and gives that value."""
        options = _wit.FunctionOptions(_options.timeout_ms(timeout), _options.optional_milliseconds(polling))
        return _results.read(await self._handle.wait_for_function(expression, _options.argument(arg), options))

    async def add_init_script(self, script: str) -> None:
        """Runs this script in every document of this page before the page's own scripts, from the next navigation
        on."""
        await self._handle.add_init_script(script)

    # Pictures.

    @takes(_options.NO_PATH)
    async def screenshot(
        self,
        *,
        full_page: bool = False,
        clip: FloatRect | None = None,
        type: ImageType = "png",
        quality: int | None = None,
        omit_background: bool = False,
        timeout: Timeout = None,
    ) -> bytes:
        """Takes a picture of the viewport, of the whole page, or of the part `clip` of either. `quality` is from 0 to
        100 and not for `png`; `omit_background` leaves a missing background transparent and is not for `jpeg`."""
        part = None if clip is None else _wit.Rect(clip["x"], clip["y"], clip["width"], clip["height"])
        return await self._handle.screenshot(
            _wit.ScreenshotOptions(
                timeout_ms=_options.timeout_ms(timeout),
                selector=None,
                full_page=full_page,
                clip=part,
                format=choice(_wit.ImageFormat, ImageType, type),
                quality=quality,
                omit_background=omit_background,
            )
        )

    @takes(_options.NO_PATH)
    async def pdf(
        self,
        *,
        landscape: bool = False,
        print_background: bool = False,
        scale: float | None = None,
        format: str | None = None,
        width: float | str | None = None,
        height: float | str | None = None,
        margin: float | str | None = None,
        page_ranges: str | None = None,
        prefer_css_page_size: bool = False,
        timeout: Timeout = None,
    ) -> bytes:
        """Prints the page to PDF, on a `format` (`A4`; `Letter` unless given) or a paper of `width` and `height`, with
        the same `margin` on each side (0.4 inches unless given). Lengths are pixels, or texts with a unit (`in`, `cm`,
        `mm`, `px`). Not available when the browser has a window."""
        paper_width, paper_height = (None, None) if format is None else _options.paper(format)
        return await self._handle.pdf(
            _wit.PdfOptions(
                timeout_ms=_options.timeout_ms(timeout),
                landscape=landscape,
                print_background=print_background,
                scale=scale,
                paper_width=paper_width if width is None else _options.inches(width),
                paper_height=paper_height if height is None else _options.inches(height),
                margin=_options.inches(margin),
                page_ranges=page_ranges,
                prefer_css_page_size=prefer_css_page_size,
            )
        )

    # What a page brings up.

    def set_dialog_policy(self, policy: Literal["accept", "dismiss"], prompt_text: str | None = None) -> None:
        """Says what to do with dialogs from now on, and what to answer prompts with; they are dismissed unless
        something else was said."""
        if policy == "dismiss":
            self._handle.set_dialog_policy(_wit.DialogPolicy_Dismiss())
        elif prompt_text is None:
            self._handle.set_dialog_policy(_wit.DialogPolicy_Accept())
        else:
            self._handle.set_dialog_policy(_wit.DialogPolicy_AcceptWith(prompt_text))

    @property
    def dialogs(self) -> list[Dialog]:
        """The dialogs that this page has shown, oldest first; the last 100 are kept."""
        shown = self._handle.dialogs()
        return [Dialog(dialog.kind, dialog.message, dialog.default_value, dialog.accepted) for dialog in shown]

    async def wait_for_popup(self, *, timeout: Timeout = None) -> Page:
        """Waits for a page that this page opens. Those opened since the last call are handed out first, so call it
        after the act that opens one."""
        return Page(await self._handle.wait_for_popup(_options.waiting(timeout)), self._context)

    async def wait_for_download(self, *, timeout: Timeout = None) -> Download:
        """Waits for a download that this page starts. Those started since the last call are handed out first, so call
        it after the act that starts one."""
        return Download(await self._handle.wait_for_download(_options.waiting(timeout)), self)

    def expect_popup(self, *, timeout: Timeout = None) -> Expected[Page]:
        """The page that the block opens:

        async with page.expect_popup() as popup_info:
            await page.click("text=Open")
        popup = await popup_info.value
        """
        return Expected(lambda: self.wait_for_popup(timeout=timeout))

    def expect_download(self, *, timeout: Timeout = None) -> Expected[Download]:
        """The download that the block starts, as `expect_popup`."""
        return Expected(lambda: self.wait_for_download(timeout=timeout))

    # Requests.

    @takes(
        "await a method of what it gives: `route(url).abort()`, `.fulfill(…)`, or `.hold()` and then `next_request()`"
    )
    def route(self, url: str) -> Route:
        """What to do with the requests of this page whose URL matches this pattern: await a method of what this gives,
        as in `await page.route("**/ads/**").abort()`."""
        return Route(self._handle, url)

    async def unroute(self, route: int) -> None:
        """Removes a route, by the number that it gave."""
        await self._handle.unroute(route)

    async def next_request(self, *, timeout: Timeout = None) -> HeldRequest:
        """Waits for the next request held by a route: see `Route.hold`."""
        return HeldRequest(await self._handle.next_request(_options.waiting(timeout)), self)

    async def set_extra_http_headers(self, headers: Mapping[str, str]) -> None:
        """Sets the headers added to every request of this page, replacing those set before on this page."""
        await self._handle.set_extra_headers(_options.headers(headers))

    # The device.

    async def set_viewport_size(
        self,
        viewport_size: ViewportSize,
        *,
        device_scale_factor: float | None = None,
        is_mobile: bool | None = None,
        has_touch: bool | None = None,
    ) -> None:
        """Sets the viewport; options as for `browser.new_context`."""
        await self._handle.set_viewport(_options.viewport(viewport_size, device_scale_factor, is_mobile, has_touch))

    async def emulate_media(
        self,
        *,
        media: Literal["screen", "print", "null"] | None = None,
        color_scheme: ColorScheme | None = None,
        reduced_motion: Literal["reduce", "no-preference"] | None = None,
    ) -> None:
        """Sets how the page sees the device; what is not given stays as it is. `null` is the browser's own media."""
        await self._handle.emulate_media(
            _wit.MediaOptions(
                media="" if media == "null" else media,
                color_scheme=optional_choice(_wit.ColorScheme, ColorScheme, color_scheme),
                reduced_motion=None if reduced_motion is None else reduced_motion == "reduce",
            )
        )

    async def bring_to_front(self) -> None:
        """Brings the page to the front."""
        await self._handle.bring_to_front()

    # Its end.

    async def wait_for_timeout(self, timeout: float) -> None:
        """Waits so many milliseconds, as `asyncio.sleep` does seconds. Prefer to wait for something that can be
        seen."""
        await asyncio.sleep(timeout / 1000)

    def is_closed(self) -> bool:
        """Whether the page is closed: by a script, by itself, or because it crashed."""
        return self._handle.is_closed()

    async def close(self) -> None:
        """Closes the page."""
        await self._handle.close()


class Keyboard:
    """The keyboard of a page: it types into the element that has the focus."""

    def __init__(self, page: _wit.Page) -> None:
        self._page = page

    async def type(self, text: str, *, delay: float = 0) -> None:
        """Types text key by key, with so many milliseconds between two."""
        await self._page.type(None, text, _wit.TypeOptions(None, milliseconds(delay)))

    async def press(self, key: str, *, delay: float = 0) -> None:
        """Presses a key or a combination, such as `Enter` or `Control+A`."""
        await self._page.press(None, key, _wit.TypeOptions(None, milliseconds(delay)))


class Mouse:
    """The mouse of a page. Places are in CSS pixels from the top left corner of the viewport."""

    def __init__(self, page: _wit.Page) -> None:
        self._page = page
        self._at = (0.0, 0.0)

    async def move(self, x: float, y: float, *, steps: int = 1) -> None:
        """Moves to a place, in so many steps of the same length."""
        from_x, from_y = self._at
        for step in range(1, steps + 1):
            part = step / steps
            place = _wit.Point(from_x + (x - from_x) * part, from_y + (y - from_y) * part)
            await self._page.mouse(_wit.MouseAction_Move(place))
        self._at = (x, y)

    async def down(self, *, button: MouseButton = "left") -> None:
        """Presses a button."""
        pressed = choice(_wit.MouseButton, MouseButton, button)
        await self._page.mouse(_wit.MouseAction_Down(pressed))

    async def up(self, *, button: MouseButton = "left") -> None:
        """Releases a button."""
        released = choice(_wit.MouseButton, MouseButton, button)
        await self._page.mouse(_wit.MouseAction_Up(released))

    async def wheel(self, delta_x: float, delta_y: float) -> None:
        """Turns the wheel by so many pixels."""
        await self._page.mouse(_wit.MouseAction_Wheel(_wit.Point(delta_x, delta_y)))

    async def click(self, x: float, y: float, *, delay: float = 0, button: MouseButton = "left") -> None:
        """Moves to a place, presses a button there and releases it after so many milliseconds."""
        await self.move(x, y)
        await self.down(button=button)
        await asyncio.sleep(delay / 1000)
        await self.up(button=button)


class Download:
    """A file that a page downloads. It is deleted when nobody keeps this any more."""

    def __init__(self, handle: _wit.Download, *kept: object) -> None:
        self._handle = handle
        self._kept = kept

    @property
    def url(self) -> str:
        """The URL it comes from."""
        return self._handle.url()

    @property
    def suggested_filename(self) -> str:
        """The name that the server suggests for it."""
        return self._handle.suggested_name()

    async def bytes(self, *, timeout: Timeout = None) -> bytes:
        """Its content, once it is complete.

        Raises `armada.LimitError` when it is larger than the run allows (`bytes_per_call`), `armada.UnavailableError`
        when it was broken off.
        """
        return await self._handle.bytes(_options.waiting(timeout))


class Expected(Generic[_T]):
    """Something that a block brings about: `await info.value` has it once the block is over."""

    def __init__(self, wait: Callable[[], Awaitable[_T]]) -> None:
        self._wait = wait
        self._found: asyncio.Future[_T] | None = None

    async def __aenter__(self) -> Expected[_T]:
        self._found = asyncio.get_running_loop().create_future()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None and self._found is not None:
            self._found.set_result(await self._wait())

    @property
    def value(self) -> Awaitable[_T]:
        """What the block brought about."""
        if self._found is None:
            raise RuntimeError("write `async with page.expect_popup() as info:` and use `await info.value` after it")
        return self._found


def _navigating(timeout: Timeout, wait_until: LoadState, referer: str | None = None) -> _wit.NavigationOptions:
    state = choice(_wit.LoadState, LoadState, wait_until)
    return _wit.NavigationOptions(_options.timeout_ms(timeout), state, referer)


def _response(answer: _wit.Response | None) -> Response | None:
    if answer is None:
        return None
    return Response(answer.url, answer.status, answer.status_text, _options.headers_from(answer.headers))
