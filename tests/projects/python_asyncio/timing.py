"""Time: sleeping, timeouts, timers."""

import asyncio
import time

from cases import case, raises
from wit_world.imports import tasks


@case
async def sleeping_gives_its_result(browser):
    assert await asyncio.sleep(0.01, "result") == "result"


@case
async def sleeping_lets_time_pass(browser):
    loop = asyncio.get_running_loop()
    before = loop.time()
    await asyncio.sleep(0.05)
    assert loop.time() - before >= 0.04


@case
async def sleeps_end_in_the_order_of_their_times(browser):
    ended = []

    async def sleep(seconds):
        await asyncio.sleep(seconds)
        ended.append(seconds)

    await asyncio.gather(*(sleep(seconds) for seconds in (0.15, 0.05, 0.1, 0)))
    assert ended == [0, 0.05, 0.1, 0.15]


@case
async def sleeping_no_time_lets_others_run(browser):
    seen = []

    async def work(name):
        for step in range(3):
            seen.append(f"{name}{step}")
            await asyncio.sleep(0)

    await asyncio.gather(work("a"), work("b"))
    assert seen == ["a0", "b0", "a1", "b1", "a2", "b2"]


@case
async def ten_thousand_sleeps_are_few_calls_of_the_host(browser):
    before = tasks.next_call()
    await asyncio.gather(*(asyncio.sleep(0.5) for _ in range(10_000)))
    assert tasks.next_call() - before < 500


@case
async def a_shorter_sleep_overtakes_a_longer_one(browser):
    long = asyncio.create_task(asyncio.sleep(3600))
    await asyncio.sleep(0.01)
    await asyncio.sleep(0.01)
    assert not long.done()
    long.cancel()
    with raises(asyncio.CancelledError):
        await long


@case
async def sleeping_without_asyncio_stops_everything(browser):
    ran = []
    asyncio.get_running_loop().call_soon(ran.append, 1)
    before = time.monotonic()
    time.sleep(0.05)
    assert not ran and time.monotonic() - before >= 0.04
    await asyncio.sleep(0)
    assert ran == [1]


@case
async def a_timeout_ends_what_takes_too_long(browser):
    with raises(TimeoutError):
        async with asyncio.timeout(0.05) as timeout:
            await asyncio.sleep(3600)
    assert timeout.expired()


@case
async def a_timeout_that_is_not_reached_does_nothing(browser):
    async with asyncio.timeout(3600) as timeout:
        await asyncio.sleep(0.01)
    assert not timeout.expired()


@case
async def a_timeout_can_be_moved(browser):
    with raises(TimeoutError):
        async with asyncio.timeout(3600) as timeout:
            timeout.reschedule(asyncio.get_running_loop().time() + 0.02)
            await asyncio.sleep(3600)


@case
async def the_inner_of_two_timeouts_is_told_from_the_outer(browser):
    async with asyncio.timeout(3600):
        with raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await asyncio.sleep(3600)
    with raises(TimeoutError):
        async with asyncio.timeout(0.02):
            async with asyncio.timeout(3600) as inner:
                await asyncio.sleep(3600)
    assert not inner.expired()


@case
async def a_timeout_ends_a_call_of_the_host(browser):
    page = await browser.new_page()
    with raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await page.wait_for_function("false")
    assert await page.evaluate("1 + 1") == 2


@case
async def wait_for_gives_up_and_cancels(browser):
    page = await browser.new_page()
    call = asyncio.ensure_future(page.wait_for_selector("#none"))
    with raises(TimeoutError):
        await asyncio.wait_for(call, 0.1)
    assert call.cancelled()
    assert await asyncio.wait_for(page.title(), 3600) == ""


@case
async def callbacks_come_in_order(browser):
    loop = asyncio.get_running_loop()
    called = []
    done = loop.create_future()
    loop.call_later(0.06, done.set_result, None)
    loop.call_later(0.04, called.append, "later")
    loop.call_at(loop.time() + 0.02, called.append, "at")
    loop.call_soon(called.append, "soon")
    never = loop.call_later(0.03, called.append, "never")
    never.cancel()
    assert never.cancelled() and never.when() > loop.time() - 1
    await done
    assert called == ["soon", "at", "later"]


@case
async def a_callback_that_is_late_is_called_at_once(browser):
    loop = asyncio.get_running_loop()
    called = loop.create_future()
    loop.call_at(loop.time() - 10, called.set_result, True)
    assert await called
