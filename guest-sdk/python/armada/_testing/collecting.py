"""Which tests there are: the functions and methods of `tests/`, by pytest's rules."""

import importlib
import inspect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pytest
from _pytest.compat import getfuncargnames
from _pytest.mark.structures import Mark
from _pytest.stash import Stash

from .._modules import MODULES
from . import builtin_fixtures, reporting
from .fixtures import Fixture, Fixtures, fixtures_in
from .pytest_parts import CONFIG, compile_test, fixture_sets, install, marks_in, marks_of, parameter_sets

FOLDER = "tests"
_SCOPES = ["session", "package", "module", "class", "function"]


class CollectError(Exception):
    """A test that cannot be made sense of."""


@dataclass
class Parameters:
    """What one of the tests that a function stands for is given."""

    ids: list[str] = field(default_factory=list[str])
    values: dict[str, Any] = field(default_factory=dict[str, Any])
    """The values of parameters."""
    of_fixtures: dict[str, Any] = field(default_factory=dict[str, Any])
    """What fixtures have as `request.param`."""
    marks: list[Mark] = field(default_factory=list[Mark])


@dataclass
class Test:
    """A test. It has what pytest's parts ask of an item, too."""

    nodeid: str
    name: str
    function: Any
    module: ModuleType
    cls: type | None
    fixtures: Fixtures
    """Those that are defined for it, by name."""
    fixturenames: list[str]
    """Those that it is given, in the order in which they are made."""
    argnames: tuple[str, ...]
    marks: list[Mark]
    parameters: Parameters
    stash: Stash = field(default_factory=Stash)
    config: Any = CONFIG

    def iter_markers(self, name: str | None = None) -> Iterator[Mark]:
        """Its marks, the closest first."""
        return (mark for mark in self.marks if name is None or mark.name == name)

    def get_closest_marker(self, name: str, default: Mark | None = None) -> Mark | None:
        """The closest mark of a name."""
        return next(self.iter_markers(name), default)

    @property
    def obj(self) -> Any:
        """What pytest calls the function."""
        return self.function

    @property
    def ihook(self) -> Any:
        """The hooks of pytest: there are none."""
        return self

    def pytest_markeval_namespace(self, config: Any) -> list[Any]:
        """What conditions may name in addition."""
        return []

    @property
    def place(self) -> tuple[str, int]:
        """Where it is written."""
        code = getattr(inspect.unwrap(self.function), "__code__", None)
        return (code.co_filename, code.co_firstlineno) if code is not None else (self.nodeid.split("::")[0], 1)


@dataclass
class Collection:
    """The tests, and what is told of them."""

    tests: dict[str, Test] = field(default_factory=dict[str, Test])
    listing: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def add(self, test: Test) -> None:
        """Adds a test."""
        self.tests[test.nodeid] = test
        marks = list(dict.fromkeys(mark.name for mark in test.marks))
        self.listing.append({"id": test.nodeid, "line": test.place[1], "marks": marks})

    def import_module(self, name: str, file: str) -> ModuleType | None:
        """Imports a module of tests. What goes wrong is told, and the others are collected all the same."""
        try:
            return importlib.import_module(name)
        except pytest.skip.Exception as skipped:
            self.listing.append({"id": file, "skipped": str(skipped)})
        except BaseException as error:
            self.listing.append({"id": file, "error": reporting.failure("collect", error)})
        return None


def collect(folder: str) -> Collection:
    """Collects the tests that are in a folder."""
    install()
    # Modules beside the tests can be imported by their own names, as pytest has it.
    MODULES.add(folder, f"{FOLDER}/", own=True)
    MODULES.compile_tests = compile_test
    collection = Collection()
    conftests = {"": fixtures_in(builtin_fixtures, {})}
    names = {file: name for name, file in MODULES.own_files()}
    for file in sorted(names, key=lambda file: file.split("/")):
        folders, _, last = file.rpartition("/")
        if last == "conftest.py":
            module = collection.import_module(_name(file), file)
            if module is not None:
                conftests[folders] = fixtures_in(module, _above(conftests, folders))
    for file in sorted(names, key=lambda file: file.split("/")):
        folders, _, last = file.rpartition("/")
        is_test = last.startswith("test_") or last.endswith("_test.py")
        if f"{folders}/".startswith(f"{FOLDER}/") and is_test:
            module = collection.import_module(_name(file), file)
            if module is not None:
                try:
                    _collect_module(collection, file, module, fixtures_in(module, _above(conftests, folders)))
                except BaseException as error:
                    collection.listing.append({"id": file, "error": reporting.failure("collect", error)})
    return collection


def _name(file: str) -> str:
    return file.removesuffix(".py").replace("/", ".")


def _above(conftests: dict[str, Fixtures], folder: str) -> Fixtures:
    """The fixtures of the closest conftest.py."""
    while folder not in conftests:
        folder = folder.rpartition("/")[0]
    return conftests[folder]


def _collect_module(collection: Collection, file: str, module: ModuleType, fixtures: Fixtures) -> None:
    for name, value in list(vars(module).items()):
        if _is_class(name, value):
            _collect_class(collection, f"{file}::{name}", module, [value], fixtures)
        elif _is_function(name, value):
            _collect_function(collection, file, name, value, module, [], fixtures)


def _collect_class(
    collection: Collection, above: str, module: ModuleType, classes: list[type], fixtures: Fixtures
) -> None:
    """Collects the methods of a class: the first of those that are inside one another."""
    cls = classes[0]
    fixtures = fixtures_in(cls, fixtures)
    names = dict.fromkeys(name for base in reversed(cls.__mro__) for name in vars(base))
    for name in names:
        value: Any = inspect.getattr_static(cls, name)
        # Of a static method or a class method, the function in it.
        value = getattr(value, "__func__", value)
        if _is_class(name, value):
            _collect_class(collection, f"{above}::{name}", module, [value, *classes], fixtures)
        elif _is_function(name, value):
            _collect_function(collection, above, name, value, module, classes, fixtures)


def _is_class(name: str, value: Any) -> bool:
    # One with an `__init__` of its own cannot be made without knowing what it wants.
    return (
        inspect.isclass(value) and name.startswith("Test") and _is_wanted(value) and value.__init__ is object.__init__
    )


def _is_function(name: str, value: Any) -> bool:
    return inspect.isfunction(value) and name.startswith("test") and _is_wanted(value)


def _is_wanted(value: Any) -> bool:
    return getattr(value, "__test__", True) is not False


def _collect_function(
    collection: Collection,
    above: str,
    name: str,
    function: Any,
    module: ModuleType,
    classes: list[type],
    fixtures: Fixtures,
) -> None:
    cls = classes[0] if classes else None
    argnames = getfuncargnames(function, name=name, cls=cls)
    marks = marks_of(function, *classes, module)
    nodeid = f"{above}::{name}"
    wanted = [
        *_autouse(fixtures),
        *(name for mark in marks if mark.name == "usefixtures" for name in mark.args),
        *argnames,
    ]
    all_parameters = [Parameters()]
    for mark in marks:
        if mark.name == "parametrize":
            all_parameters = list(_with_mark(all_parameters, mark, function, nodeid, wanted, fixtures))
    direct = set(all_parameters[0].values) if all_parameters else set[str]()
    names = _closure(wanted, fixtures, direct)
    for one in names:
        fixture = fixtures[one][-1] if one in fixtures else None
        if fixture is not None and fixture.params is not None:
            all_parameters = list(_with_fixture(all_parameters, fixture))
    for parameters in all_parameters:
        suffix = f"[{'-'.join(parameters.ids)}]" if parameters.ids else ""
        collection.add(
            Test(
                nodeid=nodeid + suffix,
                name=name + suffix,
                function=function,
                module=module,
                cls=cls,
                fixtures=fixtures,
                fixturenames=names,
                argnames=argnames,
                marks=[*parameters.marks, *marks],
                parameters=parameters,
            )
        )


def _autouse(fixtures: Fixtures) -> list[str]:
    return [name for name, defined in fixtures.items() if defined[-1].autouse]


def _closure(wanted: Iterable[str], fixtures: Fixtures, direct: set[str]) -> list[str]:
    """The names of all fixtures that are needed, those of wider scopes first."""
    found: dict[str, None] = {}

    def add(name: str, definitions: list[Fixture]) -> None:
        found[name] = None
        if name in direct or not definitions:
            return
        for argument in definitions[-1].argnames:
            if argument == name:
                # The fixture of the same name that this one stands in for.
                add(name, definitions[:-1])
            elif argument not in found:
                add(argument, fixtures.get(argument, []))

    for name in wanted:
        if name not in found:
            add(name, fixtures.get(name, []))
    found.pop("request", None)

    def width(name: str) -> int:
        defined = fixtures.get(name)
        return _SCOPES.index(defined[-1].scope) if defined and name not in direct else len(_SCOPES)

    return sorted(found, key=width)


def _with_mark(
    all_parameters: list[Parameters], mark: Mark, function: Any, nodeid: str, wanted: list[str], fixtures: Fixtures
) -> Iterator[Parameters]:
    names, sets, ids, indirect = parameter_sets(mark, function, nodeid)
    unknown = [name for name in names if name not in _closure(wanted, fixtures, set())]
    if unknown:
        raise CollectError(f"In {nodeid}: function uses no argument {unknown[0]!r}")
    is_indirect = [indirect is True or (indirect is not False and name in indirect) for name in names]
    for before in all_parameters:
        for one, one_id in zip(sets, ids, strict=True):
            given = list(zip(names, one.values, is_indirect, strict=True))
            yield Parameters(
                ids=[*before.ids, one_id] if isinstance(one_id, str) else before.ids,
                values={**before.values, **{name: value for name, value, away in given if not away}},
                of_fixtures={**before.of_fixtures, **{name: value for name, value, away in given if away}},
                marks=[*marks_in(one.marks), *before.marks],
            )


def _with_fixture(all_parameters: list[Parameters], fixture: Fixture) -> Iterator[Parameters]:
    sets, ids = fixture_sets(fixture.name, fixture.params or (), fixture.ids)
    for before in all_parameters:
        if fixture.name in before.of_fixtures or fixture.name in before.values:
            yield before
            continue
        for one, one_id in zip(sets, ids, strict=True):
            yield Parameters(
                ids=[*before.ids, one_id] if isinstance(one_id, str) else before.ids,
                values=before.values,
                of_fixtures={**before.of_fixtures, fixture.name: one.values[0]},
                marks=[*marks_in(one.marks), *before.marks],
            )
