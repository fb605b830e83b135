"""Tests that pass, fail, and are left out."""

import logging

import pytest
from prices import EXPECTED

from armada.browser import Page
from ctx_script import read_price


async def test_the_price_is_read(shop: Page) -> None:
    assert await read_price(shop) == 49.0


async def test_the_price_is_right(shop: Page) -> None:
    logging.getLogger("shop").warning("it is a sale")
    assert await read_price(shop) == EXPECTED


def test_two_lists_differ() -> None:
    assert [1, 2, 3] == [1, 5, 3]


@pytest.mark.parametrize(
    ("low", "high"),
    [(1, 2), pytest.param(3, 3, id="same"), pytest.param(5, 4, marks=pytest.mark.xfail(reason="known"))],
)
def test_order(low: int, high: int) -> None:
    assert low < high


def test_every_currency(currency: str) -> None:
    assert currency in ("EUR", "USD")


@pytest.mark.skip(reason="not now")
def test_left_out() -> None: ...


@pytest.mark.skipif("len('ab') == 2", reason="there are two")
def test_left_out_by_a_condition() -> None: ...


@pytest.mark.xfail(reason="it was fixed")
def test_better_than_expected() -> None: ...


@pytest.mark.slow
async def test_messages_are_those_of_the_first_agent_and_job(agent_ctx, job_ctx) -> None:
    assert agent_ctx.agent_message["shop"] == "Shoes & Co"
    assert job_ctx.job_message == {**job_ctx.job_message, "currency": "EUR"}
    assert "armada_test" not in job_ctx.job_message
