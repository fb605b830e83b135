"""Going from document to document."""

import asyncio

import armada
from cases import Case, case, raises


@case
async def goto_gives_the_answer(case: Case) -> None:
    page = await case.browser.new_page()
    answer = await page.goto(case.url("plain.html"))
    assert answer is not None and answer.ok
    assert (answer.status, answer.status_text, answer.url) == (200, "OK", case.url("plain.html"))
    assert answer.headers["content-type"].startswith("text/html")
    assert (page.url, await page.title()) == (case.url("plain.html"), "Plain")
    assert await page.goto(case.url("plain.html#below")) is None
    assert await page.goto("about:blank") is None
    missing = await page.goto(case.url("missing.html"))
    assert missing is not None and missing.status == 404 and not missing.ok


@case
async def the_referrer_is_sent(case: Case) -> None:
    page = await case.browser.new_page()
    await page.goto(case.url("echo"), referer=case.url("from.html"))
    sent = await page.evaluate("JSON.parse(document.body.innerText).headers.referer")
    assert sent == case.url("from.html")


@case
async def who_waits_for_less_waits_less(case: Case) -> None:
    page = await case.browser.new_page()
    await page.goto(case.url("never_loads.html"), wait_until="domcontentloaded")
    assert await page.title() == "Never loads"
    with raises(armada.TimeoutError, "to reach load"):
        await page.wait_for_load_state(timeout=100)
    await page.goto(case.url("never_loads.html?2"), wait_until="commit")
    with raises(armada.TimeoutError, "/never to reach load"):
        await page.goto(case.url("never"), timeout=100)
    await page.goto(case.url("talks.html"), wait_until="networkidle")
    assert await page.title() == "Has talked"
    await page.wait_for_load_state("networkidle")


@case
async def history_goes_back_and_forward(case: Case) -> None:
    page = await case.open("plain.html?1")
    await page.goto(case.url("plain.html?2"))
    back = await page.go_back()
    assert back is not None and back.url == case.url("plain.html?1")
    await page.go_forward(wait_until="domcontentloaded")
    assert page.url == case.url("plain.html?2")
    assert await page.go_forward() is None
    await page.evaluate("document.title = 'Changed'")
    again = await page.reload()
    assert again is not None and await page.title() == "Plain"


@case
async def a_url_is_waited_for(case: Case) -> None:
    page = await case.open("plain.html")
    await page.evaluate("setTimeout(() => { location = '/plain.html?later=1' }, 100); null")
    await page.wait_for_url("**/plain.html?later=*")
    await page.wait_for_url(r"re=later=\d$", wait_until="commit")
    with raises(armada.TimeoutError, "plain.html?later=1"):
        await page.wait_for_url("**/nowhere", timeout=50)


@case
async def content_is_set_and_read(case: Case) -> None:
    page = await case.browser.new_page()
    await page.set_content("<!doctype html><title>Set</title><p>new", wait_until="domcontentloaded")
    assert (
        await page.content() == "<!DOCTYPE html>\n<html><head><title>Set</title></head><body><p>new</p></body></html>"
    )


@case
async def hosts_and_schemes_are_refused(case: Case) -> None:
    page = await case.browser.new_page()
    with raises(armada.DeniedError, "allowed_hosts"):
        await page.goto("http://example.com/")
    with raises(PermissionError):
        await page.goto("file:///etc/hostname")
    with raises(armada.UnavailableError, "Connection refused"):
        await page.goto("http://127.0.0.1:1024/")
    with raises(armada.InvalidError, "write it in full"):
        await page.goto("plain.html")


@case
async def pages_load_side_by_side(case: Case) -> None:
    pages = await asyncio.gather(*(case.open(f"plain.html?{n}") for n in range(4)))
    assert [page.url for page in pages] == [case.url(f"plain.html?{n}") for n in range(4)]
