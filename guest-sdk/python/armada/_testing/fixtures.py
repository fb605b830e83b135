"""Fixtures: what tests are given, by the names of their parameters.

Each test has fixtures of its own, whatever their scope: tests run in instances of their own, several at a time, so there is
nothing that could be shared.
"""

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from _pytest.compat import getfuncargnames
from _pytest.fixtures import FixtureFunctionDefinition

if TYPE_CHECKING:
    from .collecting import Test

# Fixtures of pytest that cannot be here, and why.
_NOT_HERE = dict.fromkeys(("tmp_path", "tmp_path_factory", "tmpdir", "tmpdir_factory"), "the sandbox has no files") | {
    "capfd": "the sandbox has no file descriptors: capsys is there",
    "pytester": "the sandbox runs no other program",
}


@dataclass(frozen=True, eq=False)
class Fixture:
    """A fixture as it is defined."""

    name: str
    function: Callable[..., Any]
    argnames: tuple[str, ...]
    scope: str
    params: tuple[Any, ...] | None
    ids: Any
    autouse: bool
    cls: type | None

    def bound(self, instance: Any) -> Callable[..., Any]:
        """Its function, as a method of the test's instance if it is defined in a class."""
        is_method = self.cls is not None and isinstance(instance, self.cls)
        bound: Callable[..., Any] = self.function.__get__(instance) if is_method else self.function
        return bound


Fixtures = dict[str, list[Fixture]]
"""All that are defined for a test, by name; of one name, the last stands in for those before it."""


def fixtures_in(holder: Any, above: Fixtures) -> Fixtures:
    """The fixtures that a module or a class defines, and those above."""
    found = {name: list(defined) for name, defined in above.items()}
    for name in dir(holder):
        definition = inspect.getattr_static(holder, name, None)
        if isinstance(definition, FixtureFunctionDefinition):
            fixture = _fixture(definition, holder if inspect.isclass(holder) else None)
            found.setdefault(fixture.name, []).append(fixture)
    return found


def _fixture(definition: Any, cls: type | None) -> Fixture:
    marker, function = definition._fixture_function_marker, definition._fixture_function
    return Fixture(
        name=definition.name,
        function=function,
        argnames=getfuncargnames(function, name=function.__name__, cls=cls),
        scope=marker.scope if isinstance(marker.scope, str) else "function",
        params=marker.params,
        ids=marker.ids,
        autouse=marker.autouse,
        cls=cls,
    )


class FixtureError(Exception):
    """A fixture that there is not."""


class Request:
    """What fixtures are given as `request`."""

    def __init__(self, values: "Values", fixture: Fixture | None) -> None:
        self._values = values
        self._fixture = fixture
        test = values.test
        self.node = test
        self.config = test.config
        self.function = test.function
        self.cls = test.cls
        self.module = test.module
        self.instance = values.instance
        self.fixturename = fixture.name if fixture is not None else None
        self.fixturenames = test.fixturenames
        self.scope = "function"
        self.keywords = {mark.name: mark for mark in test.marks}
        if fixture is not None and fixture.name in test.parameters.of_fixtures:
            self.param = test.parameters.of_fixtures[fixture.name]

    def addfinalizer(self, finalizer: Callable[[], object]) -> None:
        """Has this called after the test."""
        self._values.finalizers.append(finalizer)

    def getfixturevalue(self, argname: str) -> Any:
        """The value of a fixture, by its name: of one that need not wait for anything."""
        making = self._values.get(argname, self._fixture)
        try:
            making.send(None)
        except StopIteration as made:
            return made.value
        making.close()
        raise FixtureError(f"fixture '{argname}' waits for something: name it as a parameter")


class Values:
    """The values of a test's fixtures, made when they are first asked for, and unmade after the test."""

    def __init__(self, test: "Test", instance: Any, given: dict[str, Any]) -> None:
        self.test = test
        self.instance = instance
        self.finalizers: list[Callable[[], object]] = []
        self.given = given
        self._made: dict[Fixture, Any] = {}
        self._making: list[Fixture] = []

    async def get(self, name: str, asking: Fixture | None = None) -> Any:
        """The value of a fixture. One that asks for its own name is given the one that it stands in for."""
        if name == "request":
            return Request(self, asking)
        if name in self.given:
            return self.given[name]
        if name in self.test.parameters.values:
            return self.test.parameters.values[name]
        defined = self.test.fixtures.get(name, [])
        if asking is not None and asking in defined:
            defined = defined[: defined.index(asking)]
        if not defined:
            raise FixtureError(self._not_found(name))
        fixture = defined[-1]
        if fixture in self._making:
            raise FixtureError(f"recursive dependency involving fixture '{name}' detected")
        if fixture not in self._made:
            self._making.append(fixture)
            try:
                arguments = {argument: await self.get(argument, fixture) for argument in fixture.argnames}
                self._made[fixture] = await self._make(fixture, arguments)
            finally:
                self._making.remove(fixture)
        return self._made[fixture]

    async def _make(self, fixture: Fixture, arguments: dict[str, Any]) -> Any:
        function = fixture.bound(self.instance)
        made = function(**arguments)
        if inspect.isasyncgenfunction(function):
            value = await anext(made)

            async def unmake_later() -> None:
                if await anext(made, self) is not self:
                    raise FixtureError(f"fixture '{fixture.name}' yields more than once")

            self.finalizers.append(unmake_later)
            return value
        if inspect.isgeneratorfunction(function):
            value = next(made)

            def unmake() -> None:
                if next(made, self) is not self:
                    raise FixtureError(f"fixture '{fixture.name}' yields more than once")

            self.finalizers.append(unmake)
            return value
        return await made if inspect.iscoroutinefunction(function) else made

    async def unmake(self) -> BaseException | None:
        """Ends what the fixtures have begun, the last one first; gives what went wrong."""
        wrong: list[BaseException] = []
        while self.finalizers:
            try:
                ended = self.finalizers.pop()()
                if isinstance(ended, Awaitable):
                    await ended
            except BaseException as error:
                wrong.append(error)
        if len(wrong) > 1:
            return BaseExceptionGroup("errors while fixtures were ended", wrong)
        return wrong[0] if wrong else None

    def _not_found(self, name: str) -> str:
        if name in _NOT_HERE:
            return f"fixture '{name}' is not available: {_NOT_HERE[name]}"
        available = ", ".join(sorted(self.test.fixtures))
        return f"fixture '{name}' not found\navailable fixtures: {available}"
