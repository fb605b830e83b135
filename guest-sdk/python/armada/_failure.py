"""What becomes of an exception: the failure of the job, and tracebacks that show an author's code and nobody else's."""

import asyncio
import itertools
import linecache
import sys
import traceback
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any, cast

from wit_world.imports import types as wit

import armada

from . import _results, errors
from ._modules import MODULES

# Whose frames no author wants to see: those of the SDK, and those of what componentize-py makes.
_INTERNAL = ("armada", "src", "wit_world", "componentize_py_async_support", "componentize_py_types")
_MOST_PLACES = 32
# How many exceptions of a group are told of.
_MOST_INSIDE = 3


def is_internal(frame: FrameType) -> bool:
    """Whether a frame is of the SDK or generated."""
    if MODULES.is_own(frame.f_code.co_filename):
        return False
    return str(frame.f_globals.get("__name__", "")).split(".")[0] in _INTERNAL


def install() -> None:
    """Has every traceback that Python formats leave out what is internal."""
    summary: Any = traceback.StackSummary
    extract = summary._extract_from_extended_frame_gen.__func__

    def visible(frames: Iterator[Any]) -> Iterator[Any]:
        return ((frame, place) for frame, place in frames if not is_internal(frame))

    def extract_visible(cls: Any, /, frames: Iterator[Any], **options: Any) -> Any:
        return extract(cls, visible(frames), **options)

    summary._extract_from_extended_frame_gen = classmethod(extract_visible)


def failure_of(error: BaseException, raised: BaseException) -> wit.Failure:
    """The failure of the job that ended because of `error`, when `raised` came out of it."""
    kind = wit.FailureKind.FAILED
    if isinstance(error, errors.Retry):
        kind = wit.FailureKind.RETRY
    elif isinstance(error, errors.Fatal):
        kind = wit.FailureKind.FATAL
    return wit.Failure(
        kind, _results.text(message_of(error)), _results.text("\n".join(places(error) or places(raised)))
    )


def message_of(error: BaseException) -> str:
    """An exception in words: its own, then those of what it was raised from."""
    if isinstance(error, SystemExit):
        return f"the script called sys.exit({error.code!r})"
    first, *causes = (_one(one) for one in _chain(error))
    return "\n".join([first, *(f"caused by {cause}" for cause in causes)])


def _chain(error: BaseException) -> list[BaseException]:
    """An exception, and what it was raised from."""
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and all(cause is not one for one in chain):
        chain.append(cause)
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
        if isinstance(chain[-1], TimeoutError) and isinstance(cause, asyncio.CancelledError):
            # That is how `asyncio.timeout` ends what takes too long.
            break
    return chain


def _one(error: BaseException) -> str:
    if isinstance(error, errors.Failure):
        return str(error) or type(error).__name__
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg}"
    text = "".join(traceback.format_exception_only(error)).strip()
    if isinstance(error, ImportError) and error.name_from and not MODULES.is_own(error.path or ""):
        # Where the SDK and the standard library are is no place that an author could look at.
        return _elsewhere(error) or text.replace(f" ({error.path})", "")
    inner = "; ".join(_one(one) for one in _inside(error)[:_MOST_INSIDE])
    return f"{text}: {inner}" if inner else text


def _elsewhere(error: ImportError) -> str | None:
    """What the SDK says of a name that was imported from it and is in one of its modules."""
    if error.name == armada.__name__:
        try:
            getattr(armada, error.name_from or "")
        except AttributeError as elsewhere:
            if elsewhere.obj is armada:
                return f"ImportError: {elsewhere}"
    return None


def places(error: BaseException) -> list[str]:
    """Where it happened, in the author's own files, innermost place first; then where what it was raised from happened,
    after a line that says what that was."""
    first, *causes = _chain(error)
    found = _places(first)
    for cause in causes:
        found += _under(f"caused by {_first_line(cause)}", _places(cause))
    return found[:_MOST_PLACES]


def _under(title: str, places: list[str]) -> list[str]:
    return [title, *places] if places else []


def _places(error: BaseException) -> list[str]:
    places: list[str] = []
    if isinstance(error, SyntaxError) and error.filename and MODULES.is_own(error.filename):
        places.append(f"{error.filename}:{error.lineno}:{error.offset or 1}")
    inside = _inside(error)[:_MOST_INSIDE]
    for inner in inside:
        places += _places(inner) if len(inside) == 1 else _under(f"in a task: {_first_line(inner)}", _places(inner))
    own = [frame for frame in _frames(error.__traceback__) if MODULES.is_own(frame[0])]
    if own and len(inside) > 1:
        places.append("around the tasks:")
    # What calls itself is told once.
    for (file, line, name), again in itertools.groupby(reversed(own)):
        text = linecache.getline(file, line).strip()
        where = "" if name == "<module>" else f" in {name}"
        times = len(list(again))
        places.append(
            f"{file}:{line}{where}" + (f": {text}" if text else "") + (f" ({times} times)" if times > 1 else "")
        )
    return places


def _first_line(error: BaseException) -> str:
    return _one(error).partition("\n")[0]


def _inside(error: BaseException) -> tuple[BaseException, ...]:
    """The exceptions of a group."""
    group = cast("BaseExceptionGroup[BaseException]", error)
    return group.exceptions if isinstance(error, BaseExceptionGroup) else ()


def _frames(tb: TracebackType | None) -> Iterator[tuple[str, int, str]]:
    while tb is not None:
        code = tb.tb_frame.f_code
        linecache.lazycache(code.co_filename, tb.tb_frame.f_globals)
        yield code.co_filename, tb.tb_lineno or 0, code.co_qualname.replace("<locals>.", "")
        tb = tb.tb_next


def report_unraisable(unraisable: Any) -> None:
    """What `sys.unraisablehook` does: the exception, in the log."""
    traceback.print_exception(unraisable.exc_value, file=sys.stderr)
