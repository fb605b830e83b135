"""What a script prints and logs becomes the job's log: `print` as information, standard error as warnings, `logging`
with the levels that it has."""

import logging
import sys
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, TextIO, cast

from wit_world.imports import monitoring as wit

from ._loop import LOOP

if TYPE_CHECKING:
    _Handler = logging.StreamHandler[TextIO]
else:
    _Handler = logging.StreamHandler

_write = _Handler.emit


def install() -> None:
    """Prepares the streams and `logging`."""
    for stream in (sys.stdout, sys.stderr):
        # A line is one write. What has no end yet waits for it, or for the end of the job.
        cast(TextIOWrapper, stream).reconfigure(line_buffering=True, write_through=False)
    # Whether or not a script calls `logging.basicConfig`: levels reach the log as they are.
    handler, module = cast(Any, _Handler), cast(Any, logging)
    handler.emit = _emit
    module._STYLES["%"] = (logging.PercentStyle, "%(message)s")
    logging.root.setLevel(logging.INFO)
    if logging.lastResort is not None:
        logging.lastResort.setLevel(logging.NOTSET)


def flush() -> None:
    """Writes what waits for the end of its line."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()


def _emit(handler: "_Handler", record: logging.LogRecord) -> None:
    if not LOOP.is_entered or handler.stream not in (sys.stdout, sys.stderr):
        _write(handler, record)
        return
    try:
        wit.log(_level(record.levelno), handler.format(record))
    except Exception:
        handler.handleError(record)


def _level(number: int) -> wit.LogLevel:
    if number >= logging.ERROR:
        return wit.LogLevel.ERROR
    if number >= logging.WARNING:
        return wit.LogLevel.WARNING
    return wit.LogLevel.INFO if number >= logging.INFO else wit.LogLevel.DEBUG
