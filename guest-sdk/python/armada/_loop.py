"""The event loop of a project, made complete.

componentize-py brings a loop that runs tasks and waits for host calls, and nothing else: it has no timers, and a host
call that is cancelled, or still in flight when the export returns, ends the whole instance. This loop takes its place.
It is asyncio's own base loop, so that tasks, timeouts, groups and queues behave as they do anywhere, with one thing of
its own: how it waits. Timers share one `sleep` of the host, and cancelling a host call asks the host to end it and
waits until it has.
"""

import asyncio
import contextvars
import heapq
import sys
import threading
import time
import weakref
from asyncio import base_events, events
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar, TypeVarTuple, cast

import componentize_py_async_support as support
import componentize_py_runtime as runtime
from componentize_py_types import Err, Ok
from wit_world.imports import tasks as wit

from . import errors

__all__ = ["LOOP", "Loop"]

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")

# How long tasks that are left behind have to end when they are cancelled, in seconds; and how often they are cancelled
# again, and how long they have each time, before they are given up.
_GRACE = 1.0
_ROUNDS = 10
_ROUND = 0.05
# How long tasks may pass the turn to each other before the host has one, in seconds.
_TURN = 0.005
# How often the export's own task is cancelled before the instance is ended.
_MOST_INTERRUPTIONS = 100
# The longest that the host sleeps at once, in milliseconds: `u32` of the contract.
_LONGEST = 2**32 - 1


def _name(task: asyncio.Task[Any]) -> str:
    """What an author knows a task by: the name it was given, or that of its function."""
    name = task.get_name()
    if name.startswith("Task-"):
        name = getattr(task.get_coro(), "__qualname__", name)
    return name.replace("<locals>.", "")


class _HostCall(asyncio.Future[None]):
    """A host call in flight. Cancelling it asks the host to end it: it is over only when the host says so."""

    def __init__(self, loop: "Loop", number: int, promise: int) -> None:
        super().__init__(loop=loop)
        self._owner = loop
        self._number = number
        self._promise = promise
        self._is_given_up = False
        self.task = asyncio.current_task(loop)
        self.answer: Any = None
        self.cancelled_with: tuple[Any] | None = None
        self.closed_with: str | None = None

    def set_result(self, result: Any) -> None:
        """The host is done with it, as componentize-py says."""
        self.answer = runtime.promise_get_result(result, self._promise)
        self._owner.is_over(self)
        if not self._is_given_up:
            super().set_result(None)

    def cancel(self, msg: Any = None) -> bool:
        if self.done():
            return False
        self.cancelled_with = (msg,)
        wit.cancel(self._number)
        return True

    def close(self, why: str) -> None:
        """Ends it, as what it is a call of is closed."""
        if self.cancelled_with is None:
            self.closed_with = why
            wit.cancel(self._number)

    def give_up(self) -> None:
        """Ends it without waking the task that waits for it."""
        self._is_given_up = True
        self.cancel()


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

    # Of asyncio's base loop, which does not declare them.
    _ready: deque[Any]
    _scheduled: list[Any]
    _asyncgens: weakref.WeakSet[Any]
    _asyncgens_shutdown_called: bool
    _asyncgen_firstiter_hook: Callable[[Any], None]
    _asyncgen_finalizer_hook: Callable[[Any], None]

    def __init__(self) -> None:
        super().__init__()
        self._thread_id = threading.get_ident()
        # What componentize-py looks at: an exception that ends the instance.
        self.exception: BaseException | None = None
        self._current = _Current()
        # The number that the host gives the next call, and the calls that are in flight.
        self._next_call = 0
        self._in_flight: set[_HostCall] = set()
        self._idle: asyncio.Future[None] | None = None
        self._alarm: asyncio.Task[None] | None = None
        self._alarm_at = 0.0
        self._main: asyncio.Task[Any] | None = None
        self._is_ending = False
        self._interruption: BaseException | None = None
        self._interruptions = 0
        self._abandoned: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()

    def install(self) -> None:
        """Takes the place of componentize-py's loop."""
        module = cast(Any, support)
        module._loop = self
        module._future_state = self._current
        module.await_result = self._await_result
        asyncio.set_event_loop(self)
        events._set_running_loop(self)

    # One export after the other.

    def enter(self) -> None:
        """An export begins."""
        self._next_call = wit.next_call()
        self._main = asyncio.current_task()
        self._interruption = None
        self._interruptions = 0
        self._is_ending = False
        self._asyncgens_shutdown_called = False
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
        # Those that are being cancelled need just a moment.
        names = sorted(_name(task) for task in self._left() if not task.cancelling())
        while self._main is not None:
            try:
                await self._end()
            except asyncio.CancelledError:
                # Somebody has cancelled the export itself, which is over anyway.
                pass
        return names

    async def _end(self) -> None:
        await self._cancel(self._left(), _GRACE)
        for _ in range(_ROUNDS):
            await self._cancel(self._left(), _ROUND)
        if self._asyncgens:
            await asyncio.wait([self.create_task(self.shutdown_asyncgens())], timeout=_GRACE)
        # What still runs has refused to end: it is never woken again.
        for task in self._left():
            self._abandoned.add(task)
            # Its name has been told: that says enough.
            cast(Any, task)._log_destroy_pending = False
        self._is_ending = True
        self._scheduled.clear()
        if self._alarm is not None:
            self._alarm.cancel()
            await asyncio.wait([self._alarm])
        for call in self._in_flight:
            call.give_up()
        if self._in_flight:
            self._idle = self.create_future()
            await self._idle
        self._ready.clear()
        self._asyncgens.clear()
        self._main = None

    async def _cancel(self, tasks: list[asyncio.Task[Any]], seconds: float) -> None:
        for task in tasks:
            task.cancel("the script is over")
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)

    def _left(self) -> list[asyncio.Task[Any]]:
        ours = {self._main, *self._abandoned}
        return [task for task in asyncio.all_tasks(self) if task not in ours]

    # Host calls.

    async def _await_result(self, result: Any) -> Any:
        """Every host call that can wait comes through here, as componentize-py makes it."""
        number = self._next_call
        self._next_call += 1
        if isinstance(result, Ok):
            answer = cast(Any, result).value
        else:
            waitable, promise = result.value
            call = _HostCall(self, number, promise)
            state = self._current.get()
            state.futures[waitable] = call
            if state.waitable_set is None:
                state.waitable_set = runtime.waitable_set_new()
            runtime.waitable_join(waitable, state.waitable_set)
            self._in_flight.add(call)
            if self._is_ending and asyncio.current_task() is not self._main:
                call.give_up()
            await call
            answer, call.answer = call.answer, None
            if call.cancelled_with is not None:
                # What it gave all the same, such as a page, is let go of.
                del answer
                raise asyncio.CancelledError(*filter(None, call.cancelled_with))
            if call.closed_with is not None:
                del answer
                raise errors.ClosedError(call.closed_with)
        if isinstance(answer, Err):
            raise errors.from_wit(cast(Any, answer).value)
        return answer

    def end_call(self, task: asyncio.Task[Any] | None, why: str) -> None:
        """Ends the host call that a task waits for, if it does: it raises `armada.ClosedError`."""
        for call in self._in_flight:
            if call.task is task:
                call.close(why)

    def is_over(self, call: _HostCall) -> None:
        """The host is done with a call."""
        self._in_flight.discard(call)
        if self._idle is not None and not self._idle.done() and not self._in_flight:
            self._idle.set_result(None)

    # What componentize-py calls.

    def poll(self, state: Any) -> None:
        """Runs until there is nothing to do but to wait for the host."""
        self._current.set(state)
        since = self.time()
        while True:
            self._run_ready()
            if not self._ready:
                if state.pending_count == 0 or not self._prepare_to_wait():
                    return
            elif self._in_flight and self.time() - since > _TURN:
                # Tasks that do nothing but pass the turn must not keep out what the host has for others.
                if self._wake_at(self.time()):
                    self._run_ready()
                return

    def _run_ready(self) -> None:
        now = self.time() + 1e-3
        while self._scheduled and (self._scheduled[0]._cancelled or self._scheduled[0]._when <= now):
            timer = heapq.heappop(self._scheduled)
            timer._scheduled = False
            if not timer._cancelled:
                self._ready.append(timer)
        handle: Any = None
        for _ in range(len(self._ready)):
            if not self._ready:
                # The export has ended meanwhile.
                break
            handle = self._ready.popleft()
            if handle._cancelled:
                continue
            try:
                handle._run()
            except (SystemExit, KeyboardInterrupt) as error:
                self._interrupt(error)
        # An exception keeps the frames that it came through, and would keep its own task here.
        handle = None

    def _prepare_to_wait(self) -> bool:
        """Sees to it that the host wakes this loop for its next timer. Gives whether that made something to run."""
        if self._scheduled:
            return self._wake_at(self._scheduled[0]._when)
        if not self._in_flight and self._main is not None and not self._main.done():
            self._interrupt(RuntimeError("every task waits for another one, and nothing is left that could wake them"))
            return True
        return False

    def _wake_at(self, at: float) -> bool:
        """Has the host wake this loop then, or before. Gives whether that made something to run."""
        if self._is_ending or (self._alarm is not None and self._alarm_at <= at):
            return False
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_at = at
        self._alarm = self.create_task(self._sleep(at))
        # It is none of the author's: `asyncio.all_tasks` does not tell of it.
        cast(Any, asyncio.tasks)._unregister_task(self._alarm)
        return True

    async def _sleep(self, at: float) -> None:
        me = asyncio.current_task()
        try:
            await wit.sleep(max(1, min(_LONGEST, round((at - self.time()) * 1000))))
        except asyncio.CancelledError:
            pass
        except errors.LimitError:
            # There are as many calls in flight as there may be, and each of them wakes this loop when it is over.
            await asyncio.wait(set(self._in_flight), return_when=asyncio.FIRST_COMPLETED)
        finally:
            if self._alarm is me:
                self._alarm = None

    def _interrupt(self, error: BaseException) -> None:
        self._interruptions += 1
        if self._main is None or self._interruptions > _MOST_INTERRUPTIONS:
            # It was told already, and does not end.
            raise error
        self._interruption = self._interruption or error
        self._main.cancel()

    # What the base loop leaves to others.

    def time(self) -> float:
        return time.monotonic()

    def call_soon_threadsafe(
        self, callback: Callable[[*_Ts], object], *args: *_Ts, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        return self.call_soon(callback, *args, context=context)

    def run_in_executor(self, executor: Any, func: Callable[[*_Ts], _T], *args: *_Ts) -> asyncio.Future[_T]:
        """There are no threads: the function runs here, after what is ready now."""

        async def run() -> _T:
            return func(*args)

        return self.create_task(run())


LOOP = Loop()
