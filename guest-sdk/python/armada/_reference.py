"""What projects of the reference system find here of what it gave them.

Its contexts had a proxy, a fingerprint, a database, a screen, a browser and an identity without making them, and so they have
here. Modules of the reference that are not served end the build with what to do instead; so do those that drive a
browser elsewhere.
"""

import importlib.abc
import importlib.machinery
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from . import fingerprint
from ._done import Done
from .contexts import Agent, Message
from .proxy import Proxy

__all__ = ["SERVED_OTHERWISE", "Unserved", "given_to_agents", "given_to_jobs"]

_BROWSER = (
    "the browser is `agent_ctx.browser`, with Playwright's names as `armada.browser` documents them: "
    "`page = await agent_ctx.browser.new_page()`"
)
SERVED_OTHERWISE = {
    "playwright": _BROWSER,
    "selenium": _BROWSER,
    "fantomas": "the browser is `agent_ctx.browser`: `await agent_ctx.browser.get(url)`, or Playwright's names as "
    "`armada.browser` documents them; the job's made-up person is `job_ctx.identity`",
    "src": "of the reference's modules there are `src.monitoring_client` and `src.database_connector`; the browser is "
    "`agent_ctx.browser`, a message is `job_ctx.job_message` or `agent_ctx.agent_message`",
}


def _done(*_: Any, **__: Any) -> Done:
    return Done()


class ProxyManager(Proxy):
    """The way out, as the reference calls it. It has begun when the agent has, and ends with it."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("start", "stop", "close")):
            return _done
        raise AttributeError(f"the proxy has no `{name}`: `armada.proxy` documents what it has", name=name, obj=self)


def given_to_agents(message: Message) -> dict[str, Any]:
    """What an agent context of the reference has without having made it."""
    agent = Agent(message)
    return vars(agent) | {
        "proxy_manager": ProxyManager(),
        "fingerprint_manager": fingerprint,
        "instantiate_default": agent.instantiate_default,
    }


def given_to_jobs() -> dict[str, Any]:
    """What a job context of the reference has without having made it."""
    return {"instantiate_default": _done}


class Unserved(importlib.abc.MetaPathFinder):
    """Asked last for a module: says what to do instead of importing one that is served otherwise."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        instead = SERVED_OTHERWISE.get(fullname.partition(".")[0])
        if instead is not None:
            raise ModuleNotFoundError(f"Armada has no module `{fullname}`: {instead}", name=fullname)
        return None
