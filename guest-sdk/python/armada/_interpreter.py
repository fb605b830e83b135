"""The interpreter that the SDK is written for.

It takes the places of parts of Python and of componentize-py that are nobody's interface, so another version of either
may have none of them. That must come out when a project is built, not in its jobs.
"""

import asyncio
import logging
import sys
import traceback
import warnings
from asyncio import base_events, events
from typing import Any

import componentize_py_async_support as support
import componentize_py_runtime as runtime

_VERSION = (3, 14)


def check() -> None:
    """Raises unless this is the interpreter that is expected."""
    found = sys.version_info[:2]
    if found != _VERSION:
        raise RuntimeError(
            f"Armada's SDK is written for Python {_text(_VERSION)}, and componentize-py has {_text(found)}: "
            "use the version of componentize-py that Armada installs"
        )
    missing = [f"{_name(owner)}.{name}" for owner, names in _used() for name in names if not hasattr(owner, name)]
    if missing:
        raise RuntimeError(
            f"this version of componentize-py has no {', '.join(missing)}, which Armada's SDK replaces or calls: "
            "use the version of componentize-py that Armada installs"
        )


def _used() -> list[tuple[Any, tuple[str, ...]]]:
    """Whose parts are replaced or called, and which."""
    loop = base_events.BaseEventLoop()
    queues = ("_ready", "_scheduled")
    generators = (
        "_asyncgens",
        "_asyncgens_shutdown_called",
        "_asyncgen_firstiter_hook",
        "_asyncgen_finalizer_hook",
    )
    return [
        (support, ("_loop", "_future_state", "await_result")),
        (runtime, ("call_import", "promise_get_result", "waitable_join", "waitable_set_new")),
        (loop, queues + generators),
        (events, ("_set_running_loop",)),
        (asyncio.tasks, ("_unregister_task",)),
        (asyncio.Handle, ("_run", "_cancelled")),
        (asyncio.TimerHandle, ("_scheduled", "_when")),
        (traceback.StackSummary, ("_extract_from_extended_frame_gen",)),
        (logging, ("_STYLES",)),
        (warnings, ("_warn_unawaited_coroutine",)),
    ]


def _name(owner: Any) -> str:
    return getattr(owner, "__name__", type(owner).__name__)


def _text(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
