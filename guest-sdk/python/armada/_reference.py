"""What projects of the reference system find here of what it gave them.

Its contexts had a proxy, a fingerprint, a database, a screen, a browser and an identity without making them, and so
they have here. Where Armada does not have a capability yet, something takes its place that says so when it is used, so
that a project runs as far as it can without it. Modules of the reference that are not served end the build with what to do instead; so do those that drive
a browser elsewhere.
"""

import importlib.abc
import importlib.machinery
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from ._done import Done
from .browser import Browser
from .errors import DeniedError
from .screen import Screen

__all__ = ["SERVED_OTHERWISE", "Missing", "Unserved", "denied", "given_to_agents", "given_to_jobs"]

_BROWSER = (
    "the browser is `agent_ctx.browser`, with Playwright's names as `armada.browser` documents them: "
    "`page = await agent_ctx.browser.new_page()`"
)
SERVED_OTHERWISE = {
    "playwright": _BROWSER,
    "selenium": _BROWSER,
    "fantomas": "the browser is `agent_ctx.browser`: `await agent_ctx.browser.get(url)`, or Playwright's names as "
    "`armada.browser` documents them; identities are no capability of this version yet",
    "src": "of the reference's modules there are `src.monitoring_client` and `src.database_connector`; the browser is "
    "`agent_ctx.browser`, a message is `job_ctx.job_message` or `agent_ctx.agent_message`",
}


def denied(capability: str) -> DeniedError:
    """The error of using what there is not."""
    return DeniedError(
        f"the capability `{capability}` does not exist in this version of Armada: take out what uses it, "
        "or put it behind `if`, as what stands for it counts as false"
    )


class Missing:
    """Stands for a capability that there is not: it counts as false, can be stopped, and is denied when it is used."""

    def __init__(self, capability: str) -> None:
        self._capability = capability

    def __repr__(self) -> str:
        return f"<no {self._capability}>"

    def __bool__(self) -> bool:
        return False

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name.startswith(("stop", "close")):
            # What has never begun has ended.
            return _done
        raise denied(self._capability)

    def __call__(self, *_: Any, **__: Any) -> Any:
        raise denied(self._capability)

    def __getitem__(self, key: object) -> Any:
        raise denied(self._capability)

    def __await__(self) -> Any:
        raise denied(self._capability)


def _done(*_: Any, **__: Any) -> Done:
    return Done()


def given_to_agents() -> dict[str, Any]:
    """What an agent context of the reference has without having made it."""
    missing = {
        "proxy_manager": "proxy",
        "fingerprint_manager": "fingerprint",
        "database": "database",
    }
    given = {name: Missing(capability) for name, capability in missing.items()}
    return given | {"screen": Screen(), "browser": Browser(), "instantiate_default": _done}


def given_to_jobs() -> dict[str, Any]:
    """What a job context of the reference has without having made it."""
    return {"identity": Missing("identity"), "instantiate_default": _done}


class Unserved(importlib.abc.MetaPathFinder):
    """Asked last for a module: says what to do instead of importing one that is served otherwise."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        instead = SERVED_OTHERWISE.get(fullname.partition(".")[0])
        if instead is not None:
            raise ModuleNotFoundError(f"Armada has no module `{fullname}`: {instead}", name=fullname)
        return None
