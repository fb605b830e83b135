"""A secret is typed into a page and sent in requests without the script's seeing it, and another is revealed."""

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
    await requests_carry_it(job_ctx.job_message["site"], backwards)
    return await field.input_value()


async def requests_carry_it(site: str, backwards: str) -> None:
    headers = {
        "x-plain": "1",
        "x-key": armada.http.Secret("password"),
        "Authorization": armada.http.Secret("password", prefix="Bearer "),
    }
    # What the server was sent, it tells.
    seen = (await armada.http.get(f"{site}/echo", headers=headers, auth=("not", "sent"))).json()["headers"]
    assert seen["x-plain"] == "1", seen
    assert seen["x-key"][::-1] == backwards, seen
    assert seen["authorization"] == f"Bearer {backwards[::-1]}", seen
    elsewhere = site.replace("127.0.0.1", "localhost")
    try:
        await armada.http.get(f"{elsewhere}/echo", headers=headers)
    except armada.DeniedError as error:
        assert f"the secret `password` may go only to {site}, and this is {elsewhere}" in str(error), error
    else:
        raise AssertionError("a secret was sent elsewhere")
