"""The event loop of a project, made complete.

componentize-py brings a loop that runs tasks and waits for host calls, and nothing else: it has no timers, and a host
call that is cancelled, or still in flight when the export returns, ends the whole instance. This loop takes its place. It is
asyncio's own base loop, so that tasks, timeouts, groups and queues behave as they do anywhere, with one thing of its own: how
it waits. Timers share one `sleep` of the host, and cancelling a host call asks the host to end it and waits until it has.
"""

import asyncio
import heapq
import sys
import threading
import time
import weakref
from asyncio import base_events, events
from collections.abc import Callable
from typing import Any

import componentize_py_async_support as support
import componentize_py_runtime as runtime
from componentize_py_types import Err, Ok

from . import errors
from wit_world.imports import tasks as wit

# How often tasks that are left behind are cancelled before they are given up, and how long they have each time, in seconds.
_ROUNDS = 20
_ROUND = 0.05
# The longest that the host sleeps at once, in milliseconds: `u32` of the contract.
_LONGEST = 2**32 - 1


def _name(task: asyncio.Task[Any]) -> str:
    """What an author knows a task by: the name it was given, or that of its function."""
    name = task.get_name()
    if name.startswith("Task-"):
        name = getattr(task.get_coro(), "__qualname__", name).replace("<locals>.", "")
    return name


class _HostCall(asyncio.Future[Any]):
    """A host call in flight. Cancelling it asks the host to end it: it is over only when the host says so."""

    def __init__(self, loop: "Loop", number: int) -> None:
        super().__init__(loop=loop)
        self._number = number
        self.cancelled_with: tuple[Any] | None = None

    def cancel(self, msg: Any = None) -> bool:
        if self.done():
            return False
        self.cancelled_with = (msg,)
        wit.cancel(self._number)
        return True


class _Current:
    """The state of the one export in progress. componentize-py keeps it in a context variable, which a task with a
    context of its own would not have."""

    def __init__(self) -> None:
        self._state: Any = None

    def get(self) -> Any:
        return self._state

    def set(self, state: Any) -> None:
        self._state = state


class Loop(base_events.BaseEventLoop):
    """The loop that every export of a component runs on."""

    def __init__(self) -> None:
        super().__init__()
        self._thread_id = threading.get_ident()
        # What componentize-py looks at: an exception that ends the instance.
        self.exception: BaseException | None = None
        self._current = _Current()
        # The number that the host gives the next call, and the calls that are in flight.
        self._next_call = 0
        self._in_flight: set[_HostCall] = set()
        self._alarm: asyncio.Task[None] | None = None
        self._alarm_at = 0.0
        self._main: asyncio.Task[Any] | None = None
        self._ending = False
        self._interruption: BaseException | None = None
        self._abandoned: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()

    def install(self) -> None:
        """Takes the place of componentize-py's loop."""
        support._loop = self
        support._future_state = self._current
        support.await_result = self._await_result
        asyncio.set_event_loop(self)
        events._set_running_loop(self)

    # One export after the other.

    def enter(self) -> None:
        """An export begins."""
        self._next_call = wit.next_call()
        self._main = asyncio.current_task()
        self._interruption = None
        self._ending = False
        sys.set_asyncgen_hooks(firstiter=self._asyncgen_firstiter_hook, finalizer=self._asyncgen_finalizer_hook)

    @property
    def is_entered(self) -> bool:
        """Whether there is a host to call."""
        return self._main is not None

    @property
    def interruption(self) -> BaseException | None:
        """Why the export's own task was cancelled by the loop, if it was."""
        return self._interruption

    async def leave(self) -> list[str]:
        """Ends what the export leaves behind, so that nothing of it is in flight; gives the names of its tasks."""
        left = self._left()
        names = [_name(task) for task in left]
        self._ending = True
        for _ in range(_ROUNDS):
            if not left:
                break
            for task in left:
                task.cancel("the script is over")
            await asyncio.wait(left, timeout=_ROUND)
            left = self._left()
        # Whoever still waits has refused to end: it is never woken again.
        self._abandoned.update(left)
        await self.shutdown_asyncgens()
        self._scheduled.clear()
        while self._in_flight:
            for call in self._in_flight:
                call.cancel()
            await asyncio.wait(self._in_flight)
        self._ready.clear()
        self._asyncgens.clear()
        self._main = None
        return names

    def _left(self) -> list[asyncio.Task[Any]]:
        ours = {self._main, self._alarm, *self._abandoned}
        return [task for task in asyncio.all_tasks(self) if task not in ours]

    # Host calls.

    async def _await_result(self, result: Any) -> Any:
        """Every host call that can wait comes through here, as componentize-py makes it."""
        number = self._next_call
        self._next_call += 1
        if isinstance(result, Ok):
            answer = result.value
        else:
            waitable, promise = result.value
            call = _HostCall(self, number)
            state = self._current.get()
            state.futures[waitable] = call
            if state.waitable_set is None:
                state.waitable_set = runtime.waitable_set_new()
            runtime.waitable_join(waitable, state.waitable_set)
            self._in_flight.add(call)
            if self._ending and asyncio.current_task() not in (self._main, self._alarm):
                call.cancel("the script is over")
            try:
                event = await call
            finally:
                self._in_flight.discard(call)
            answer = runtime.promise_get_result(event, promise)
            if call.cancelled_with is not None:
                raise asyncio.CancelledError(*filter(None, call.cancelled_with))
        if isinstance(answer, Err):
            raise errors.from_wit(answer.value)
        return answer

    # What componentize-py calls.

    def poll(self, state: Any) -> None:
        """Runs until there is nothing to do but to wait for the host."""
        self._current.set(state)
        while True:
            self._run_ready()
            if self._ready:
                continue
            if state.pending_count == 0 or not self._prepare_to_wait():
                return

    def _run_ready(self) -> None:
        now = self.time() + 1e-3
        while self._scheduled and (self._scheduled[0]._cancelled or self._scheduled[0]._when <= now):
            timer = heapq.heappop(self._scheduled)
            timer._scheduled = False
            if not timer._cancelled:
                self._ready.append(timer)
        for _ in range(len(self._ready)):
            handle = self._ready.popleft()
            if handle._cancelled:
                continue
            try:
                handle._run()
            except (SystemExit, KeyboardInterrupt) as error:
                self._interrupt(error)

    def _prepare_to_wait(self) -> bool:
        """Sees to it that the host wakes this loop for its next timer. Gives whether that made something to run."""
        if self._scheduled:
            at = self._scheduled[0]._when
            if self._alarm is None or at < self._alarm_at:
                if self._alarm is not None:
                    self._alarm.cancel()
                self._alarm_at = at
                self._alarm = self.create_task(self._sleep(at))
                return True
        elif not self._in_flight and self._main is not None and not self._main.done():
            self._interrupt(RuntimeError("every task waits for another one, and nothing is left that could wake them"))
            return True
        return False

    async def _sleep(self, at: float) -> None:
        me = asyncio.current_task()
        try:
            left = max(0, min(_LONGEST, round((at - self.time()) * 1000)))
            await wit.sleep(left)
        except asyncio.CancelledError:
            pass
        finally:
            if self._alarm is me:
                self._alarm = None

    def _interrupt(self, error: BaseException) -> None:
        if self._interruption is not None or self._main is None:
            # It was told already, and did not end.
            raise error
        self._interruption = error
        self._main.cancel()

    # What the base loop leaves to others.

    def time(self) -> float:
        return time.monotonic()

    def call_soon_threadsafe(self, callback: Any, *args: Any, context: Any = None) -> Any:
        return self.call_soon(callback, *args, context=context)

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        """There are no threads: the function runs here, after what is ready now."""

        async def run() -> Any:
            return func(*args)

        return self.create_task(run())


LOOP = Loop()
