"""The words of options (`"left"`, `"networkidle"`) and the values of the contract that they mean; and what is said of
arguments that another library would take."""

import enum
import functools
import inspect
import math
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Literal, ParamSpec, TypeVar, get_args

from .errors import InvalidError

__all__ = ["choice", "milliseconds", "optional_choice", "takes", "word_of"]

_Enum = TypeVar("_Enum", bound=enum.Enum)
_P = ParamSpec("_P")
_R = TypeVar("_R")


def choice(kind: type[_Enum], words: object, word: str) -> _Enum:
    """The value of the contract for one of an option's words."""
    allowed = get_args(words)
    if word not in allowed:
        raise InvalidError(f"{word!r} is none of {', '.join(map(repr, allowed))}")
    plain = word.replace("-", "").lower()
    return next(value for value in kind if value.name.replace("_", "").lower() == plain)


def optional_choice(kind: type[_Enum], words: object, word: str | None) -> _Enum | None:
    """The same for an option that may be left out."""
    return None if word is None else choice(kind, words, word)


def word_of(words: object, value: enum.Enum) -> Any:
    """The word for a value of the contract."""
    plain = value.name.replace("_", "").lower()
    return next(word for word in get_args(words) if word.replace("-", "").lower() == plain)


def milliseconds(
    time: object, name: str = "a time", unit: Literal["seconds", "milliseconds"] = "milliseconds"
) -> int:
    """A time in whole milliseconds, rounded up so that a short wait stays one."""
    if isinstance(time, timedelta):
        exact = time / timedelta(milliseconds=1)
    elif isinstance(time, int | float):
        exact = time * (1000 if unit == "seconds" else 1)
    else:
        raise TypeError(f"{name} must be a number of {unit}, not {type(time).__name__}: {time!r:.100}")
    if not exact >= 0:
        raise InvalidError(f"{name} must be 0 or more, not {time}")
    return math.ceil(min(exact, 2**32 - 1))


def takes(hint: str) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Has a function give this hint when it is called with arguments that it does not take."""

    def decorate(function: Callable[_P, _R]) -> Callable[_P, _R]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def called(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            try:
                signature.bind(*args, **kwargs)
            except TypeError as error:
                raise TypeError(f"`{function.__name__}`: {error}: {hint}") from None
            return function(*args, **kwargs)

        return called

    return decorate
