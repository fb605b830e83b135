from addon.my_modifier import shorten


async def ctx_script(job_ctx, agent_ctx):
    browser = agent_ctx.browser
    tab = await browser.get(job_ctx.job_message["url"])
    job_ctx.monitoring_client.record_success_event("Page loaded")

    search = await tab.select("input[type=search]")
    await search.send_keys(job_ctx.job_message["word"])
    button = await tab.select("form[role=search] button")
    await button.click()

    heading = await tab.find("Quotes for")
    job_ctx.monitoring_client.record_success_event(shorten(heading.text))
    return heading.text
