"""How one test runs: it is set up, called and torn down, and each of these is reported."""

import inspect
import json
from collections.abc import Iterator
from typing import Any

import pytest
from _pytest.skipping import Xfail, evaluate_skip_marks, evaluate_xfail_marks

from .._lifecycle import Life
from .._loop import LOOP
from .._project import Project
from ..contexts import Message
from . import reporting
from .collecting import Collection, Test
from .fixtures import Values
from .pytest_parts import CONFIG

# The key of a job message that names the test.
_TEST = "armada_test"


class TestLife(Life):
    """An agent whose jobs are tests. Contexts are opened by the tests that want them."""

    __test__ = False

    def __init__(self, project: Project, collection: Collection) -> None:
        super().__init__(project)
        self._collection = collection
        self._agent_message = Message({})

    async def _open(self, message: Message) -> None:
        self._agent_message = message

    async def _run(self, message: Message) -> str:
        asked = message.pop(_TEST)
        CONFIG.verbosity = asked["verbosity"]
        test = self._collection.tests[asked["id"]]
        given = {
            "armada_project": self._project,
            "agent_message": self._agent_message,
            "job_message": message,
        }
        return json.dumps({"reports": await run(test, given)})


async def run(test: Test, given: dict[str, Any]) -> list[dict[str, Any]]:
    """Runs a test; gives what is to be reported."""
    instance = test.cls() if test.cls is not None else None
    values = Values(test, instance, given)
    reports: list[dict[str, Any]] = []
    expected: Xfail | None = None
    when = "setup"
    try:
        item: Any = test
        skipped = evaluate_skip_marks(item)
        if skipped is not None:
            pytest.skip(skipped.reason)
        expected = evaluate_xfail_marks(item)
        if expected is not None and not expected.run:
            pytest.xfail(f"[NOTRUN] {expected.reason}")
        for name, argument in _xunit_functions(test, instance):
            await _set_up(name, argument, test, instance, values)
        for name in test.fixturenames:
            await values.get(name)
        arguments = {name: await values.get(name) for name in test.argnames}
        when = "call"
        called = _function(test, instance)(**arguments)
        if inspect.isawaitable(called):
            await called
        reports.append(_passed(expected))
    except BaseException as raised:
        error = LOOP.interruption or raised
        reports.append(_judged(when, error, test, expected))
    wrong = await values.unmake()
    if wrong is not None:
        reports.append(reporting.failure("teardown", wrong, test))
    return reports


def _function(test: Test, instance: Any) -> Any:
    """What is called: of a method, the one of the instance."""
    name = test.function.__name__
    return getattr(instance, name) if instance is not None and hasattr(instance, name) else test.function


def _passed(expected: Xfail | None) -> dict[str, Any]:
    """The report of a test that raised nothing."""
    if expected is None:
        return reporting.report("call", "passed")
    if expected.strict:
        message = f"[XPASS(strict)] {expected.reason}".rstrip()
        return reporting.report("call", "failed", message, message)
    return reporting.report("call", "xpassed", expected.reason)


def _judged(when: str, error: BaseException, test: Test, expected: Xfail | None) -> dict[str, Any]:
    """The report of a test that raised this."""
    if isinstance(error, pytest.xfail.Exception):
        return reporting.report(when, "xfailed", str(error.msg))
    if isinstance(error, pytest.skip.Exception):
        return reporting.report(when, "skipped", str(error.msg))
    if expected is not None and (expected.raises is None or _matches(expected.raises, error)):
        return reporting.report(when, "xfailed", expected.reason)
    return reporting.failure(when, error, test)


def _matches(raises: Any, error: BaseException) -> bool:
    # Exceptions, or what says of one whether it is meant (`pytest.RaisesGroup`).
    return bool(raises.matches(error)) if hasattr(raises, "matches") else isinstance(error, raises)


def _xunit_functions(test: Test, instance: Any) -> Iterator[tuple[str, Any]]:
    """The functions that prepare tests by their names, outermost first, with what they may take."""
    yield "module", test.module
    if instance is None:
        yield "function", test.function
    else:
        yield "class", test.cls
        yield "method", test.function


async def _set_up(name: str, argument: Any, test: Test, instance: Any, values: Values) -> None:
    """Calls `setup_…` now, and `teardown_…` after the test."""
    holder = test.module if instance is None or name == "module" else instance

    async def call(part: str) -> None:
        function = getattr(holder, f"{part}_{name}", None)
        if function is None or not callable(function):
            return
        takes = [one for one in inspect.signature(function).parameters.values() if one.default is one.empty]
        called = function(argument) if takes else function()
        if inspect.isawaitable(called):
            await called

    await call("setup")
    values.finalizers.append(lambda: call("teardown"))
