"""Cancelling: of tasks, and of calls that the host has in progress."""

import asyncio

import armada
from cases import case, raises


@case
async def a_call_in_progress_is_cancelled(browser):
    page = await browser.new_page()
    call = asyncio.create_task(page.wait_for_function("false"))
    await asyncio.sleep(0.05)
    call.cancel("enough")
    with raises(asyncio.CancelledError, "enough"):
        await call
    assert call.cancelled() and await page.title() == ""


@case
async def a_call_is_cancelled_before_it_is_made(browser):
    page = await browser.new_page()
    call = asyncio.create_task(page.evaluate("window.called = true"))
    call.cancel()
    with raises(asyncio.CancelledError):
        await call
    assert await page.evaluate("window.called") is None


@case
async def a_shielded_call_goes_on(browser):
    page = await browser.new_page()
    call = asyncio.create_task(page.evaluate("new Promise(done => { window.release = done })"))
    waiting = asyncio.create_task(shielding(call))
    await page.wait_for_function("window.release !== undefined")
    waiting.cancel()
    with raises(asyncio.CancelledError):
        await waiting
    assert not call.done()
    await page.evaluate("release(7); null")
    assert await call == 7


async def shielding(call):
    return await asyncio.shield(call)


@case
async def who_cancels_is_told_of_what_the_task_does_then(browser):
    async def clean_up():
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0.01)
            cleaned.append(True)

    async def refuse():
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            return "refused"

    cleaned = []
    tasks = [asyncio.create_task(clean_up()), asyncio.create_task(refuse())]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    first, second = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(first, asyncio.CancelledError) and cleaned == [True] and second == "refused"


@case
async def cancelling_gather_cancels_what_it_gathers(browser):
    page = await browser.new_page()
    calls = [asyncio.create_task(page.wait_for_selector(f"#none{n}")) for n in range(5)]
    gathered = asyncio.gather(*calls)
    await asyncio.sleep(0.05)
    gathered.cancel()
    with raises(asyncio.CancelledError):
        await gathered
    await asyncio.wait(calls)
    assert all(call.cancelled() for call in calls)


@case
async def cancelling_while_a_page_opens_leaves_none(browser):
    context = await browser.new_context()
    # More than may be open at once, each cancelled at another moment.
    for n in range(60):
        opening = asyncio.create_task(context.new_page())
        await asyncio.sleep(n % 12 / 100)
        opening.cancel()
        await asyncio.wait([opening])
        del opening
    pages = [await context.new_page() for _ in range(5)]
    assert [await page.evaluate("1") for page in pages] == [1] * 5


@case
async def pages_that_nobody_keeps_are_closed(browser):
    for _ in range(60):
        page = await browser.new_page()
        await page.set_content("<p>x")
        handles = await page.query_selector_all("p")
        assert await handles[0].inner_text() == "x"


@case
async def a_call_keeps_its_page(browser):
    async def title():
        page = await browser.new_page()
        await page.set_content("<title>Kept</title>")
        return page.title()

    assert await (await title()) == "Kept"
    page = await browser.new_page()
    waiting = asyncio.create_task(page.wait_for_function("new Promise(done => setTimeout(done, 200, 'kept'))"))
    del page
    assert await waiting == "kept"


@case
async def closing_a_page_ends_what_waits_for_it(browser):
    page = await browser.new_page()
    waiting = asyncio.create_task(page.wait_for_selector("#none"))
    await asyncio.sleep(0.05)
    await page.close()
    with raises(armada.ClosedError):
        await waiting


@case
async def a_timeout_of_the_host_is_a_timeout_of_python(browser):
    page = await browser.new_page()
    with raises(TimeoutError, "#none"):
        await page.click("#none", timeout=50)
    with raises(asyncio.TimeoutError):
        await page.click("#none", timeout=50)
    with raises(armada.TimeoutError):
        await page.click("#none", timeout=50)


@case
async def cancelling_again_while_it_ends_is_once(browser):
    page = await browser.new_page()
    call = asyncio.create_task(page.wait_for_function("false"))
    await asyncio.sleep(0.05)
    assert call.cancel() and call.cancel()
    await asyncio.wait([call])
    assert call.cancelled() and call.cancelling() == 2


@case
async def futures_are_made_by_hand(browser):
    future = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(future.set_exception, ValueError("by hand"))
    with raises(ValueError, "by hand"):
        await future


@case
async def an_exception_that_was_handled_keeps_no_page(browser):
    # More than may be open at once.
    for _ in range(18):
        page = await browser.new_page()
        try:
            await asyncio.gather(page.click("#none", timeout=1), page.click("#nowhere", timeout=1))
        except armada.TimeoutError:
            pass
