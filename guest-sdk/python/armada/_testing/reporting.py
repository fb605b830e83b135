"""What is told of a test that did not pass, in the way of pytest."""

import inspect
import io
from typing import Any

import pytest
from _pytest._code.code import ExceptionInfo, Traceback, TracebackEntry
from _pytest._io import TerminalWriter

from .. import _failure
from .._modules import MODULES
from .fixtures import FixtureError

# How much of one failure is told, in characters.
_MOST = 100_000
# How wide lines between the entries of a traceback are.
_WIDTH = 80


def report(when: str, outcome: str, message: str = "", text: str = "") -> dict[str, Any]:
    """What became of a part of a test: its setup, its call, or its teardown."""
    return {"when": when, "outcome": outcome, "message": message, "text": text}


def failure(when: str, error: BaseException, test: Any = None) -> dict[str, Any]:
    """The report of an exception."""
    if isinstance(error, FixtureError) and test is not None:
        text = _missing_fixture(error, test)
        return report(when, "failed", str(error).partition("\n")[0], text)
    kind: Any = ExceptionInfo
    info: ExceptionInfo[BaseException] = kind.from_exception(error)
    is_silent = isinstance(error, pytest.fail.Exception) and not error.pytrace
    told = info.getrepr(style="value" if is_silent else "long", funcargs=True, tbfilter=_own)
    text = _text(told)
    if isinstance(error, SyntaxError) or not any(_is_own(entry) for entry in info.traceback):
        # The place is in what it says of itself, or there is none.
        text = "\n".join(f"E   {line}" for line in info.exconly().splitlines())
    crash = getattr(told, "reprcrash", None)
    message = (crash.message if crash is not None else info.exconly()) or type(error).__name__
    if isinstance(error, SyntaxError):
        message = f"{type(error).__name__}: {error.msg}"
    return report(when, "failed", message[:_MOST], text[:_MOST])


def _text(told: Any) -> str:
    text = io.StringIO()
    writer = TerminalWriter(text)
    writer.fullwidth = _WIDTH
    told.toterminal(writer)
    return text.getvalue().strip("\n")


def _own(info: ExceptionInfo[BaseException]) -> Traceback:
    """The author's part of a traceback: the first and the last entry whole, of those between them a line."""
    entries = info.traceback.filter(_is_own).filter(info) or info.traceback.filter(_is_visible)
    if len(entries) > 2:
        between = (entry.with_repr_style("short") for entry in entries[1:-1])
        return Traceback([entries[0], *between, entries[-1]])
    return entries


def _is_own(entry: TracebackEntry) -> bool:
    return MODULES.is_own(entry.frame.code.raw.co_filename)


def _is_visible(entry: TracebackEntry) -> bool:
    return not _failure.is_internal(entry.frame.raw)


def _missing_fixture(error: FixtureError, test: Any) -> str:
    file, line = test.place
    try:
        source, first = inspect.getsourcelines(test.function)
    except OSError:
        source, first = [], line
    lines = [f"file {file}, line {first}"]
    for one in source:
        lines.append(f"  {one.rstrip()}")
        if one.lstrip().startswith(("def ", "async def ")):
            break
    first_line, *others = str(error).splitlines()
    lines += [f"E       {first_line}", *(f">       {other}" for other in others), "", f"{file}:{first}"]
    return "\n".join(lines)
