"""What pytest's own parts need in order to work without its runner.

They ask a configuration for settings and an item for its marks; both are small here. Everything that depends on how a version
of pytest is made inside is in this folder, and that version is pinned by whoever builds the component.
"""

# pyright: reportPrivateUsage=false

import ast
import sys
from collections.abc import Callable, Iterable
from types import CodeType, ModuleType, SimpleNamespace
from typing import Any

import pytest
from _pytest.assertion import pytest_assertrepr_compare, util
from _pytest.assertion.rewrite import rewrite_asserts
from _pytest.mark.structures import Mark, ParameterSet, get_unpacked_marks
from _pytest.python import IdMaker

# The settings that are asked for and have a value; all others are not set.
_SETTINGS = {"assertion_text_diff_style": "ndiff", "empty_parameter_set_mark": "skip"}


def _has_plugin(name: str) -> bool:
    return False


class Config:
    """A configuration in which nothing is set."""

    def __init__(self) -> None:
        self.option = SimpleNamespace(runxfail=False)
        self.pluginmanager = SimpleNamespace(has_plugin=_has_plugin)
        self.verbosity = 0

    def getini(self, name: str) -> Any:
        """A setting of a file."""
        return _SETTINGS.get(name)

    def getoption(self, name: str, default: Any = None, skip: bool = False) -> Any:
        """A setting of the command line."""
        return default

    def get_verbosity(self, kind: str | None = None) -> int:
        """How much is told."""
        return self.verbosity


CONFIG: Any = Config()


def install() -> None:
    """Has failed assertions say what they compared, and gives `pytest_asyncio` a meaning where it is not installed: every test
    may be asynchronous here."""

    def compare(operator: str, left: object, right: object) -> str | None:
        lines = pytest_assertrepr_compare(CONFIG, operator, left, right)
        if not lines:
            return None
        # As the rewritten assertion wants it: lines joined by this, and ready for `%`.
        return "\n~".join(line.replace("\n", "\\n") for line in lines).replace("%", "%%")

    util._reprcompare = compare
    util._config = CONFIG
    sys.modules.setdefault("pytest_asyncio", _pytest_asyncio())


def _pytest_asyncio() -> ModuleType:
    def fixture(function: Callable[..., Any] | None = None, *, loop_scope: str | None = None, **options: Any) -> Any:
        make: Any = pytest.fixture
        return make(**options) if function is None else make(function)

    module = ModuleType("pytest_asyncio")
    module.fixture = fixture  # type: ignore[attr-defined]
    return module


def compile_test(source: bytes, file: str) -> CodeType:
    """Compiles a module of tests, whose assertions say what they compared when they fail."""
    tree = ast.parse(source, filename=file)
    rewrite_asserts(tree, source, file)
    code: CodeType = compile(tree, file, "exec", dont_inherit=True)
    return code


def marks_of(*owners: Any) -> list[Mark]:
    """The marks of a test, from the closest owner to the farthest."""
    return [mark for owner in owners for mark in get_unpacked_marks(owner)]


def marks_in(marks: Iterable[Any]) -> list[Mark]:
    """The marks themselves, of what marks with them."""
    return [getattr(mark, "mark", mark) for mark in marks]


def parameter_sets(mark: Mark, function: Any, test: str) -> tuple[list[str], list[ParameterSet], list[Any], Any]:
    """What a `parametrize` mark says: the names, the sets of values with their ids, and what is indirect."""
    return _parameter_sets(function, test, *mark.args, **mark.kwargs)


def _parameter_sets(
    function: Any, test: str, argnames: Any, argvalues: Any, indirect: Any = False, ids: Any = None, scope: Any = None
) -> tuple[list[str], list[ParameterSet], list[Any], Any]:
    parts: Any = ParameterSet
    names, sets = parts._for_parametrize(argnames, argvalues, function, CONFIG, test)
    return list(names), sets, set_ids(list(names), sets, ids, test), indirect


def fixture_sets(name: str, values: Iterable[Any], ids: Any) -> tuple[list[ParameterSet], list[Any]]:
    """The sets of a fixture's own parameters, with their ids."""
    sets = [ParameterSet.extract_from(value, force_tuple=True) for value in values]
    return sets, set_ids([name], sets, ids, name)


def set_ids(names: list[str], sets: list[ParameterSet], ids: Any, test: str) -> list[Any]:
    """An id for each set, as pytest makes them."""
    given = None if ids is None or callable(ids) else list(ids)
    return IdMaker(names, sets, ids if callable(ids) else None, given, None, test).make_unique_parameterset_ids()
