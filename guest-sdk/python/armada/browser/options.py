"""What calls of the browser take: the words and shapes of their options, and how these reach the host.

They are Playwright's, so that what people know holds: literal strings, and dictionaries with known keys. Sizes and
places are in CSS pixels, times in milliseconds unless they are a `timedelta`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal, TypeAlias, TypedDict, get_args
from urllib.parse import urlsplit

from .. import _results
from .._host import browser as _wit
from .._words import milliseconds, optional_choice, word_of
from ..errors import InvalidError

__all__ = [
    "ColorScheme",
    "Cookie",
    "FilePayload",
    "FloatRect",
    "ImageType",
    "LoadState",
    "Modifier",
    "MouseButton",
    "Position",
    "SameSite",
    "SelectorState",
    "SetCookie",
    "StorageState",
    "Timeout",
    "ViewportSize",
]

NO_PATH = "there are no files to write: keep the bytes that it gives with `job_ctx.monitoring_client.save_artifact`"
"""What is said to those who name a file."""

Timeout: TypeAlias = float | timedelta | None
"""The time allowed: milliseconds or a `timedelta`. `None` is the context's default (30 seconds unless set), 0 as long
as the run allows (`seconds_per_call`)."""

MouseButton: TypeAlias = Literal["left", "middle", "right"]
"""A button of the mouse."""

Modifier: TypeAlias = Literal["Alt", "Control", "ControlOrMeta", "Meta", "Shift"]
"""A key to hold down. `ControlOrMeta` is Control, as the browser runs on Linux."""

LoadState: TypeAlias = Literal["commit", "domcontentloaded", "load", "networkidle"]
"""How far a navigation has come: the new document is there, has been parsed, has been loaded with what it embeds, and
there has been no network traffic for 500 ms."""

SelectorState: TypeAlias = Literal["attached", "detached", "visible", "hidden"]
"""What to wait for: there is a match, there is none, exactly one that is visible, none or one that is not visible."""

ColorScheme: TypeAlias = Literal["light", "dark", "no-preference"]
"""A colour scheme that a page can ask for."""

SameSite: TypeAlias = Literal["Strict", "Lax", "None"]
"""Whether a cookie is sent with requests from other sites."""

ImageType: TypeAlias = Literal["png", "jpeg", "webp"]
"""A picture's format."""


class Position(TypedDict):
    """A place, from the top left corner of the element's box."""

    x: float
    y: float


class FloatRect(TypedDict):
    """A place and a size, from the top left corner of the viewport."""

    x: float
    y: float
    width: float
    height: float


class ViewportSize(TypedDict):
    """A size in whole pixels, from 1 to 10,000."""

    width: int
    height: int


class FilePayload(TypedDict):
    """A file to upload: its name, its media type (guessed by the browser where empty), its content."""

    name: str
    mimeType: str
    buffer: bytes


class Cookie(TypedDict):
    """A cookie. `expires` is in seconds since 1970, -1 for the end of the session."""

    name: str
    value: str
    domain: str
    path: str
    expires: float
    httpOnly: bool
    secure: bool
    sameSite: SameSite | None


class _SetCookie(TypedDict):
    name: str
    value: str


class SetCookie(_SetCookie, total=False):
    """A cookie to set: its name and value, and either `url` or `domain` (and `path`, `/` unless given)."""

    url: str
    domain: str
    path: str
    expires: float
    httpOnly: bool
    secure: bool
    sameSite: SameSite | None


class _NameValue(TypedDict):
    name: str
    value: str


class _Origin(TypedDict):
    origin: str
    localStorage: list[_NameValue]


class StorageState(TypedDict):
    """Cookies, and the local storage of each origin."""

    cookies: list[Cookie]
    origins: list[_Origin]


def optional_milliseconds(time: float | timedelta | None) -> int | None:
    """A time in whole milliseconds, of an option that may be left out."""
    return None if time is None else milliseconds(time)


def timeout_ms(timeout: Timeout) -> int | None:
    """The time allowed, as the contract has it: there, 0 is no time at all."""
    return None if timeout is None else milliseconds(timeout) or 2**32 - 1


def waiting(timeout: Timeout) -> _wit.WaitOptions:
    """The options of a call that only waits."""
    return _wit.WaitOptions(timeout_ms(timeout))


def acting(timeout: Timeout, force: bool) -> _wit.ActionOptions:
    """The options of a call that acts on an element."""
    return _wit.ActionOptions(timeout_ms(timeout), force)


def modifiers(keys: Iterable[Modifier] | None) -> _wit.Modifiers | None:
    """Keys to hold down."""
    if keys is None:
        return None
    held = _wit.Modifiers(0)
    for key in keys:
        if key not in get_args(Modifier):
            raise InvalidError(f"{key!r} is none of {', '.join(map(repr, get_args(Modifier)))}")
        held |= _wit.Modifiers["CONTROL" if key == "ControlOrMeta" else key.upper()]
    return held


def point(position: Position | None) -> _wit.Point | None:
    """A place."""
    return None if position is None else _wit.Point(position["x"], position["y"])


def headers(given: Mapping[str, str]) -> list[_wit.Header]:
    """Headers to send."""
    return [_wit.Header(name, value) for name, value in given.items()]


def optional_headers(given: Mapping[str, str] | None) -> list[_wit.Header] | None:
    """The same for an option that may be left out."""
    return None if given is None else headers(given)


def headers_from(given: Iterable[_wit.Header]) -> dict[str, str]:
    """Headers that were sent, by their names in lower case; the values of one that is repeated are joined with `, `,
    those of `set-cookie` with a line end."""
    joined: dict[str, str] = {}
    for header in given:
        name = header.name.lower()
        between = "\n" if name == "set-cookie" else ", "
        joined[name] = f"{joined[name]}{between}{header.value}" if name in joined else header.value
    return joined


def files(given: FilePayload | Sequence[FilePayload]) -> list[_wit.UploadFile]:
    """Files to upload."""
    listed: Sequence[Any] = [given] if isinstance(given, Mapping) or not isinstance(given, list | tuple) else given
    for file in listed:
        if not isinstance(file, Mapping):
            raise TypeError(
                f"{file!r:.100} is no file to upload: the sandbox has none to name by path, so give their content, as in "
                '`{"name": "a.txt", "mimeType": "text/plain", "buffer": b"hello"}`'
            )
    return [_wit.UploadFile(file["name"], file["mimeType"], file["buffer"]) for file in listed]


def cookie(given: Mapping[str, Any]) -> _wit.Cookie:
    """A cookie to set."""
    url = urlsplit(str(given.get("url", "")))
    domain = given.get("domain", url.hostname)
    if not domain:
        raise InvalidError(f"the cookie {given['name']!r} needs a `domain` or a `url`")
    expires = given.get("expires", -1)
    return _wit.Cookie(
        given["name"],
        given["value"],
        domain,
        given.get("path", "/"),
        None if expires == -1 else expires,
        given.get("httpOnly", False),
        given.get("secure", url.scheme == "https"),
        optional_choice(_wit.SameSite, SameSite, given.get("sameSite")),
    )


def cookie_from(given: _wit.Cookie) -> Cookie:
    """A cookie that the browser has."""
    return {
        "name": given.name,
        "value": given.value,
        "domain": given.domain,
        "path": given.path,
        "expires": -1 if given.expires is None else given.expires,
        "httpOnly": given.http_only,
        "secure": given.secure,
        "sameSite": None if given.same_site is None else word_of(SameSite, given.same_site),
    }


def argument(value: object) -> str | None:
    """What a function in a page is called with, as JSON; `None` is nothing."""
    return None if value is None else _results.write(value, "the argument")


def viewport(size: ViewportSize, scale: float | None, mobile: bool | None, touch: bool | None) -> _wit.Viewport:
    """A viewport."""
    return _wit.Viewport(size["width"], size["height"], scale, mobile, touch)


_INCHES = {"in": 1.0, "cm": 1 / 2.54, "mm": 1 / 25.4, "px": 1 / 96}


def inches(length: float | str | None) -> float | None:
    """A length of paper: pixels (of 1/96 inch), or a text with a unit (`21cm`)."""
    if length is None or not isinstance(length, str):
        return None if length is None else length / 96
    unit = length[-2:]
    try:
        return float(length[:-2]) * _INCHES[unit]
    except (KeyError, ValueError):
        raise InvalidError(f"{length!r} is no length: write it as `8.5in`, `21cm`, `210mm` or `800px`") from None


def paper(form: str) -> tuple[float, float]:
    """Width and height of a paper in inches."""
    try:
        return _PAPERS[form.lower()]
    except KeyError:
        raise InvalidError(f"{form!r} is no paper: it may be {', '.join(_PAPERS)}") from None


_PAPERS = {
    "letter": (8.5, 11),
    "legal": (8.5, 14),
    "tabloid": (11, 17),
    "ledger": (17, 11),
    "a0": (33.1, 46.8),
    "a1": (23.4, 33.1),
    "a2": (16.54, 23.4),
    "a3": (11.7, 16.54),
    "a4": (8.27, 11.7),
    "a5": (5.83, 8.27),
    "a6": (4.13, 5.83),
}
