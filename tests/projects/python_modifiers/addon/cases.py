"""What a modifier in Python may do, and what its author may get wrong: a request's query names the case."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from armada import DeniedError, http
from armada.browser import Browser
from armada.modifiers import Headers, Request, Response

asked = 0


def case_of(url: str) -> str:
    """The case that a URL names."""
    return url.partition("?")[2].partition("&")[0]


def modify_request(request: Request) -> Any:
    case = REQUESTS.get(case_of(request.url))
    return case(request) if case else None


async def modify_response(response: Response) -> None:
    case = RESPONSES.get(case_of(response.url))
    if case:
        await asyncio.sleep(0)
        case(response)


def blocks(request: Request) -> None:
    request.block("not today")


def responds(request: Request) -> None:
    request.respond(201, json={"price": 8}, headers={"x-from": "a modifier"})


async def waits(request: Request) -> None:
    await asyncio.sleep(0.01)
    request.headers["x-waited"] = "yes"


async def is_given_up(request: Request) -> None:
    await asyncio.sleep(1)


def moves(request: Request) -> None:
    request.method = "PUT"
    request.url += "&moved=1"


def with_body_changes(request: Request) -> None:
    order = request.json()
    order["price"] += 1
    request.text = json.dumps(order)


def sees_no_body(request: Request) -> None:
    request.respond(json={"body": request.body, "text": request.text})


def reads_no_body(request: Request) -> None:
    request.json()


def counts(request: Request) -> None:
    global asked
    asked += 1
    request.headers["x-asked"] = str(asked)


def sees_the_script(request: Request) -> None:
    import ctx_script

    request.respond(json=ctx_script.is_running)


def has_plain_headers(request: Request) -> None:
    given: Any = {"x-one": "1", "content-type": "text/x-test"}
    request.headers = given


async def opens_a_page(request: Request) -> None:
    await denied(request, Browser().new_page())


async def makes_a_request(request: Request) -> None:
    await denied(request, http.get(request.url))


async def denied(request: Request, work: Awaitable[object]) -> None:
    """Answers with what is said of work that a modifier may not do."""
    try:
        await work
    except DeniedError as error:
        request.respond(body=str(error))


def raises(request: Request) -> None:
    prices = {"shoes": 7}
    request.headers["x-price"] = str(prices[case_of(request.url)])


def returns_a_value(request: Request) -> Request:
    return request


def has_a_number_as_header(request: Request) -> None:
    number: Any = 3
    request.headers["x-retries"] = number


def has_headers_of_no_kind(request: Request) -> None:
    given: Any = "x-retries: 3"
    request.headers = given


def has_no_text(request: Request) -> None:
    text: Any = None
    request.text = text


def misspells(request: Request) -> None:
    given: Any = request
    given.header = {}


def adds_headers(response: Response) -> None:
    response.headers.add("set-cookie", "one=1")
    response.headers.add("set-cookie", "two=2")
    response.headers = Headers([*response.headers.multi_items(), ("x-two", "a"), ("x-two", "b")])
    assert response.headers.get_list("x-two") == ["a", "b"]


def keeps_an_odd_status(response: Response) -> None:
    response.headers["x-status"] = str(response.status)


def has_a_text_as_status(response: Response) -> None:
    status: Any = "200"
    response.status = status


REQUESTS: dict[str, Callable[[Request], Any]] = {
    case.__name__: case
    for case in (
        blocks,
        responds,
        waits,
        is_given_up,
        moves,
        with_body_changes,
        sees_no_body,
        reads_no_body,
        counts,
        sees_the_script,
        has_plain_headers,
        opens_a_page,
        makes_a_request,
        raises,
        returns_a_value,
        has_a_number_as_header,
        has_headers_of_no_kind,
        has_no_text,
        misspells,
    )
}
RESPONSES: dict[str, Callable[[Response], None]] = {
    case.__name__: case for case in (adds_headers, keeps_an_odd_status, has_a_text_as_status)
}
