"""The host's functions, for the rest of the SDK to call.

They are generated, and exist only inside a component; elsewhere (an editor, a script on the author's machine) any use
of them says so. The generated code ends the whole instance when an argument is not of the type that it expects, so
arguments are checked here first, against the types that the generated functions name; and errors of the contract become
this package's.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import inspect
import types
import typing
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from . import errors

__all__ = ["OUTSIDE", "browser", "database", "fingerprint", "http", "identity", "monitoring", "proxy", "screen", "secrets"]

OUTSIDE = "this works only inside Armada: start the project with `armada run`, and its tests with `armada test`"

_Check = Callable[[str, Any], None]

# The largest whole number that a parameter or field takes, where it is not that of `u32`.
_LARGEST = {"done": 2**64 - 1, "total": 2**64 - 1, "status": 2**16 - 1}

# The records whose whole numbers may be negative, and have 64 bits.
_SIGNED = {"Value_Integer"}


class _Outside:
    """What stands in for the generated modules where there is no host."""

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise errors.OutsideError(OUTSIDE)


def _guard(module: types.ModuleType) -> None:
    """Puts the checks before every function and method of a generated module."""
    resources = [one for one in vars(module).values() if isinstance(one, type) and hasattr(one, "__exit__")]
    for owner in (module, *resources):
        for name, function in list(vars(owner).items()):
            if inspect.isfunction(function) and not name.startswith("_"):
                setattr(owner, name, _guarded(function))


def _guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    names = list(inspect.signature(function).parameters)
    hints = typing.get_type_hints(function)
    checks = [(name, _check_of(hints[name]) if name in hints else _nothing) for name in names]

    def guarded(*arguments: Any) -> Any:
        for (name, check), value in zip(checks, arguments, strict=True):
            check(name, value)
        try:
            return function(*arguments)
        except _Raised as error:
            raise errors.from_wit(error.value) from None

    return guarded


def _check_of(hint: Any) -> _Check:
    """What raises unless a value is of this type."""
    kinds = typing.get_args(hint)
    if typing.get_origin(hint) is list:
        return _list_of(_check_of(kinds[0]))
    if type(None) in kinds:
        return _optional(*(_check_of(kind) for kind in kinds if kind is not type(None)))
    if hint is str:
        return _text
    if hint is int:
        return _whole
    return _instance_of((int, float) if hint is float else kinds or (hint,))


def _nothing(name: str, value: Any) -> None:
    """The check of `self`."""


def _text(name: str, value: Any) -> None:
    if not isinstance(value, str):
        raise _mismatch(name, (str,), value)
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise errors.InvalidError(f"`{name}` is no text at position {error.start}: {error.reason}") from None


def _whole(name: str, value: Any) -> None:
    if not isinstance(value, int):
        raise _mismatch(name, (int,), value)
    largest = _LARGEST.get(name, 2**32 - 1)
    if not 0 <= value <= largest:
        raise errors.InvalidError(f"`{name}` must be from 0 to {largest}, not {value}")


def _signed(name: str, value: Any) -> None:
    if not isinstance(value, int):
        raise _mismatch(name, (int,), value)
    if not -(2**63) <= value < 2**63:
        raise errors.InvalidError(f"`{name}` must be from {-(2**63)} to {2**63 - 1}, not {value}")


def _instance_of(kinds: tuple[type, ...]) -> _Check:
    def check(name: str, value: Any) -> None:
        if not isinstance(value, kinds):
            raise _mismatch(name, kinds, value)
        if dataclasses.is_dataclass(value):
            record: Any = type(value)
            for field, check_field in _fields(record):
                check_field(field, getattr(value, field))

    return check


@functools.cache
def _fields(record: Any) -> list[tuple[str, _Check]]:
    if record.__name__ in _SIGNED:
        return [("value", _signed)]
    return [(name, _check_of(hint)) for name, hint in typing.get_type_hints(record).items()]


def _list_of(check_one: _Check) -> _Check:
    def check(name: str, value: Any) -> None:
        for one in value:
            check_one(name, one)

    return check


def _optional(check_some: _Check) -> _Check:
    def check(name: str, value: Any) -> None:
        if value is not None:
            check_some(name, value)

    return check


def _mismatch(name: str, kinds: tuple[type, ...], value: object) -> TypeError:
    expected = " or ".join(kind.__name__ for kind in kinds)
    return TypeError(f"`{name}` must be of type {expected}, not {type(value).__name__}: {value!r:.100}")


_IS_INSIDE = importlib.util.find_spec("wit_world") is not None

if TYPE_CHECKING or _IS_INSIDE:
    from componentize_py_types import Err
    from wit_world.imports import browser, database, fingerprint, http, identity, monitoring, proxy, screen, secrets

    _Raised: Any = Err

    _guard(browser)
    _guard(database)
    _guard(fingerprint)
    _guard(http)
    _guard(identity)
    _guard(monitoring)
    _guard(proxy)
    _guard(screen)
    _guard(secrets)
else:
    browser = database = fingerprint = http = identity = monitoring = proxy = screen = secrets = _Outside()
