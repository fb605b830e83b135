"""Values as JSON: what the host gives, and what a script gives back."""

import dataclasses
import datetime
import enum
import inspect
import json
import math
from collections.abc import Iterable
from typing import Any, cast


def read(text: str) -> Any:
    """A value that the host gave."""
    return json.loads(text)


# How many levels a value may have: what reads JSON has such a limit, too.
_DEEPEST = 100


class _NoJsonError(Exception):
    """A part of a value is none of JSON."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        # The way to the part, from the part outwards.
        self.steps: list[str] = []


def write(value: Any, what: str) -> str:
    """A value for the host. Beside what JSON knows, it may have dataclasses, enums, sets, and dates and times (ISO
    8601). `what` it is begins with "the" and its name."""
    try:
        _check(value, ())
    except _NoJsonError as error:
        path = what.split()[1] + "".join(reversed(error.steps))
        raise TypeError(f"{what} cannot be written as JSON: {path} {error}") from None
    return json.dumps(value, default=_plain, allow_nan=False, ensure_ascii=False)


def _check(value: Any, around: tuple[Any, ...]) -> None:
    """Raises for the first part of a value that is no JSON; `around` is what the value is in."""
    if value is None or isinstance(value, int):
        return
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise _NoJsonError(f"is {value}, and JSON has no such number")
    elif any(value is one for one in around):
        raise _NoJsonError("holds itself")
    elif len(around) == _DEEPEST:
        raise _NoJsonError(f"is more than {_DEEPEST} levels deep")
    elif isinstance(value, dict):
        _check_keys(value)
        _check_parts(value, cast(Any, value).items(), around)
    elif isinstance(value, (list, tuple)):
        _check_parts(value, enumerate(cast("Iterable[Any]", value)), around)
    elif inspect.isawaitable(value):
        raise _NoJsonError(f"is a {type(value).__name__}: is `await` missing?")
    else:
        _check(_plain(value), (*around, value))


def _check_keys(value: Any) -> None:
    for key in value:
        if not isinstance(key, str):
            raise _NoJsonError(f"has the key {key!r:.100}: keys must be text, as `str(key)` is")
        _check_text(key)


def _check_parts(value: Any, parts: Iterable[tuple[object, Any]], around: tuple[Any, ...]) -> None:
    around = (*around, value)
    for step, part in parts:
        try:
            _check(part, around)
        except _NoJsonError as error:
            error.steps.append(f"[{json.dumps(step, ensure_ascii=False)}]")
            raise


def _check_text(text: str) -> None:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise _NoJsonError(f"has a half of a character, {text[error.start]!r}, at position {error.start}") from None


def text(text: str) -> str:
    """A text that the host takes: UTF-8 knows no halves of characters."""
    return text if text.isascii() else text.encode(errors="replace").decode()


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (set, frozenset)):
        return list(cast(set[Any], value))
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    raise _NoJsonError(f"is of type {type(value).__name__}, which JSON does not have")
