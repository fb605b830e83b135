"""A secret is typed into a page without the script's seeing it, and another is revealed."""

import armada


async def ctx_script(job_ctx: armada.Job, agent_ctx: armada.Agent) -> str:
    page = await agent_ctx.browser.new_page()
    await page.goto(f"{job_ctx.job_message['site']}/framed.html")
    field = page.locator("input")
    await field.fill_secret("password")
    backwards = await field.evaluate("input => [...input.value].reverse().join('')")
    assert backwards == job_ctx.job_message["backwards"], backwards
    assert armada.secrets.reveal("shown") == "for all to see"
    for refused in (lambda: armada.secrets.reveal("password"), lambda: armada.secrets.reveal("other")):
        try:
            refused()
        except armada.DeniedError as error:
            assert "run_message.sandbox.revealed_secrets" in str(error), error
        else:
            raise AssertionError("a secret was revealed")
    return await field.input_value()
