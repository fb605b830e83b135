"""What becomes a component: imported by componentize-py, which keeps everything as it is when the import is done.

The folders are those of its `--python-path`: the project, its packages, and one to leave word in.
"""

import importlib
import json
import sys
from typing import Any

import componentize_py_runtime as runtime
from wit_world import exports

from . import _failure, _lifecycle, errors
from ._modules import MODULES
from ._project import ProjectError, find_project
from ._reference import Unserved

_PROJECT, _PACKAGES, _SDK, _WORD = "/0", "/1", "/2", "/3"
_LIBRARY = "/python"
_PARTS = ("ctx_script", "ctx_agent_context", "ctx_job_context")


def _refuse(*_: Any) -> Any:
    raise errors.OutsideError(
        "there is no host to call while the project is built: call it in ctx_script or a context, not where a module is imported"
    )


def _tell(name: str, content: Any) -> None:
    with open(f"{_WORD}/{name}", "w", encoding="utf-8") as file:
        json.dump(content, file)


def _build() -> _lifecycle.Life:
    _lifecycle.install()
    MODULES.add(_PROJECT, "", own=True)
    MODULES.add(_PACKAGES, "packages/")
    MODULES.add(_LIBRARY, "lib/")
    MODULES.add(_SDK, "armada/")
    sys.meta_path.insert(0, MODULES)
    sys.meta_path.append(Unserved())
    call, runtime.call_import = runtime.call_import, _refuse
    try:
        own = MODULES.own_modules()
        modules = {part: importlib.import_module(part) for part in _PARTS if part in own}
        project = find_project(modules)
    except BaseException as error:
        internal = isinstance(error, ProjectError)
        _tell("mistake.json", {
            "message": str(error) if internal else _failure.message_of(error),
            "places": _failure.places(error),
        })
        raise
    finally:
        runtime.call_import = call
    return _lifecycle.Life(project)


_LIFE = _build()


class Lifecycle(exports.Lifecycle):
    """The lifecycle of the contract."""

    async def open_agent(self, agent_message: str) -> None:
        await _LIFE.open_agent(agent_message)

    async def run_job(self, job_message: str) -> str:
        return await _LIFE.run_job(job_message)

    async def close_agent(self) -> None:
        await _LIFE.close_agent()
