"""Asks for the proxies that its test lends."""

import dataclasses

import armada
from armada.proxy import Proxy


async def ctx_script(job_ctx, agent_ctx):
    proxy = Proxy()
    if job_ctx.job_message.get("only_verify"):
        return await proxy.verify_ip()
    changed = await proxy.change_upstream("FR", tags=["slow"])
    assert proxy.status() == changed == agent_ctx.proxy_manager.status()
    address = await agent_ctx.proxy_manager.verify_ip()
    assert proxy.status().exit_address == address
    try:
        await proxy.change_upstream("US")
    except armada.NotFoundError as error:
        assert "some in DE, FR" in str(error), error
    else:
        raise AssertionError("there is no proxy there")
    try:
        await proxy.change_upstream(sticky=7)
    except TypeError as error:
        assert "`sticky` must be of type str" in str(error), error
    else:
        raise AssertionError("7 is no text")
    try:
        proxy.change_location("FR")
    except AttributeError:
        pass
    return [agent_ctx.opened_through, dataclasses.asdict(changed), address]
