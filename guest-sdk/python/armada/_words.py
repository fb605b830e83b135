"""The words of options (`"left"`, `"networkidle"`) and the values of the contract that they mean; and what is said of
arguments that another library would take."""

import enum
import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, get_args

from .errors import InvalidError

__all__ = ["choice", "optional_choice", "takes", "word_of"]

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
