"""Jobs that end in another way than well, or leave something: what a job gives, or how it fails, and what its log says then.

`expected` has the parts that are looked for: `result`, or `error` in the failure's message, and `log` in the log's lines.
"""

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass
class Ending:
    """A case and what is expected of its job."""

    function: Callable[[Any], Any]
    expected: dict[str, str]


ENDINGS: dict[str, Ending] = {}


def ends(**expected):
    def register(function):
        ENDINGS[function.__name__] = Ending(function, expected)
        return function

    return register


def never():
    return asyncio.get_running_loop().create_future()


@ends(result="over", log="still running when the script was over, and cancelled: sleeper")
async def a_task_that_is_left_behind_is_ended(browser):
    asyncio.create_task(asyncio.sleep(3600), name="sleeper")
    await asyncio.sleep(0)
    return "over"


@ends(result="over", log="cancelled: Locator.wait_for")
async def a_call_that_is_left_behind_is_ended(browser):
    page = await browser.new_page()
    asyncio.create_task(page.locator("#none").wait_for())
    await asyncio.sleep(0.05)
    return "over"


@ends(result="over", log="cleaned up: Example")
async def a_task_that_is_left_behind_may_clean_up(browser):
    page = await browser.new_page()
    await page.set_content("<title>Example</title>")

    async def work():
        try:
            await asyncio.sleep(3600)
        finally:
            print("cleaned up:", await page.title())

    asyncio.create_task(work())
    await asyncio.sleep(0)
    return "over"


@ends(result="over", log="cancelled: stubborn")
async def a_task_that_refuses_to_end_is_given_up(browser):
    async def refuse():
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                pass

    asyncio.create_task(refuse(), name="stubborn")
    await asyncio.sleep(0)
    return "over"


@ends(result="over", log="cancelled: calls")
async def a_task_that_goes_on_calling_is_given_up(browser):
    page = await browser.new_page()

    async def calls():
        while True:
            try:
                await page.evaluate("1")
            except BaseException:
                pass

    asyncio.create_task(calls(), name="calls")
    await asyncio.sleep(0.05)
    return "over"


@ends(result="over", log="cancelled: Page.wait_for_function, spin")
async def a_task_that_only_passes_the_turn_is_given_up(browser):
    page = await browser.new_page()
    asyncio.create_task(page.wait_for_function("false"))

    async def spin():
        while True:
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                pass

    asyncio.create_task(spin(), name="spin")
    await asyncio.sleep(0.05)
    return "over"


@ends(result="over", log="the generator ended")
async def an_async_generator_that_is_left_behind_is_closed(browser):
    async def numbers():
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0.01)
            print("the generator ended")

    global kept
    kept = numbers()
    assert await anext(kept) == 1
    return "over"


@ends(result="over", log="ZeroDivisionError: division by zero")
async def an_exception_that_nobody_asks_for_is_logged(browser):
    async def fail():
        return 1 / 0

    asyncio.create_task(fail())
    await asyncio.sleep(0.01)
    return "over"


@ends(result="over", log="in a callback")
async def an_exception_in_a_callback_is_logged(browser):
    def fail():
        raise ValueError("in a callback")

    asyncio.get_running_loop().call_soon(fail)
    await asyncio.sleep(0.01)
    return "over"


@ends(result="over", log="was never awaited")
async def a_call_that_is_not_awaited_is_told(browser):
    page = await browser.new_page()
    page.title()
    return "over"


@ends(error="every task waits for another one")
async def waiting_for_what_never_comes_fails(browser):
    await never()


@ends(error="every task waits for another one")
async def waiting_for_each_other_fails(browser):
    first, second = asyncio.Lock(), asyncio.Lock()

    async def take(one, other):
        async with one:
            await asyncio.sleep(0.01)
            async with other:
                pass

    await asyncio.gather(take(first, second), take(second, first))


@ends(error="every task waits for another one")
async def waiting_on_when_told_so_fails_too(browser):
    try:
        await never()
    except asyncio.CancelledError:
        await never()


@ends(error="unhandled errors in a TaskGroup (2 sub-exceptions): ValueError: one; KeyError: 'two'")
async def exceptions_of_a_group_are_all_told(browser):
    async def fail(error):
        raise error

    async with asyncio.TaskGroup() as group:
        group.create_task(fail(ValueError("one")))
        group.create_task(fail(KeyError("two")))


@ends(error="the script called sys.exit(3)")
async def leaving_python_fails(browser):
    sys.exit(3)


@ends(error="the script called sys.exit(4)")
async def leaving_python_in_a_task_fails(browser):
    async def leave():
        sys.exit(4)

    await asyncio.gather(leave(), asyncio.sleep(3600))


@ends(result="over", log="cancelled: leaves")
async def leaving_python_when_all_is_over_changes_nothing(browser):
    async def leave():
        try:
            await asyncio.sleep(3600)
        finally:
            sys.exit(5)

    asyncio.create_task(leave(), name="leaves")
    await asyncio.sleep(0)
    return "over"


@ends(result="over", log="cancelled: cancels")
async def cancelling_what_is_over_changes_nothing(browser):
    script = asyncio.current_task()

    async def cancel():
        try:
            await asyncio.sleep(3600)
        finally:
            script.cancel()

    asyncio.create_task(cancel(), name="cancels")
    await asyncio.sleep(0)
    return "over"


@ends(error="KeyboardInterrupt")
async def an_interrupt_fails(browser):
    raise KeyboardInterrupt


@ends(error="CancelledError: by itself")
async def cancelling_itself_fails(browser):
    asyncio.create_task(asyncio.sleep(3600))
    asyncio.current_task().cancel("by itself")
    await asyncio.sleep(3600)


@ends(error="TimeoutError")
async def a_timeout_that_nobody_handles_fails(browser):
    async with asyncio.timeout(0.01):
        await asyncio.sleep(3600)
