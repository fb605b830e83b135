"""Makes the requests that its job names from a page of the test's site, and tells what the page got of each, and what a watch
saw. What becomes of them is said in `addon/`."""

from typing import Any

import armada

import closing
from addon import cases

FETCH = """async path => {
    try {
        const body = JSON.stringify({ price: 7 });
        const signal = path.endsWith("is_given_up") ? AbortSignal.timeout(300) : null;
        const response = await fetch(path, { method: "POST", body, cache: "no-store", signal });
        const headers = Object.fromEntries(response.headers);
        return { status: response.status, headers, text: await response.text(), cookies: document.cookie };
    } catch (error) { return { failed: String(error) } }
}"""

is_running = False


async def ctx_script(job_ctx: armada.Job, agent_ctx: armada.Agent) -> list[Any]:
    global is_running
    is_running, cases.asked = True, 1000
    page = await agent_ctx.browser.new_page()
    await page.goto(job_ctx.job_message["site"] + "/plain.html")
    if job_ctx.job_message.get("closes"):
        return await closing.closes(page, job_ctx.job_message["site"])
    told: list[Any] = []
    for path in job_ctx.job_message["paths"]:
        async with agent_ctx.proxy.watch(f"**{path}") as watch:
            answer = await page.evaluate(FETCH, path)
            exchange = await watch.next(timeout_ms=10_000)
        told.append({**answer, "failure": exchange.failure})
    return told
