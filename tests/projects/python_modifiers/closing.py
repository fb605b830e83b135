"""What is closed while a task still waits for it: the task is told so, and nothing else ends."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import armada
from armada import http
from armada.proxy import Proxy, Watch

PIECES = "/pieces?ms=600000"


async def closes(page: armada.browser.Page, site: str) -> list[str]:
    """Closes a watch and a body in each way that there is; gives what became of who waited for them."""
    told: list[str] = []
    for ends in (waits, is_cancelled, has_not_begun):
        async with Proxy().watch("**/never-requested") as watch:
            task = asyncio.create_task(watch.next())
            await ends(task)
        told.append(await end_of(task))
        async with http.stream("GET", site + PIECES) as response:
            task = asyncio.create_task(response.aread())
            await ends(task)
        told.append(await end_of(task))
    seen: list[str] = []
    async with Proxy().watch("**") as watch:
        task = asyncio.create_task(collect(watch, seen))
        await page.goto(site + "/plain.html")
        while not seen:
            await asyncio.sleep(0.01)
    told += [await end_of(task), seen[0].removeprefix(site)]
    watch.close()
    told += [await end_of(watch.next()), await end_of(response.aread()), await end_of(anext(response.iter_bytes()))]
    return told


async def waits(task: asyncio.Task[Any]) -> None:
    await asyncio.sleep(0.05)


async def is_cancelled(task: asyncio.Task[Any]) -> None:
    await asyncio.sleep(0.05)
    task.cancel()


async def has_not_begun(task: asyncio.Task[Any]) -> None:
    assert not task.done()


async def collect(watch: Watch, seen: list[str]) -> None:
    async for exchange in watch:
        seen.append(exchange.url)


async def end_of(work: Awaitable[Any]) -> str:
    try:
        return repr(await work)
    except (armada.ClosedError, asyncio.CancelledError) as error:
        return type(error).__name__
