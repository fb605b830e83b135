"""What can go wrong, as exceptions.

A host call that does not succeed raises an `Error`; its class says what kind of error it is, its message what to do. A
`Failure` is for scripts to raise: it decides what becomes of the job.
"""

import builtins
from typing import Any

__all__ = [
    "ClosedError",
    "DeniedError",
    "Error",
    "Failure",
    "Fatal",
    "InvalidError",
    "LimitError",
    "NotFoundError",
    "OtherError",
    "OutsideError",
    "Retry",
    "TimeoutError",
    "UnavailableError",
]


class Error(Exception):
    """Why a host call did not do what it was asked."""

    @property
    def message(self) -> str:
        """What happened and what to do about it."""
        return str(self.args[0]) if self.args else ""


class DeniedError(Error, PermissionError):
    """The run was not granted this. The message names the line of configuration that grants it."""


class InvalidError(Error, ValueError):
    """An argument is not valid, or a selector matched more than one element."""


class NotFoundError(Error, LookupError):
    """The named thing does not exist."""


class TimeoutError(Error, builtins.TimeoutError):
    """The time allowed passed. The message says what was waited for and what was seen instead."""


class LimitError(Error):
    """A limit of the run was reached."""


class ClosedError(Error):
    """The page, context or browser is gone."""


class UnavailableError(Error):
    """The host could not do it now; a later attempt may succeed."""


class OtherError(Error):
    """Anything else, such as an exception in a page."""


class OutsideError(Error, RuntimeError):
    """There is no host here: the project is not run by Armada, or a module is only being imported."""


class Failure(Exception):
    """Raise it to say that the job failed. Any other exception says so, too; the classes below say more."""


class Retry(Failure):
    """The job gets another attempt, up to the run's limit: `raise armada.Retry("the shop is busy") from error`."""


class Fatal(Failure):
    """This agent cannot go on: another takes its place, and the job gets another attempt."""


def from_wit(error: Any) -> Error:
    """The exception for an error of the contract."""
    case = type(error).__name__.removeprefix("Error_")
    kind: Any = globals().get(f"{case}Error", OtherError)
    raised: Error = kind(error.value)
    return raised


for _name in __all__:
    # `armada.TimeoutError` is how authors know it, and how tracebacks name it.
    globals()[_name].__module__ = "armada"
