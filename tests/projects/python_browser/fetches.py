"""Requests of the script's own, without the browser."""

import asyncio

import armada
from armada import http
from cases import Case, case, raises


@case
async def what_is_requested_is_given(case: Case) -> None:
    response = await http.get(case.url("plain.html"))
    assert (response.status, response.status_code, response.is_success) == (200, 200, True)
    assert response.url == case.url("plain.html")
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "content-type" in list(response.headers) and response.headers.get("x-none") is None
    assert "<title>Plain</title>" in response.text and response.content.startswith(b"<!")
    assert (await http.head(case.url("plain.html"))).content == b""
    assert response.raise_for_status() is response


@case
async def what_is_sent_arrives(case: Case) -> None:
    echo = case.url("echo?a=1#part")
    seen = (await http.post(echo, params={"b c": "é&", "none": None}, headers={"X-Own": "1"}, json={"n": [1]})).json()
    assert (seen["method"], seen["query"], seen["body"]) == ("POST", {"a": "1", "b c": "é&"}, '{"n": [1]}')
    assert (seen["headers"]["x-own"], seen["headers"]["content-type"]) == ("1", "application/json")
    seen = (await http.put(echo, data=[("name", ["Ada L", "B"])], auth=("Aladdin", "open sesame"))).json()
    assert (seen["method"], seen["body"]) == ("PUT", "name=Ada+L&name=B")
    assert seen["headers"]["content-type"] == "application/x-www-form-urlencoded"
    assert seen["headers"]["authorization"] == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    for method, sending in (("PATCH", http.patch), ("DELETE", http.delete)):
        seen = (await sending(echo, content="ü")).json()
        assert (seen["method"], seen["body"]) == (method, "ü")
    seen = (await http.request("options", echo, content=b"x")).json()
    assert (seen["method"], seen["body"]) == ("OPTIONS", "x")


@case
async def responses_are_read_as_they_arrive(case: Case) -> None:
    async with http.stream("GET", case.url("pieces?ms=600000")) as response:
        async for piece in response.iter_bytes():
            assert piece == b"one"
            break
    async with http.stream("GET", case.url("pieces?ms=1")) as response:
        assert [line async for line in response.iter_lines()] == ["onetwo"]
    with raises(armada.ClosedError, "inside `async with armada.http.stream"):
        await response.aread()
    async with http.stream("GET", case.url("compressed?coding=zstd&bytes=1000")) as response:
        with raises(armada.InvalidError, "has not been read"):
            assert response.content
        assert await response.aread() == b"x" * 1000 == response.content


@case
async def several_requests_are_made_at_once(case: Case) -> None:
    responses = await asyncio.gather(*(http.get(case.url(f"after?ms={ms}")) for ms in (30, 20, 10)))
    assert [response.status for response in responses] == [200, 200, 200]
    with raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await http.get(case.url("never"))
    with raises(armada.TimeoutError, "100 ms"):
        await http.get(case.url("never"), timeout=0.1)


@case
async def redirects_are_followed_or_not(case: Case) -> None:
    url = case.url("redirects?status=302&times=2&to=/echo")
    assert (await http.get(url)).url == case.url("echo")
    assert (await http.get(url, follow_redirects=False)).status == 302
    with raises(armada.OtherError, "1 redirects"):
        await http.get(url, max_redirects=1)


@case
async def requests_that_fail_say_why(case: Case) -> None:
    with raises(armada.OtherError, "status 404"):
        (await http.get(case.url("status?code=404"))).raise_for_status()
    with raises(armada.OtherError, "is no JSON"):
        (await http.get(case.url("plain.html"))).json()
    with raises(armada.DeniedError, "allowed_hosts"):
        await http.get("https://example.com/")
    with raises(armada.UnavailableError, "could not connect"):
        await http.get("http://127.0.0.1:1/")
    with raises(armada.InvalidError, "is the host's to send"):
        await http.get(case.url("echo"), headers={"Host": "other"})
    with raises(armada.InvalidError, "give one of"):
        await http.post(case.url("echo"), json=1, content=b"1")
    with raises(TypeError, "unexpected keyword argument"):
        await http.get(case.url("echo"), verify=False)  # type: ignore[call-arg]
    with raises(armada.InvalidError, "`timeout` must be 0 or more, not -1"):
        await http.get(case.url("echo"), timeout=-1)
