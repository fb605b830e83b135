"""What becomes a component: imported by componentize-py, which keeps everything as it is when the import is done.

The folders are those of its `--python-path`, in this order: the SDK, the reference's modules, the project, its
packages, and one to leave word in.
"""

import functools
import importlib
import json
import os
import sys
from typing import Any

import componentize_py_runtime as runtime
from wit_world import exports
from wit_world.exports import modifiers as wit

from . import _failure, _files, _interpreter, _lifecycle, _modifiers, errors
from ._modules import MODULES
from ._project import Project, ProjectError, find_project
from ._reference import SERVED_OTHERWISE, Unserved
from ._uses import uses

_SDK, _REFERENCE, _PROJECT, _PACKAGES, _WORD = "/0", "/1", "/2", "/3", "/4"
_LIBRARY = "/python"
# Modules that a script may ask for and that are not in the sandbox.
_NOT_HERE = {
    "_bz2": "the sandbox has zlib and gzip, but not bz2",
    "_ctypes": "the sandbox runs no native code, so there is nothing for ctypes to call",
    "_lzma": "the sandbox has zlib and gzip, but not lzma",
    "_ssl": "the sandbox has no sockets: have a page make the request, with `page.evaluate`",
    "celery": "Armada takes jobs from its queue itself and calls `ctx_script`: remove this import",
}
_TESTS = f"{_PROJECT}/tests"
_PARTS = ("ctx_script", "ctx_agent_context", "ctx_job_context")


def _refuse(*_: Any) -> Any:
    raise errors.OutsideError(
        "there is no host to call while the project is built: call it in ctx_script or a context, not where a module is "
        "imported"
    )


def _tell(name: str, content: Any) -> None:
    with open(f"{_WORD}/{name}", "w", encoding="utf-8") as file:
        json.dump(content, file)


def _own_sources() -> list[str]:
    """The text of the project's modules, which must be told from what cannot be read as such."""
    return [_source(file) for _, file in MODULES.own_files()]


def _source(file: str) -> str:
    try:
        return MODULES.get_text(file)
    except (LookupError, SyntaxError, UnicodeError):
        pass
    content = MODULES.get_data(file)
    try:
        content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        said = f"{file} is not UTF-8: see its line {line}. Save it as UTF-8, or name its encoding in its first line"
    else:
        said = f"{file} is UTF-8, but its coding line names another encoding, or none that there is: delete that line"
    raise ProjectError(f"{file}:1", said)


def _build() -> _lifecycle.Life:
    _interpreter.check()
    _lifecycle.install()
    MODULES.add(_PROJECT, "", own=True)
    MODULES.add(_PACKAGES, "packages/")
    MODULES.add(_LIBRARY, "lib/")
    MODULES.add(_SDK, "")
    MODULES.add(_REFERENCE, "")
    _files.install()
    sys.meta_path.insert(0, MODULES)
    sys.path_hooks.insert(0, MODULES.find_folder)
    sys.meta_path.append(Unserved())
    # Every call of a host function comes through this one.
    host: Any = runtime
    call, host.call_import = host.call_import, _refuse
    try:
        sources = _own_sources()
        own = MODULES.own_modules()
        modules = {part: importlib.import_module(part) for part in _PARTS if part in own}
        project = find_project(modules)
        life, tests = _with_tests(project) if os.path.isdir(_TESTS) else (_lifecycle.Life(project), None)
    except BaseException as error:
        is_ours = isinstance(error, ProjectError)
        _tell(
            "wrong.json",
            {
                "message": str(error) if is_ours else _failure.message_of(error),
                "help": _help(error),
                "places": [error.place] if isinstance(error, ProjectError) else _failure.places(error),
            },
        )
        raise
    finally:
        host.call_import = call
    _tell("report.json", {"uses": uses(sources), "tests": tests})
    return life


def _with_tests(project: Project) -> tuple[_lifecycle.Life, list[Any]]:
    """What the component is when the project's tests are in it."""
    from . import _testing

    collection = _testing.collect(_TESTS)
    return _testing.TestLife(project, collection), collection.listing


def _help(error: BaseException) -> str | None:
    """What to do about an exception that many will meet."""
    if isinstance(error, ModuleNotFoundError) and error.name is not None:
        top = error.name.split(".")[0]
        if top in _NOT_HERE or top in SERVED_OTHERWISE:
            return _NOT_HERE.get(top)
        if any(name.split(".")[0] == top for name in MODULES.own_modules()):
            return f"the project's `{top}` has no such module: is its name right?"
        if top == "addon":
            return "the project has no folder `addon`: put the module there, beside ctx_script.py"
        if top in sys.stdlib_module_names:
            return f"the sandbox's Python has no `{top}`, which needs a machine of its own"
        return f"name the package that has `{top}` in requirements.txt, or put the module into the project"
    return None


_LIFE = _build()

# Once in an instance, whatever it is for.
_seal = functools.cache(_files.seal)


class Lifecycle(exports.Lifecycle):
    """The lifecycle of the contract."""

    async def open_agent(self, agent_message: str) -> None:
        _seal()
        await _LIFE.open_agent(agent_message)

    async def run_job(self, job_message: str) -> str:
        return await _LIFE.run_job(job_message)

    async def close_agent(self) -> None:
        await _LIFE.close_agent()


class Modifiers(exports.Modifiers):
    """The modifiers of the contract."""

    async def modify_request(self, modifier: str, request: wit.Request) -> wit.RequestVerdict:
        _seal()
        return await _lifecycle.entered(_modifiers.modify_request(modifier, request))

    async def modify_response(
        self, modifier: str, request: wit.Request, response: wit.Response
    ) -> wit.ResponseVerdict:
        _seal()
        return await _lifecycle.entered(_modifiers.modify_response(modifier, request, response))
