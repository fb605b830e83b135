"""Write browser-automation projects for [Armada](https://github.com/armada-engine/armada) in Python.

A project is a folder with a `ctx_script.py`. Its `ctx_script` is called once per job, in parallel agents, each with a
real Chromium:

    import armada

    async def ctx_script(job_ctx: armada.Job, agent_ctx: armada.Agent):
        page = await agent_ctx.browser.new_page()
        await page.goto(job_ctx.job_message["url"])
        titles = await page.locator("h2").all_inner_texts()
        job_ctx.monitoring_client.record_success_event(f"{len(titles)} titles")
        return titles

- `armada.browser` drives Chromium: pages, locators that wait by themselves, frames, dialogs, downloads, requests.
- `armada.database` asks and changes databases of the operator.
- `armada.fingerprint` tells which device pages see.
- `armada.http` makes requests without a browser.
- `armada.identity` makes up people to fill in forms with.
- `armada.modifiers` look at what the browser sends and gets, beside the script.
- `armada.monitoring` reports events, logs, progress and files.
- `armada.proxy` watches what the browser sends and gets, and says and changes which upstream proxy that leaves through.
- `armada.screen` takes pictures of the whole screen.
- `armada.secrets` of the operator are typed into pages without being seen.
- `Agent` and `Job` keep what lives as long as an agent or a job: `AgentContext` and `JobContext` of a project may build
  on them.
- `Error` and its kinds are what a host call raises when it does not succeed; raise `Failure`, `Retry` or `Fatal` to say
  what becomes of a job.

All of `asyncio` works: `asyncio.gather` and `TaskGroup` run several calls at once, `asyncio.timeout` ends one. The
package is importable anywhere, for completion and type checks; elsewhere than under `armada run` and `armada test`, its
calls raise `OutsideError`.
"""

import sys
from typing import TYPE_CHECKING

from . import browser, database, fingerprint, http, identity, modifiers, monitoring, proxy, screen, secrets
from .contexts import Agent, Job, Message
from .errors import (
    ClosedError,
    DeniedError,
    Error,
    Failure,
    Fatal,
    InvalidError,
    LimitError,
    NotFoundError,
    OtherError,
    OutsideError,
    Retry,
    TimeoutError,
    UnavailableError,
)

__all__ = [
    "Agent",
    "ClosedError",
    "DeniedError",
    "Error",
    "Failure",
    "Fatal",
    "InvalidError",
    "Job",
    "LimitError",
    "Message",
    "NotFoundError",
    "OtherError",
    "OutsideError",
    "Retry",
    "TimeoutError",
    "UnavailableError",
    "browser",
    "database",
    "fingerprint",
    "http",
    "identity",
    "modifiers",
    "monitoring",
    "proxy",
    "screen",
    "secrets",
]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> None:
        """Says where a name is that is not here."""
        for module in (browser, database, fingerprint, http, identity, modifiers, monitoring, proxy, screen, secrets):
            if name in module.__all__:
                raise AttributeError(
                    f"`{name}` is in `{module.__name__}`: write `from {module.__name__} import {name}`",
                    name=name,
                    obj=sys.modules[__name__],
                )
        raise AttributeError(f"module 'armada' has no attribute {name!r}", name=name)
