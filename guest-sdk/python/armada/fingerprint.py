"""The device that pages of the agent's browser see.

`config_fingerprint` of the agent's configuration chooses it, so that a site can be tested as phones, tablets and
computers see it:

    from armada import fingerprint
    device = await fingerprint.current()
    assert device.mobile == ("Mobile" in device.user_agent)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ._host import fingerprint as _wit

__all__ = ["Brand", "Profile", "Size", "current", "profiles"]


@dataclass(frozen=True)
class Brand:
    """A name and version of the browser, as client hints have them."""

    brand: str
    """The name."""
    version: str
    """The version."""


@dataclass(frozen=True)
class Size:
    """Width and height in CSS pixels."""

    width: int
    """The width."""
    height: int
    """The height."""


@dataclass(frozen=True)
class Profile:
    """What pages see."""

    name: str
    """The profile's name."""
    user_agent: str
    """`navigator.userAgent` and the header `User-Agent`."""
    platform: str
    """`navigator.platform`, such as `Win32`."""
    brands: list[Brand]
    """`navigator.userAgentData.brands` and the header `Sec-CH-UA`."""
    full_version_list: list[Brand]
    """The same with full versions."""
    hint_platform: str
    """The operating system, as client hints have it, such as `Windows`."""
    platform_version: str
    """The version of the operating system."""
    architecture: str
    """The architecture, such as `x86`."""
    bitness: str
    """The bits of an address, such as `64`."""
    model: str
    """The model of a phone or tablet; else empty."""
    mobile: bool
    """Whether it is a phone."""
    languages: list[str]
    """`navigator.languages`; the first is `navigator.language`."""
    timezone: str | None
    """The time zone; the machine's if `None`."""
    screen: Size
    """The screen."""
    viewport: Size
    """What pages have of it."""
    pixel_ratio: float
    """Device pixels for each CSS pixel."""
    touch_points: int
    """`navigator.maxTouchPoints`; 0 without a touch screen."""
    cores: int
    """`navigator.hardwareConcurrency`."""
    memory: float
    """`navigator.deviceMemory`, in GiB."""
    dark: bool
    """Whether pages are asked for dark colours."""


async def current() -> Profile:
    """What pages see, apart from what a browser context is made with.

    Raises `armada.InvalidError` where `config_fingerprint` does not enable it, `armada.NotFoundError` where it names a
    profile that there is not.
    """
    told = await _wit.current()
    return Profile(
        name=told.name,
        user_agent=told.user_agent,
        platform=told.platform,
        brands=_brands(told.brands),
        full_version_list=_brands(told.full_version_list),
        hint_platform=told.hint_platform,
        platform_version=told.platform_version,
        architecture=told.architecture,
        bitness=told.bitness,
        model=told.model,
        mobile=told.mobile,
        languages=list(told.languages),
        timezone=told.timezone,
        screen=Size(told.screen.width, told.screen.height),
        viewport=Size(told.viewport.width, told.viewport.height),
        pixel_ratio=told.pixel_ratio,
        touch_points=told.touch_points,
        cores=told.cores,
        memory=told.memory,
        dark=told.dark,
    )


def profiles() -> list[str]:
    """The names of the profiles that there are."""
    return list(_wit.profiles())


def _brands(told: list[Any]) -> list[Brand]:
    return [Brand(one.brand, one.version) for one in told]
