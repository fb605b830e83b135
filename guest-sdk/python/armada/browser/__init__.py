"""A real Chromium, driven by the host.

`Browser` opens `Page`s; a `Locator` finds elements of a page when it is used, waits for them, and acts on them. Names
and signatures are Playwright's; `Browser.get` gives a `Tab` in the way of nodriver. Selectors are CSS, `text=`,
`role=`, `xpath=`, `label=` and others, joined with ` >> `; what needs one element raises `armada.InvalidError` when two
match.

    page = await agent_ctx.browser.new_page()
    await page.goto("https://example.com/login")
    await page.get_by_label("Email").fill("ada@example.com")
    await page.get_by_label("Password").fill("correct horse")
    await page.get_by_role("button", name="Log in").click(timeout=5_000)
    await page.wait_for_url("**/account")

Several calls may be in flight at once (`asyncio.gather`, `asyncio.TaskGroup`), and any may be cancelled
(`asyncio.timeout`): the host ends it.
"""

from .context import Browser, BrowserContext
from .locator import ElementHandle, Locator
from .options import (
    ColorScheme,
    Cookie,
    FilePayload,
    FloatRect,
    ImageType,
    LoadState,
    Modifier,
    MouseButton,
    Position,
    SameSite,
    SelectorState,
    SetCookie,
    StorageState,
    Timeout,
    ViewportSize,
)
from .page import Download, Expected, Keyboard, Mouse, Page
from .requests import HeldRequest, Route
from .tab import Element, Tab
from .types import BrowserInfo, Dialog, Frame, Request, Response

__all__ = [
    "Browser",
    "BrowserContext",
    "BrowserInfo",
    "ColorScheme",
    "Cookie",
    "Dialog",
    "Download",
    "Element",
    "ElementHandle",
    "Expected",
    "FilePayload",
    "FloatRect",
    "Frame",
    "HeldRequest",
    "ImageType",
    "Keyboard",
    "LoadState",
    "Locator",
    "Modifier",
    "Mouse",
    "MouseButton",
    "Page",
    "Position",
    "Request",
    "Response",
    "Route",
    "SameSite",
    "SelectorState",
    "SetCookie",
    "StorageState",
    "Tab",
    "Timeout",
    "ViewportSize",
]
