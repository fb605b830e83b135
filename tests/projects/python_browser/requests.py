"""Requests of pages: answered, changed, held or refused by the script."""

import asyncio
import json

import armada
from armada.browser import Page
from cases import Case, case, raises


async def fetch(page: Page, url: str) -> str:
    """What a fetch in the page gives: its text, or the error."""
    script = "url => fetch(url).then(answer => answer.text(), error => `${error}`)"
    text: str = await page.evaluate(script, url)
    return text


@case
async def routes_abort_and_answer(case: Case) -> None:
    page = await case.open("plain.html")
    await page.route("**/echo*").abort()
    assert await fetch(page, "/echo?x") == "TypeError: Failed to fetch"
    await page.route("**/data").fulfill(json={"made": "up"})
    assert await page.evaluate("fetch('/data').then(answer => answer.json())") == {"made": "up"}
    await page.route("re=/tea$").fulfill(status=418, headers={"x-own": "1"}, body=bytes([0, 255]))
    script = "fetch('/tea').then(async answer => [answer.status, answer.headers.get('x-own'), [...new Uint8Array(await answer.arrayBuffer())]])"
    assert await page.evaluate(script) == [418, "1", [0, 255]]
    await page.route("**/page").fulfill(body="<title>Made up</title>", content_type="text/html")
    await page.goto(case.url("page"))
    assert await page.title() == "Made up"


@case
async def the_newest_route_decides_and_can_be_removed(case: Case) -> None:
    page = await case.open("plain.html")
    first = await page.route("**/data").fulfill(json=1)
    second = await page.route("**/{data,other}").fulfill(json=2)
    assert await fetch(page, "/data") == "2"
    await page.unroute(second)
    assert await fetch(page, "/data") == "1"
    await page.unroute(first)
    with raises(armada.NotFoundError, "no route"):
        await page.unroute(first)


@case
async def routes_change_what_is_sent(case: Case) -> None:
    page = await case.open("plain.html")
    headers = {"x-own": "1", "content-type": "text/plain"}
    await page.route("**/asked").modify(url=case.url("echo?changed=1"), method="PUT", headers=headers, post_data="body")
    echo = json.loads(await fetch(page, "/asked"))
    assert (echo["method"], echo["body"], echo["query"]) == ("PUT", "body", {"changed": "1"})
    assert echo["headers"]["x-own"] == "1"
    with raises(armada.DeniedError, "allowed_hosts"):
        await page.route("**/echo").modify(url="http://example.com/")


@case
async def held_requests_are_shown_and_decided(case: Case) -> None:
    page = await case.open("plain.html")
    await page.route("**/echo*").hold()

    async def decide() -> None:
        held = await page.next_request()
        request = held.request
        assert (request.url, request.method, request.resource_type) == (case.url("echo?a=1"), "POST", "xhr")
        assert (request.post_data, request.post_data_buffer) == ("sent", b"sent")
        assert request.headers["x-own"] == "1"
        await held.continue_(post_data=b"changed")
        await (await page.next_request()).fulfill(body="answered")
        await (await page.next_request()).abort()
        # Nobody keeps this one, so it is sent on.
        await page.next_request()

    post = (
        "fetch('/echo?a=1', { method: 'POST', body: 'sent', headers: { 'x-own': '1' } }).then(answer => answer.json())"
    )
    deciding = asyncio.create_task(decide())
    assert (await page.evaluate(post))["body"] == "changed"
    assert await fetch(page, "/echo") == "answered"
    assert await fetch(page, "/echo") == "TypeError: Failed to fetch"
    assert json.loads(await fetch(page, "/echo"))["method"] == "GET"
    await deciding
    with raises(armada.TimeoutError, "a route holds"):
        await page.next_request(timeout=50)
