"""Resources of the host's that are closed before Python lets go of them, maybe while a task still waits for one.

The host ends the whole instance when a resource is dropped that a call still uses, or is used once it was dropped. So
calls in flight are remembered: closing ends them, and the last one that is over drops the resource.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

from .errors import ClosedError

__all__ = ["Handle"]

_R = TypeVar("_R")
_T = TypeVar("_T")


class Handle(Generic[_R]):
    """A resource, and what is said of it once it is closed."""

    def __init__(self, resource: _R, closed: str) -> None:
        self._resource: _R | None = resource
        self._closed = closed
        self._is_closed = False
        self._waiting: list[asyncio.Task[Any] | None] = []

    async def call(self, use: Callable[[_R], Awaitable[_T]]) -> _T:
        """Calls the resource. Raises `armada.ClosedError` when it is closed, or is before the call is over."""
        resource = self._resource
        if resource is None or self._is_closed:
            raise ClosedError(self._closed)
        task = asyncio.current_task()
        self._waiting.append(task)
        try:
            return await use(resource)
        finally:
            self._waiting.remove(task)
            self._drop_unless_used()

    def close(self) -> None:
        """Ends the calls in flight, and lets go of the resource."""
        self._is_closed = True
        if self._waiting:
            # Who waits is inside a component: elsewhere, there is no such loop.
            from ._loop import LOOP

            for task in self._waiting:
                LOOP.end_call(task, self._closed)
        self._drop_unless_used()

    def _drop_unless_used(self) -> None:
        if self._is_closed and not self._waiting and self._resource is not None:
            resource: Any = self._resource
            self._resource = None
            resource.__exit__(None, None, None)
