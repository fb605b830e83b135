"""What a call gives that has done its work already: it may be awaited or not, as scripts write either."""

from collections.abc import Awaitable, Generator

__all__ = ["Done"]


class Done(Awaitable[None]):
    """Nothing is left to wait for."""

    def __await__(self) -> Generator[None, None, None]:
        return
        yield
