"""Pages in the way of nodriver: `tab.find(text)`, `tab.select(css)`, `element.click()`, `element.send_keys(text)`.

A tab is a page and its elements are element handles, so everything of theirs works on them, too. Times are in seconds
here, as nodriver has them. What an element knows of itself (`text`, `attrs`) is as it was when it was found; `update`
looks again.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from typing import Any, Self, TypeVar

from .._host import browser as _wit
from ..errors import ClosedError, TimeoutError
from ..monitoring import MonitoringClient
from .locator import ElementHandle, Locator
from .options import FilePayload, ImageType, Timeout
from .page import Page

__all__ = ["Attributes", "Element", "Tab"]

_T = TypeVar("_T")

# Seconds between two looks at a page.
_PAUSE = 0.1

# How many elements are asked at once what they have.
_AT_ONCE = 16

_DESCRIBE = """element => {
    const texts = [], walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) texts.push(walker.currentNode.data);
    const attrs = Object.fromEntries([...element.attributes].map(({ name, value }) => [name, value]));
    return { tag: element.localName, texts, attrs };
}"""


class Attributes(dict[str, str]):
    """The attributes of an element, also as `attrs.href`; `None` where it has none of that name. `class` is
    `class_`."""

    def __getattr__(self, name: str) -> str | None:
        return self.get(name)


class Element(ElementHandle):
    """An element of a tab. Its attributes are also read as `element.href` and `element["href"]`: `None` where it has
    none of that name."""

    def __init__(self, page: _wit.Page, element: _wit.Element, described: Mapping[str, Any], *kept: object) -> None:
        super().__init__(page, element, *kept)
        self._describe(described)

    def _describe(self, described: Mapping[str, Any]) -> None:
        self._tag: str = described["tag"]
        self._texts: list[str] = described["texts"]
        self._attrs = Attributes(described["attrs"])
        if "class" in self._attrs:
            self._attrs["class_"] = self._attrs.pop("class")

    def __getitem__(self, name: str) -> str | None:
        return self._attrs.get(name)

    def __getattr__(self, name: str) -> str | None:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in ("parent", "children"):
            found = '"xpath=.."' if name == "parent" else '":scope > *"'
            raise AttributeError(f"an element has no `{name}` here: use `await element.query_selector_all({found})`")
        return self._attrs.get(name)

    @property
    def attrs(self) -> Attributes:
        """Its attributes."""
        return self._attrs

    @property
    def tag(self) -> str:
        """The name of its tag, in lower case."""
        return self._tag

    tag_name = tag

    @property
    def text(self) -> str:
        """The first text inside it."""
        return self._texts[0] if self._texts else ""

    @property
    def text_all(self) -> str:
        """All texts inside it, joined with blanks."""
        return " ".join(self._texts)

    async def update(self) -> Element:
        """Looks again what the element has."""
        self._describe(await self.evaluate(_DESCRIBE))
        return self

    async def send_keys(self, text: str) -> None:
        """Types text key by key into the element."""
        await self.press_sequentially(text)

    async def clear_input(self) -> None:
        """Empties an input."""
        await self.clear()

    async def send_file(self, *files: FilePayload) -> None:
        """Gives files to an `<input type=file>`: there are no paths here, so each is its name, media type and
        content."""
        await self.set_input_files(files)

    async def select_option(
        self,
        value: str | Sequence[str] | None = None,
        *,
        label: str | Sequence[str] | None = None,
        index: int | Sequence[int] | None = None,
        timeout: Timeout = None,
        force: bool = False,
    ) -> list[str]:
        """Of an `<option>`, without arguments: selects it. Of a `<select>`: as `Locator.select_option`."""
        if self._tag != "option":
            return await super().select_option(value, label=label, index=index, timeout=timeout, force=force)
        selects = "option => { option.selected = true; option.dispatchEvent(new Event('change', { bubbles: true })) }"
        await self.evaluate(selects)
        return [await self.evaluate("option => option.value")]

    async def mouse_click(self) -> None:
        """Clicks the element."""
        await self.click()

    async def mouse_move(self) -> None:
        """Moves the mouse over the element."""
        await self.hover()

    async def mouse_drag(self, destination: Locator) -> None:
        """Drags the element onto another."""
        await self.drag_to(destination)

    async def scroll_into_view(self) -> None:
        """Scrolls until the element is in view."""
        await self.scroll_into_view_if_needed()

    async def get_html(self) -> str:
        """The HTML of the element, itself included."""
        html: str = await self.evaluate("element => element.outerHTML")
        return html

    async def apply(self, js_function: str) -> Any:
        """Calls a JavaScript function with the element and gives its value."""
        return await self.evaluate(js_function)

    async def query_selector_all(self, selector: str) -> list[Element]:
        """The elements inside this one that match now."""
        return await _elements(self._page, f"{self.selector} >> {selector}", *self._kept)

    async def query_selector(self, selector: str) -> Element | None:
        """The first element inside this one that matches now."""
        found = await self.query_selector_all(f"{selector} >> nth=0")
        return found[0] if found else None

    async def save_screenshot(self, filename: str = "auto", format: str = "jpeg") -> str:
        """Keeps a picture of the element with the job's results, and gives its name."""
        kind = _image_type(format)
        return await _save(filename, kind, await self.screenshot(type=kind))


class Tab(Page):
    """A page in the way of nodriver: `tab = await agent_ctx.browser.get("https://example.com")`.

        button = await tab.find("accept all")
        await button.click()
        for link in await tab.select_all("a[href]"):
            print(link.text, link.href)

    What waits raises `armada.TimeoutError` after `timeout` seconds, 10 unless given; `query_selector` does not wait.
    """

    def __await__(self) -> Generator[Any, None, Self]:
        yield from self.sleep(0.5).__await__()
        return self

    async def get(self, url: str) -> Self:
        """Goes to a URL."""
        await self.goto(url)
        return self

    async def find(
        self, text: str, best_match: bool = True, return_enclosing_element: bool = True, timeout: float = 10
    ) -> Element:
        """Waits for an element with this text (or that it is labelled with), ignoring case: of several, the one whose
        text is closest in length, or the first unless `best_match`. What is found is always an element, never a bare
        text."""
        text = text.strip()
        found = await self.find_all(text, timeout=timeout)
        if not best_match:
            return found[0]
        return min(found, key=lambda element: abs(len(element.text_all.strip()) - len(text)))

    async def find_all(self, text: str, timeout: float = 10) -> list[Element]:
        """Waits for elements with this text (or that they are labelled with), ignoring case."""
        text = text.strip()
        ways = (self.get_by_text, self.get_by_label, self.get_by_placeholder, self.get_by_title, self.get_by_alt_text)

        async def look() -> list[Element]:
            for way in ways:
                if found := await self.query_selector_all(way(text).selector):
                    return found
            return []

        return await _until(look, timeout, f"an element with the text {text!r}")

    async def select(self, selector: str, timeout: float = 10) -> Element:
        """Waits for an element that matches this selector, and gives the first."""
        return (await self.select_all(f"{selector.strip()} >> nth=0", timeout))[0]

    async def select_all(self, selector: str, timeout: float = 10) -> list[Element]:
        """Waits for elements that match this selector."""
        return await _until(lambda: self.query_selector_all(selector.strip()), timeout, f"a match of {selector!r}")

    async def xpath(self, xpath: str, timeout: float = 2.5) -> list[Element]:
        """Waits for elements that match this XPath; gives none when the time is over."""
        try:
            return await self.select_all(f"xpath={xpath}", timeout)
        except TimeoutError:
            return []

    async def wait_for(self, selector: str = "", text: str = "", timeout: float = 10) -> Element:
        """Waits for an element, by selector or by text."""
        return await (self.select(selector, timeout) if selector else self.find(text, timeout=timeout))

    async def query_selector_all(self, selector: str) -> list[Element]:
        """The elements that match now."""
        return await _elements(self._handle, selector, self)

    async def query_selector(self, selector: str) -> Element | None:
        """The first element that matches now."""
        found = await self.query_selector_all(f"{selector} >> nth=0")
        return found[0] if found else None

    async def get_content(self) -> str:
        """The page's HTML."""
        return await self.content()

    async def evaluate(
        self, expression: str, arg: Any = None, *, await_promise: bool = True, return_by_value: bool = True
    ) -> Any:
        """As `Page.evaluate`: promises are always awaited, and values always given as they are. Of `True` and `False`
        in the second place, nothing is made, as they are nodriver's `await_promise`."""
        return await super().evaluate(expression, None if isinstance(arg, bool) else arg)

    async def sleep(self, t: float = 1) -> None:
        """Waits so many seconds."""
        await asyncio.sleep(t)

    async def wait(self, t: float = 0.5) -> None:
        """Waits so many seconds."""
        await asyncio.sleep(t)

    async def back(self) -> None:
        """Goes back in the page's history."""
        await self.go_back()

    async def forward(self) -> None:
        """Goes forward in the page's history."""
        await self.go_forward()

    async def activate(self) -> None:
        """Brings the tab to the front."""
        await self.bring_to_front()

    async def scroll_down(self, amount: float = 25) -> None:
        """Scrolls down by so many percent of the viewport's height."""
        await super().evaluate("part => { scrollBy(0, innerHeight * part / 100) }", amount)

    async def scroll_up(self, amount: float = 25) -> None:
        """Scrolls up by so many percent of the viewport's height."""
        await self.scroll_down(-amount)

    async def get_all_urls(self) -> list[str]:
        """The whole URLs that the page's links, pictures, scripts and styles name."""
        urls = (
            "() => [...document.querySelectorAll('a, link, img, script')].map(it => it.src || it.href).filter(it => it)"
        )
        found: list[str] = await super().evaluate(urls)
        return found

    async def get_local_storage(self) -> dict[str, str]:
        """The local storage of the page's origin."""
        stored: dict[str, str] = await super().evaluate("() => ({ ...localStorage })")
        return stored

    async def set_local_storage(self, items: Mapping[str, str]) -> None:
        """Adds to the local storage of the page's origin."""
        await super().evaluate("items => { Object.assign(localStorage, items) }", dict(items))

    async def save_screenshot(
        self, filename: str = "auto", format: str = "jpeg", full_page: bool = False, as_base64: bool = False
    ) -> str:
        """Keeps a picture of the page with the job's results, and gives its name; or gives the picture itself in
        base64."""
        kind = _image_type(format)
        picture = await self.screenshot(type=kind, full_page=full_page)
        return base64.b64encode(picture).decode() if as_base64 else await _save(filename, kind, picture)


async def _elements(page: _wit.Page, selector: str, *kept: object) -> list[Element]:
    """The elements that match now, with what they have."""

    async def known(element: _wit.Element) -> Element | None:
        try:
            return Element(page, element, await ElementHandle(page, element).evaluate(_DESCRIBE), *kept)
        except ClosedError:
            if page.is_closed():
                raise
            # It has left the document meanwhile.
            return None

    found: list[Element] = []
    elements = await page.query_all(selector)
    for start in range(0, len(elements), _AT_ONCE):
        some = elements[start : start + _AT_ONCE]
        asked = await asyncio.gather(*(known(one) for one in some))
        found += [element for element in asked if element is not None]
    return found


async def _until(look: Callable[[], Awaitable[list[_T]]], timeout: float, wanted: str) -> list[_T]:
    """Looks until there is something, or the time is over."""
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout
    while True:
        if found := await look():
            return found
        if loop.time() >= end:
            raise TimeoutError(f"waited {timeout:g} seconds for {wanted}, and there is none")
        await asyncio.sleep(_PAUSE)


def _image_type(format: str) -> ImageType:
    return "jpeg" if format.lower() in ("jpg", "jpeg") else "png"


async def _save(filename: str, kind: ImageType, picture: bytes) -> str:
    name = filename.replace("\\", "/").rpartition("/")[2]
    if name in ("", "auto"):
        name = f"screenshot.{kind}"
    await MonitoringClient().save_artifact(name, f"image/{kind}", picture)
    return name
