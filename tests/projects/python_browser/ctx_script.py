"""Every function of the SDK, against real pages: a job runs the case that its message names, and one without a name gives
the names."""

from typing import Any

import acts
import armada
import contexts
import elements
import fetches
import mistakes
import navigation
import pages
import people
import reports
import requests
import tabs
from cases import CASES, Case

MODULES = (acts, contexts, elements, fetches, mistakes, navigation, pages, people, reports, requests, tabs)


async def ctx_script(job_ctx: armada.Job, agent_ctx: armada.Agent) -> Any:
    name = job_ctx.job_message.get("case")
    if name is None:
        return list(CASES)
    await CASES[name](Case(job_ctx, agent_ctx.browser))
    return "passed"
