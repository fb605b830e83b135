"""Locators: what to look for, found anew each time it is used.

A locator is a selector of a page. What acts on or reads from an element waits in the host until there is exactly one
match (and, to act, until it is ready), so nothing else needs to be waited for.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .. import _results
from .._host import browser as _wit
from .._words import choice, milliseconds, takes
from . import options as _options
from .options import FilePayload, FloatRect, ImageType, Modifier, MouseButton, Position, SelectorState, Timeout

__all__ = ["ElementHandle", "Finders", "Locator"]


class Finders:
    """The ways to look for elements, which a page and a locator share."""

    def locator(self, selector: str) -> Locator:
        """Elements by a selector: CSS, or with one of the prefixes `text=`, `role=`, `xpath=`, `label=`, …; parts
        joined by ` >> ` look inside each other."""
        raise NotImplementedError

    def get_by_role(
        self,
        role: str,
        *,
        name: str | None = None,
        exact: bool = False,
        level: int | None = None,
        checked: bool | None = None,
        disabled: bool | None = None,
        expanded: bool | None = None,
        pressed: bool | None = None,
        selected: bool | None = None,
    ) -> Locator:
        """Elements of this ARIA role, such as `button`, `link`, `textbox` or `heading`, whose accessible name contains
        `name`, ignoring case (or is it, if `exact`), and that are in these states."""
        selector = f"role={role}"
        if name is not None:
            selector += f"[name={_quoted(name)}]" if exact else f"[name*={_quoted(name)} i]"
        states = {
            "level": level,
            "checked": checked,
            "disabled": disabled,
            "expanded": expanded,
            "pressed": pressed,
            "selected": selected,
        }
        for state, value in states.items():
            if value is not None:
                selector += f"[{state}={json.dumps(value)}]"
        return self.locator(selector)

    def get_by_text(self, text: str, *, exact: bool = False) -> Locator:
        """The innermost elements whose text contains this, ignoring case (or is this, if `exact`)."""
        return self.locator(f"text={_matching(text, exact)}")

    def get_by_label(self, text: str, *, exact: bool = False) -> Locator:
        """Form controls whose label contains this, ignoring case (or is this, if `exact`)."""
        return self.locator(f"label={_matching(text, exact)}")

    def get_by_placeholder(self, text: str, *, exact: bool = False) -> Locator:
        """Form controls whose placeholder contains this, ignoring case (or is this, if `exact`)."""
        return self.locator(f"placeholder={_matching(text, exact)}")

    def get_by_alt_text(self, text: str, *, exact: bool = False) -> Locator:
        """Elements whose `alt` text contains this, ignoring case (or is this, if `exact`)."""
        return self.locator(f"alt={_matching(text, exact)}")

    def get_by_title(self, text: str, *, exact: bool = False) -> Locator:
        """Elements whose `title` contains this, ignoring case (or is this, if `exact`)."""
        return self.locator(f"title={_matching(text, exact)}")

    def get_by_test_id(self, test_id: str) -> Locator:
        """Elements whose `data-testid` is exactly this."""
        return self.locator(f"test-id={_quoted(test_id)}")

    def frame_locator(self, selector: str) -> Locator:
        """The document of the `iframe` that this CSS selector finds: locate inside it."""
        return self.locator(f"frame={selector}")


class Locator(Finders):
    """Elements of a page, by a selector that is looked up each time the locator is used.

    What acts on or reads from an element waits for it, and raises `armada.InvalidError` when two match (narrow it down
    with `locator`, `filter`, `first` or `nth`) and `armada.TimeoutError` when the time allowed passes.
    """

    def __init__(self, page: _wit.Page, selector: str, *kept: object) -> None:
        self._page = page
        self._selector = selector
        # What must not be closed while this is in use.
        self._kept = kept

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._selector!r}>"

    @property
    def selector(self) -> str:
        """The selector."""
        return self._selector

    def locator(self, selector: str) -> Locator:
        """Elements by a selector, inside what this locator finds."""
        return Locator(self._page, f"{self._selector} >> {selector}", *self._kept)

    @property
    def first(self) -> Locator:
        """Of the elements found, the first."""
        return self.nth(0)

    @property
    def last(self) -> Locator:
        """Of the elements found, the last."""
        return self.nth(-1)

    def nth(self, index: int) -> Locator:
        """Of the elements found, the one in this place, from 0; -1 is the last."""
        return self.locator(f"nth={index}")

    def filter(
        self, *, has_text: str | None = None, has: Locator | str | None = None, visible: bool = False
    ) -> Locator:
        """Of the elements found, those that contain this text (ignoring case), that contain a match of this locator, or
        that are visible."""
        found = self
        if has_text is not None:
            found = found.locator(f"has-text={_matching(has_text, False)}")
        if has is not None:
            found = found.locator(f"has={_quoted(has if isinstance(has, str) else has.selector)}")
        return found.locator("visible=true") if visible else found

    async def all(self) -> list[Locator]:
        """The elements that match now, each by its place."""
        return [self.nth(place) for place in range(await self.count())]

    async def element_handles(self) -> list[ElementHandle]:
        """The elements that match now, as handles that stay with these very elements."""
        elements = await self._page.query_all(self._selector)
        return [ElementHandle(self._page, element, *self._kept) for element in elements]

    async def wait_for(self, *, state: SelectorState = "visible", timeout: Timeout = None) -> None:
        """Waits until what this looks for is in this state."""
        wanted = choice(_wit.SelectorState, SelectorState, state)
        await self._page.wait_for_selector(self._selector, wanted, _options.waiting(timeout))

    # Acts.

    async def click(
        self,
        *,
        button: MouseButton = "left",
        click_count: int = 1,
        delay: float = 0,
        modifiers: Iterable[Modifier] | None = None,
        position: Position | None = None,
        timeout: Timeout = None,
        force: bool = False,
        trial: bool = False,
    ) -> None:
        """Clicks the element.

        `delay` is how long the button is held down, in milliseconds; `modifiers` are keys held down meanwhile;
        `position` is where, its middle unless given; `force` clicks without waiting for the element to be ready;
        `trial` waits and does not click. When the click makes a frame navigate, this returns once that navigation has
        committed or failed.
        """
        options = self._clicking(button, delay, modifiers, position, timeout, force, trial)
        options.count = click_count
        await self._page.click(self._selector, options)

    async def dblclick(
        self,
        *,
        button: MouseButton = "left",
        delay: float = 0,
        modifiers: Iterable[Modifier] | None = None,
        position: Position | None = None,
        timeout: Timeout = None,
        force: bool = False,
        trial: bool = False,
    ) -> None:
        """Double-clicks the element; options as for `click`."""
        options = self._clicking(button, delay, modifiers, position, timeout, force, trial)
        await self._page.double_click(self._selector, options)

    async def hover(
        self,
        *,
        modifiers: Iterable[Modifier] | None = None,
        position: Position | None = None,
        timeout: Timeout = None,
        force: bool = False,
        trial: bool = False,
    ) -> None:
        """Moves the mouse over the element; options as for `click`."""
        options = self._clicking("left", 0, modifiers, position, timeout, force, trial)
        await self._page.hover(self._selector, options)

    @staticmethod
    def _clicking(
        button: MouseButton,
        delay: float,
        modifiers: Iterable[Modifier] | None,
        position: Position | None,
        timeout: Timeout,
        force: bool,
        trial: bool,
    ) -> _wit.ClickOptions:
        return _wit.ClickOptions(
            timeout_ms=_options.timeout_ms(timeout),
            button=choice(_wit.MouseButton, MouseButton, button),
            count=None,
            hold_ms=milliseconds(delay),
            modifiers=_options.modifiers(modifiers),
            position=_options.point(position),
            force=force,
            trial=trial,
        )

    async def drag_to(self, target: Locator, *, timeout: Timeout = None, force: bool = False) -> None:
        """Drags the element onto another: natively where the page has made it draggable, with the mouse otherwise."""
        await self._page.drag(self._selector, target.selector, _options.acting(timeout, force))

    async def fill(self, value: str, *, timeout: Timeout = None, force: bool = False) -> None:
        """Replaces the value of an input, a text area or an editable element."""
        await self._page.fill(self._selector, value, _options.acting(timeout, force))

    async def fill_secret(self, name: str, *, timeout: Timeout = None, force: bool = False) -> None:
        """Replaces the value of an input or a text area by a secret of the operator, by its name: see `armada.secrets`.

        Raises `armada.DeniedError` when the frame is of an origin that the operator has not bound the secret to.
        """
        await self._page.fill_secret(self._selector, name, _options.acting(timeout, force))

    async def clear(self, *, timeout: Timeout = None, force: bool = False) -> None:
        """Empties an input, a text area or an editable element."""
        await self.fill("", timeout=timeout, force=force)

    async def press_sequentially(self, text: str, *, delay: float = 0, timeout: Timeout = None) -> None:
        """Types text key by key, with so many milliseconds between two."""
        await self._page.type(self._selector, text, _typing(delay, timeout))

    async def press(self, key: str, *, delay: float = 0, timeout: Timeout = None) -> None:
        """Presses a key or a combination, such as `Enter` or `Control+A`."""
        await self._page.press(self._selector, key, _typing(delay, timeout))

    async def check(self, *, timeout: Timeout = None, force: bool = False) -> None:
        """Checks a check box or radio button, unless it is checked."""
        await self.set_checked(True, timeout=timeout, force=force)

    async def uncheck(self, *, timeout: Timeout = None, force: bool = False) -> None:
        """Unchecks a check box, unless it is not checked."""
        await self.set_checked(False, timeout=timeout, force=force)

    async def set_checked(self, checked: bool, *, timeout: Timeout = None, force: bool = False) -> None:
        """Checks or unchecks a check box or radio button."""
        await self._page.set_checked(self._selector, checked, _options.acting(timeout, force))

    async def select_option(
        self,
        value: str | Sequence[str] | None = None,
        *,
        label: str | Sequence[str] | None = None,
        index: int | Sequence[int] | None = None,
        timeout: Timeout = None,
        force: bool = False,
    ) -> list[str]:
        """Selects the options of a `<select>` with these values (or labels), these labels or in these places (from 0),
        and no others; gives the values selected."""
        which: list[_wit.SelectBy] = [_wit.SelectBy_ValueOrLabel(one) for one in _listed(value)]
        which += [_wit.SelectBy_Label(one) for one in _listed(label)]
        which += [_wit.SelectBy_Index(one) for one in _listed(index)]
        return await self._page.select_option(self._selector, which, _options.acting(timeout, force))

    async def set_input_files(
        self, files: FilePayload | Sequence[FilePayload], *, timeout: Timeout = None, force: bool = False
    ) -> None:
        """Gives files to an `<input type=file>`: `{"name": "a.txt", "mimeType": "text/plain", "buffer": b"hello"}`."""
        await self._page.upload(self._selector, _options.files(files), _options.acting(timeout, force))

    async def focus(self, *, timeout: Timeout = None) -> None:
        """Gives the focus to the element."""
        await self._page.focus(self._selector, _options.waiting(timeout))

    async def scroll_into_view_if_needed(self, *, timeout: Timeout = None) -> None:
        """Scrolls until the element is in view."""
        await self._page.scroll_into_view(self._selector, _options.waiting(timeout))

    async def dispatch_event(
        self, type: str, event_init: Mapping[str, Any] | None = None, *, timeout: Timeout = None
    ) -> None:
        """Sends a DOM event of this type to the element; `event_init` is what the event's constructor takes."""
        await self._page.dispatch_event(self._selector, type, _options.argument(event_init), _options.waiting(timeout))

    # Reads.

    async def count(self) -> int:
        """How many elements match now."""
        return await self._page.count(self._selector)

    async def text_content(self, *, timeout: Timeout = None) -> str:
        """The element's text as the document has it."""
        return await self._page.text_content(self._selector, _options.waiting(timeout))

    async def inner_text(self, *, timeout: Timeout = None) -> str:
        """The element's text as it is shown."""
        return await self._page.inner_text(self._selector, _options.waiting(timeout))

    async def all_inner_texts(self) -> list[str]:
        """The text of every element that matches now, as it is shown."""
        return await self._page.all_inner_texts(self._selector)

    async def all_text_contents(self) -> list[str]:
        """The text of every element that matches now, as the document has it."""
        return await self._page.all_text_contents(self._selector)

    async def inner_html(self, *, timeout: Timeout = None) -> str:
        """The HTML inside the element."""
        return await self._page.inner_html(self._selector, _options.waiting(timeout))

    async def input_value(self, *, timeout: Timeout = None) -> str:
        """The value of an input, text area or select."""
        return await self._page.input_value(self._selector, _options.waiting(timeout))

    async def get_attribute(self, name: str, *, timeout: Timeout = None) -> str | None:
        """An attribute of the element, where it has it."""
        return await self._page.get_attribute(self._selector, name, _options.waiting(timeout))

    async def attributes(self, *, timeout: Timeout = None) -> dict[str, str]:
        """All attributes of the element, in the order of the document."""
        return dict(await self._page.attributes(self._selector, _options.waiting(timeout)))

    async def bounding_box(self, *, timeout: Timeout = None) -> FloatRect | None:
        """The element's box, or `None` when it is not rendered."""
        box = await self._page.bounding_box(self._selector, _options.waiting(timeout))
        return None if box is None else {"x": box.x, "y": box.y, "width": box.width, "height": box.height}

    async def is_visible(self) -> bool:
        """Whether there is one match and it is visible, now."""
        return await self._page.is_state(self._selector, _wit.ElementState.VISIBLE, _options.waiting(None))

    async def is_hidden(self) -> bool:
        """Whether there is no match or it is not visible, now."""
        return await self._page.is_state(self._selector, _wit.ElementState.HIDDEN, _options.waiting(None))

    async def is_enabled(self, *, timeout: Timeout = None) -> bool:
        """Whether the element is enabled."""
        return await self._page.is_state(self._selector, _wit.ElementState.ENABLED, _options.waiting(timeout))

    async def is_disabled(self, *, timeout: Timeout = None) -> bool:
        """Whether the element is disabled."""
        return await self._page.is_state(self._selector, _wit.ElementState.DISABLED, _options.waiting(timeout))

    async def is_editable(self, *, timeout: Timeout = None) -> bool:
        """Whether the element can be edited."""
        return await self._page.is_state(self._selector, _wit.ElementState.EDITABLE, _options.waiting(timeout))

    async def is_checked(self, *, timeout: Timeout = None) -> bool:
        """Whether the element is checked."""
        return await self._page.is_state(self._selector, _wit.ElementState.CHECKED, _options.waiting(timeout))

    async def is_focused(self, *, timeout: Timeout = None) -> bool:
        """Whether the element has the focus."""
        return await self._page.is_state(self._selector, _wit.ElementState.FOCUSED, _options.waiting(timeout))

    async def evaluate(self, expression: str, arg: Any = None, *, timeout: Timeout = None) -> Any:
        """Calls a JavaScript function with the element and `arg`, in the element's frame, and gives its value."""
        value = await self._page.evaluate_on(
            self._selector, expression, _options.argument(arg), _options.waiting(timeout)
        )
        return _results.read(value)

    async def evaluate_all(self, expression: str, arg: Any = None) -> Any:
        """Calls a JavaScript function with the array of all elements that match now and `arg`, and gives its value."""
        return _results.read(await self._page.evaluate_all(self._selector, expression, _options.argument(arg)))

    @takes(_options.NO_PATH)
    async def screenshot(
        self,
        *,
        type: ImageType = "png",
        quality: int | None = None,
        omit_background: bool = False,
        timeout: Timeout = None,
    ) -> bytes:
        """Takes a picture of the element. `quality` is from 0 to 100 and not for `png`; `omit_background` leaves a
        missing background transparent and is not for `jpeg`."""
        return await self._page.screenshot(
            _wit.ScreenshotOptions(
                timeout_ms=_options.timeout_ms(timeout),
                selector=self._selector,
                full_page=None,
                clip=None,
                format=choice(_wit.ImageFormat, ImageType, type),
                quality=quality,
                omit_background=omit_background,
            )
        )


class ElementHandle(Locator):
    """One very element of a document, rather than what a selector finds when it is used. It is gone with its document:
    what is done with it then raises `armada.ClosedError`."""

    def __init__(self, page: _wit.Page, element: _wit.Element, *kept: object) -> None:
        super().__init__(page, element.selector(), element, *kept)


def _typing(delay: float, timeout: Timeout) -> _wit.TypeOptions:
    return _wit.TypeOptions(_options.timeout_ms(timeout), milliseconds(delay))


def _listed(given: str | int | Sequence[str] | Sequence[int] | None) -> Sequence[Any]:
    if given is None:
        return ()
    return [given] if isinstance(given, (str, int)) else given


def _matching(text: str, exact: bool) -> str:
    return _quoted(text) if exact else f"{_quoted(text)} i"


def _quoted(text: str) -> str:
    """Text in JSON quotes, in which ` >> ` and `]` mean nothing."""
    return json.dumps(text, ensure_ascii=False)
