"""Warnings, as lines of the log: each is one line that names an author's place, or none.

The most common one is of a coroutine that nobody awaited. Python gives it wherever the coroutine happens to be let go
of; here it has the line that made it.
"""

import sys
import warnings
from typing import Any

from ._modules import MODULES

# How many of its callers a coroutine remembers: an author's may be behind a few of the SDK.
_DEPTH = 4
# Which warnings were given already, by file, as `warnings` keeps them.
_given: dict[str, dict[Any, Any]] = {}


def install() -> None:
    """From here on, warnings look like this."""
    sys.set_coroutine_origin_tracking_depth(_DEPTH)
    module: Any = warnings
    module.formatwarning = _format
    module._warn_unawaited_coroutine = _warn_unawaited


def _format(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    is_known = MODULES.is_own(filename) or filename.startswith("packages/")
    place = f"{filename}:{lineno}: " if is_known else ""
    return f"{place}{category.__name__}: {message}\n"


def _warn_unawaited(coroutine: Any) -> None:
    """What the interpreter calls when a coroutine is let go of that has not begun."""
    name = coroutine.__qualname__.replace("<locals>.", "")
    message = f"coroutine {name!r} was never awaited: is `await` missing?"
    for file, line, _ in coroutine.cr_origin or ():
        if MODULES.is_own(file):
            warnings.warn_explicit(message, RuntimeWarning, file, line, registry=_given.setdefault(file, {}))
            return
    warnings.warn(message, RuntimeWarning, stacklevel=2)
