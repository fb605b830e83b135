"""What calls of the browser give back."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BrowserInfo", "Dialog", "Frame", "Request", "Response"]


@dataclass(frozen=True)
class BrowserInfo:
    """What the browser is."""

    product: str
    """Name and version, such as `Chrome/156.0.8078.79`."""
    user_agent: str
    """The user agent that pages see unless a context sets another."""
    headless: bool
    """Whether it runs without a window."""


@dataclass(frozen=True)
class Response:
    """The answer to a request for a document."""

    url: str
    """The URL that answered, after redirects."""
    status: int
    """The HTTP status."""
    status_text: str
    """The text of the status, where the protocol has one."""
    headers: dict[str, str]
    """The headers, by their names in lower case."""

    @property
    def ok(self) -> bool:
        """Whether the status is one of success, from 200 to 299."""
        return 200 <= self.status <= 299


@dataclass(frozen=True)
class Request:
    """A request that a page wants to make."""

    url: str
    """Its URL."""
    method: str
    """Its method."""
    headers: dict[str, str]
    """Its headers, by their names in lower case."""
    post_data_buffer: bytes | None
    """Its body, where it has one."""
    resource_type: str
    """What it is for: `document`, `stylesheet`, `image`, `media`, `font`, `script`, `xhr`, `fetch`, `other`, …"""

    @property
    def post_data(self) -> str | None:
        """Its body as text, where it has one."""
        return None if self.post_data_buffer is None else self.post_data_buffer.decode(errors="replace")


@dataclass(frozen=True)
class Dialog:
    """A dialog that was shown and has been answered."""

    type: str
    """`alert`, `confirm`, `prompt` or `beforeunload`."""
    message: str
    """Its text."""
    default_value: str
    """What the prompt was filled with at first."""
    accepted: bool
    """Whether it was accepted."""


@dataclass(frozen=True)
class Frame:
    """A frame of a page. To act inside it, use `page.frame_locator`."""

    name: str
    """Its name, which may be empty."""
    url: str
    """Its URL."""
    depth: int
    """How deep it is: 0 for the main frame."""
