"""Cases: each is a job of its own, named by the job message. It asserts what it must and then has passed."""

from collections.abc import Awaitable, Callable
from typing import Any

_Case = Callable[[Any], Awaitable[None]]
CASES: dict[str, _Case] = {}


def case(function: _Case) -> _Case:
    """Makes a function that takes the agent's browser a case."""
    CASES[function.__name__] = function
    return function


class raises:
    """Fails unless its block raises this, saying this."""

    def __init__(self, kind: type[BaseException] | tuple[type[BaseException], ...], says: str = "") -> None:
        self.kind = kind
        self.says = says

    def __enter__(self) -> "raises":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        assert error is not None, f"nothing was raised, and {self.kind} should have been"
        if not isinstance(error, self.kind):
            return False
        assert self.says in str(error), f"{error!r} does not say {self.says!r}"
        return True
