"""A project as its author wrote it: a script, an agent context and a job context, in the ways in which these may be
written."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from . import contexts


class ProjectError(Exception):
    """A part of the project is not what it must be."""

    def __init__(self, place: str, message: str) -> None:
        super().__init__(message)
        self.place = place


@dataclass
class Project:
    """What a component calls."""

    script: Callable[[Any, Any], Any]
    agent_context: Callable[[Any], Any]
    job_context: Callable[[Any], Any]


def find_project(modules: dict[str, Any]) -> Project:
    """The parts of a project, in its modules."""
    return Project(
        _part(modules, "ctx_script", "ctx_script", None),
        _part(modules, "ctx_agent_context", "AgentContext", contexts.Agent),
        _part(modules, "ctx_job_context", "JobContext", contexts.Job),
    )


def _part(modules: dict[str, Any], module: str, name: str, default: Any) -> Any:
    if module not in modules:
        return default
    part = getattr(modules[module], name, None)
    arguments = (None, None) if default is None else (None,)
    if part is None:
        wanted = "a function `async def ctx_script(job_ctx, agent_ctx)`" if default is None else f"a class `{name}`"
        raise ProjectError(f"{module}.py:1", f"this does not define {wanted}")
    try:
        inspect.signature(part).bind(*arguments)
    except TypeError:
        takes = "job_ctx and agent_ctx" if default is None else "one argument, its message"
        code = getattr(part, "__code__", None) or getattr(getattr(part, "__init__", None), "__code__", None)
        line = code.co_firstlineno if code is not None else 1
        raise ProjectError(f"{module}.py:{line}", f"`{name}` must take {takes}") from None
    except ValueError:
        pass
    return part


class Opened:
    """A context that has been entered."""

    def __init__(self, made: Any, entered: Any) -> None:
        self._made = made
        self.context = made if entered is None else entered

    async def close(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Leaves it; gives whether it takes care of the exception."""
        leave = getattr(self._made, "__aexit__", None) or getattr(self._made, "__exit__", None)
        return False if leave is None else bool(await _awaited(leave(kind, error, trace)))


async def enter(make: Callable[[Any], Any], message: "contexts.Message", given: dict[str, Any]) -> Opened:
    """Makes a context of its message and enters it. `given` is what it has unless it says otherwise."""
    cls: Any = make
    made: Any
    if isinstance(make, type) and cls.__new__ is object.__new__:
        # Its `__init__` may use what it is given already.
        made = cls.__new__(cls)
        _give(made, given)
        made.__init__(message)
    else:
        made = make(message)
    _give(made, given)
    # As the reference has it: asynchronous, synchronous, or neither but for its parts.
    for name in ("__aenter__", "__enter__", "instantiate_default"):
        enter = getattr(made, name, None)
        if enter is not None:
            entered = await _awaited(enter())
            return Opened(made, entered if name != "instantiate_default" else None)
    return Opened(made, None)


def _give(made: Any, given: dict[str, Any]) -> None:
    for name, value in given.items():
        if not hasattr(made, name):
            try:
                setattr(made, name, value)
            except AttributeError:
                # It has no place for it, so it does not want it.
                pass


async def call(function: Callable[..., Any], *arguments: Any) -> Any:
    """Calls what may be an async function or not."""
    return await _awaited(function(*arguments))


async def _awaited(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value
