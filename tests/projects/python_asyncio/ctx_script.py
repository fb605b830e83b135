"""asyncio as authors know it, inside the sandbox: a job runs the case that its message names, and one without a name gives
the names. What is seen of a job from outside only (its failure, its log) is in `endings.py`, with what is expected there."""

import together
import timing
import waiting
from cases import CASES
from endings import ENDINGS

MODULES = (timing, together, waiting)


async def ctx_script(job_ctx, agent_ctx):
    name = job_ctx.job_message.get("case")
    if name is None:
        return {"cases": list(CASES), "endings": {name: ending.expected for name, ending in ENDINGS.items()}}
    if name in ENDINGS:
        return await ENDINGS[name].function(agent_ctx.browser)
    await CASES[name](agent_ctx.browser)
    return "passed"
