"""Tests that cost themselves and nothing else."""

import asyncio

from armada.browser import Page


def test_computes_for_ever() -> None:
    while True:
        pass


async def test_waits_for_ever() -> None:
    print("waiting")
    await asyncio.sleep(3600)


def test_eats_memory() -> None:
    eaten = []
    while True:
        eaten.append(bytearray(1 << 20))


def test_the_fixture_fails(broken: None) -> None: ...


def test_the_fixture_fails_afterwards(breaks_later: int) -> None:
    assert breaks_later == 1


def test_there_is_no_such_fixture(price_list: object) -> None: ...


async def test_an_element_is_missing(page: Page) -> None:
    await page.locator("#nothing").click(timeout=200)


async def test_a_host_is_not_allowed(page: Page) -> None:
    await page.goto("http://example.com/")
