"""Does something many times, and gives the time that each took, in seconds."""

import time

from armada import Agent, Job


async def ctx_script(job_ctx: Job, agent_ctx: Agent) -> float:
    measure: str = job_ctx.job_message["measure"]
    times: int = job_ctx.job_message["times"]
    started = time.perf_counter()
    match measure:
        case "host_call":
            call = job_ctx.monitoring_client.current_job
            for _ in range(times):
                call()
        case "launch":
            await agent_ctx.browser.launch()
        case other:
            raise ValueError(f"there is no operation `{other}`")
    return (time.perf_counter() - started) / max(times, 1)
