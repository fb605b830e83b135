"""Arguments that no function takes: each is told, and costs no more than its call."""

import datetime
from typing import Any, cast

import armada
from cases import Case, case, raises


@case
async def arguments_of_another_type_are_told(case: Case) -> None:
    page: Any = await case.show("<input>")
    with raises(TypeError, "`value` must be of type str, not int: 5"):
        await page.fill("input", 5)
    with raises(TypeError, "`url` must be of type str, not NoneType"):
        await page.goto(None)
    with raises(TypeError, "`selector` must be of type str"):
        await page.click(b"input")
    with raises(TypeError, "`x` must be of type int or float, not str"):
        await page.mouse.wheel("1", 2)
    with raises(TypeError, "`bytes` must be of type bytes, not str"):
        await page.set_input_files("input", {"name": "a", "mimeType": "", "buffer": "text"})
    with raises(TypeError, "unexpected keyword argument"):
        await page.click("input", buton="left")
    assert await page.title() == ""


@case
async def numbers_out_of_range_are_told(case: Case) -> None:
    page = await case.show("<input>")
    with raises(armada.InvalidError, "`count` must be from 0 to 4294967295, not -1"):
        await page.click("input", click_count=-1)
    with raises(armada.InvalidError, "a time must be 0 or more"):
        await page.click("input", timeout=-1)
    with raises(armada.InvalidError, "a time must be 0 or more"):
        await page.click("input", timeout=float("nan"))
    with raises(armada.InvalidError, "`status` must be from 0 to 65535"):
        await page.route("**").fulfill(status=70_000)
    await page.click("input", timeout=float("inf"))


@case
async def words_that_mean_nothing_are_told(case: Case) -> None:
    page: Any = await case.show("<input>")
    with raises(armada.InvalidError, "'lft' is none of 'left', 'middle', 'right'"):
        await page.click("input", button="lft")
    with raises(armada.InvalidError, "'Ctrl' is none of 'Alt', 'Control'"):
        await page.click("input", modifiers=["Ctrl"])
    with raises(armada.InvalidError, "'loaded' is none of"):
        await page.goto("about:blank", wait_until="loaded")


@case
async def text_that_is_none_is_told(case: Case) -> None:
    page = await case.show("<input>")
    with raises(armada.InvalidError, "`value` is no text at position 1"):
        await page.fill("input", "a\ud800")
    with raises(TypeError, "the argument cannot be written as JSON"):
        await page.evaluate("it => it", object())
    assert await page.evaluate("it => it", {"when": datetime.date(2024, 2, 29), "some": {1}}) == {
        "when": "2024-02-29",
        "some": [1],
    }


@case
async def what_playwright_has_and_this_does_not_is_told(case: Case) -> None:
    page: Any = await case.show("")
    with raises(AttributeError, "a page has no `type`: use `press_sequentially`"):
        await page.type("input", "text")
    with raises(AttributeError, "a page has no `clik`"):
        await page.clik("input")


@case
async def a_message_says_what_it_has(case: Case) -> None:
    with raises(KeyError, "the message has no `urls`: it has `case`, `site`"):
        case.job.job_message["urls"]
    assert cast(dict[str, Any], case.job.job_message).get("urls") is None


@case
async def requests_of_no_kind_are_told(case: Case) -> None:
    async def get(**options: Any) -> None:
        await armada.http.request("POST", case.url("echo"), **options)

    with raises(TypeError, "`auth` must be a user name and a password"):
        await get(auth="user")
    with raises(TypeError, "`timeout` must be a number of seconds, not str: '10'"):
        await get(timeout="10")
    with raises(TypeError, '`headers` must be a dict such as {"a": "1"}'):
        await get(headers="abc")
    with raises(TypeError, "`content` is for a body that is written already"):
        await get(data="a=b")
    with raises(armada.InvalidError, "`json` cannot be written as JSON"):
        await get(json=float("nan"))
    await get(timeout=float("inf"), data="")


@case
async def traffic_of_no_kind_is_told(case: Case) -> None:
    proxy: Any = armada.proxy.Proxy()
    with raises(TypeError, "write `tags=['residential']`"):
        await proxy.change_upstream(tags="residential")
    page = await case.show("")
    async with proxy.watch("**/echo") as watch:
        with raises(TypeError, "`timeout_ms` must be a number of milliseconds, not str: '5'"):
            await watch.next(timeout_ms="5")
        await page.goto(case.url("echo"))
        exchange = await watch.next(timeout_ms=float("inf"))
    with raises(armada.InvalidError, "`watch(…, bodies=True)` only"):
        exchange.response_json()
