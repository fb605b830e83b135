"""Routes: what becomes of a page's requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import _results
from .._host import browser as _wit
from . import options as _options
from .types import Request

__all__ = ["HeldRequest", "Route"]


class Route:
    """What to do with the requests of a page that match a pattern: await one of the methods. Of several matching
    routes, the newest decides. Each gives the route's number, for `page.unroute`.

        await page.route("**/*.{png,jpg}").abort()
        await page.route("**/api/prices").fulfill(json=[1, 2, 3])
    """

    def __init__(self, page: _wit.Page, pattern: str) -> None:
        self._page = page
        self._pattern = pattern

    async def abort(self) -> int:
        """Fails them as blocked."""
        return await self._page.route(self._pattern, _wit.RouteAction_Abort())

    async def fulfill(
        self,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        body: str | bytes = b"",
        json: Any = None,
        content_type: str | None = None,
    ) -> int:
        """Answers them with this: `body`, or `json` as JSON."""
        answer = _answer(status, headers, body, json, content_type)
        return await self._page.route(self._pattern, _wit.RouteAction_Fulfill(answer))

    async def modify(
        self,
        *,
        url: str | None = None,
        method: str | None = None,
        headers: Mapping[str, str] | None = None,
        post_data: str | bytes | None = None,
    ) -> int:
        """Sends them changed: to another URL of an allowed host, with another method, with these headers and no others,
        with another body."""
        overrides = _overrides(url, method, headers, post_data)
        return await self._page.route(self._pattern, _wit.RouteAction_Modify(overrides))

    async def hold(self) -> int:
        """Holds each of them until the script has decided: `page.next_request` hands them out."""
        return await self._page.route(self._pattern, _wit.RouteAction_Ask())


class HeldRequest:
    """A request that a route holds. It is sent on as it is when nobody keeps this any more."""

    def __init__(self, handle: _wit.HeldRequest, *kept: object) -> None:
        self._handle = handle
        self._kept = kept

    @property
    def request(self) -> Request:
        """What the page wants to request."""
        request = self._handle.request()
        return Request(
            request.url,
            request.method,
            _options.headers_from(request.headers),
            request.body,
            request.resource_type,
        )

    async def continue_(
        self,
        *,
        url: str | None = None,
        method: str | None = None,
        headers: Mapping[str, str] | None = None,
        post_data: str | bytes | None = None,
    ) -> None:
        """Sends it, changed as given: see `Route.modify`."""
        await self._handle.resume(_overrides(url, method, headers, post_data))

    async def fulfill(
        self,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        body: str | bytes = b"",
        json: Any = None,
        content_type: str | None = None,
    ) -> None:
        """Answers it: see `Route.fulfill`."""
        await self._handle.fulfill(_answer(status, headers, body, json, content_type))

    async def abort(self) -> None:
        """Fails it as blocked."""
        await self._handle.abort()


def _answer(
    status: int, headers: Mapping[str, str] | None, body: str | bytes, json: Any, content_type: str | None
) -> _wit.Fulfillment:
    if json is not None:
        body, content_type = _results.write(json, "the answer"), content_type or "application/json"
    listed = _options.headers(headers or {})
    if content_type is not None:
        listed.append(_wit.Header("content-type", content_type))
    return _wit.Fulfillment(status, listed, _bytes(body))


def _overrides(
    url: str | None, method: str | None, headers: Mapping[str, str] | None, post_data: str | bytes | None
) -> _wit.RequestOverrides:
    body = None if post_data is None else _bytes(post_data)
    return _wit.RequestOverrides(url, method, _options.optional_headers(headers), body)


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text
