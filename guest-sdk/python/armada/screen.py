"""The screen that the agent's browser has its windows on.

    picture = await agent_ctx.screen.screenshot()
    await job_ctx.monitoring_client.save_artifact("screen.png", "image/png", picture)

There is one when the agent's message says `"screen_visible": 1` in `config_fantomas.config_screen`; the capability
`screen` has to be among `run_message.sandbox.capabilities`.
"""

from __future__ import annotations

from typing import NamedTuple

from ._done import Done
from ._host import screen as _wit

__all__ = ["Screen", "ScreenSize"]


class ScreenSize(NamedTuple):
    """A size in pixels."""

    width: int
    """From left to right."""
    height: int
    """From top to bottom."""


class Screen:
    """The agent's screen: `agent_ctx.screen`. The host starts it before the agent context is opened and ends it with the
    agent."""

    def size(self) -> ScreenSize:
        """How large it is."""
        size = _wit.size()
        return ScreenSize(size.width, size.height)

    async def screenshot(self) -> bytes:
        """A picture of the whole screen, as PNG: every window, with what the browser shows around its pages.

        Raises `armada.UnavailableError` when there is no screen.
        """
        return await _wit.screenshot()

    def stop_screen(self) -> Done:
        """Does nothing: the host ends the screen with the agent."""
        return Done()
