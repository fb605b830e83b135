"""The way out: the upstream proxy that pages and requests leave through.

    now = await agent_ctx.proxy.change_upstream(job_ctx.job_message["country"], tags=["residential"])
    job_ctx.monitoring_client.record_success_event(f"leaves from {now.location}")

Whether there is one is said by `config_proxy` in the agent's configuration; the operator, who lends it, alone knows its
address and credentials.

The browser's traffic goes through a proxy of the host first, where a script can watch it:

    async with agent_ctx.proxy.watch("**/api/prices", bodies=True) as watch:
        await page.click("#load")
        exchange = await watch.next(timeout_ms=10_000)
    prices = exchange.response_json()
"""

from __future__ import annotations

import json as _json
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from ._handles import Handle
from ._headers import Headers
from ._host import proxy as _wit
from ._words import milliseconds, takes
from .errors import InvalidError

__all__ = ["Exchange", "Headers", "Proxy", "ProxyStatus", "Watch"]


@dataclass(frozen=True)
class ProxyStatus:
    """Where traffic leaves."""

    enabled: bool
    """Whether it leaves through an upstream proxy."""
    upstream: str | None
    """The name of the proxy that the agent has."""
    location: str | None
    """Where its traffic comes out, as the operator names places; empty where the operator does not say."""
    exit_address: str | None
    """The address that its traffic comes out at, once that has been looked up and found right."""


def _status(status: _wit.ProxyStatus) -> ProxyStatus:
    return ProxyStatus(status.enabled, status.upstream, status.location, status.exit_address)


@dataclass(frozen=True)
class Exchange:
    """A request that the browser has made, and what it got. Secrets that were given to pages are shown as
    `[secret NAME]`."""

    method: str
    url: str
    request_headers: Headers
    """As they were sent."""
    request_body: bytes | None
    """The body of the request, if the watch is for bodies and there was one."""
    status: int | None
    """`None` if there was no response."""
    response_headers: Headers
    """As the browser got them."""
    response_body: bytes | None
    """The body of the response, decompressed, if the watch is for bodies. `None` if it was longer than the limit
    `traffic_body_bytes`, or broke off."""
    failure: str | None
    """Why there was no response, or not all of it."""
    duration_ms: float
    """From the request to the end of the response."""

    @property
    def response_text(self) -> str | None:
        """The body of the response as text, of UTF-8. What cannot be read is replaced."""
        return None if self.response_body is None else self.response_body.decode(errors="replace")

    def response_json(self) -> Any:
        """The body of the response, read as JSON."""
        if self.response_body is None:
            raise InvalidError(
                "there is no body to read: bodies are watched with `watch(…, bodies=True)` only, up to the limit "
                "`traffic_body_bytes`"
            )
        return _json.loads(self.response_body)


def _headers(headers: list[_wit.Header]) -> Headers:
    return Headers((header.name, header.value) for header in headers)


class Watch:
    """What goes through, from the watch's making on. Use it in `async with`, or `close` it."""

    def __init__(self, handle: _wit.Watch) -> None:
        self._handle = Handle(handle, "the watch is closed: read it inside `async with agent_ctx.proxy.watch(…)`")

    async def next(self, *, timeout_ms: float | None = None) -> Exchange:
        """The next exchange that is over; waits for one if need be.

        Raises `armada.TimeoutError` when there is none in time, `armada.LimitError` once if more went through than the
        limit `bytes_kept` allows to be kept, and `armada.ClosedError` when the watch is closed.
        """
        time = None if timeout_ms is None else milliseconds(timeout_ms, "`timeout_ms`")
        given = await self._handle.call(lambda watch: watch.next(time))
        return Exchange(
            method=given.method,
            url=given.url,
            request_headers=_headers(given.request_headers),
            request_body=given.request_body,
            status=given.status,
            response_headers=_headers(given.response_headers),
            response_body=given.response_body,
            failure=given.failure,
            duration_ms=given.duration_ms,
        )

    def close(self) -> None:
        """Ends the watch, also for tasks that wait for it."""
        self._handle.close()

    async def __aenter__(self) -> Watch:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __aiter__(self) -> AsyncIterator[Exchange]:
        return self

    async def __anext__(self) -> Exchange:
        return await self.next()


class Proxy:
    """The agent's way out: `agent_ctx.proxy`."""

    @takes('write `watch("**/api/*", bodies=True)`')
    def watch(self, pattern: str, *, bodies: bool = False) -> Watch:
        """Watches requests of the browser whose URL matches a pattern, as those of `page.route` are; with their bodies, or
        not."""
        return Watch(_wit.watch_traffic(pattern, bodies))

    def status(self) -> ProxyStatus:
        """Where traffic leaves now."""
        return _status(_wit.status())

    @takes('write `change_upstream("DE", tags=["residential"], sticky="session 7")`')
    async def change_upstream(
        self, location: str | None = None, *, tags: Iterable[str] = (), sticky: str | None = None
    ) -> ProxyStatus:
        """Leases another upstream proxy: in a job for this job, in the agent context for all jobs to come. Connections
        through the one before are cut.

        `location` is that of `config_proxy` unless given, and anywhere where it is empty; the same text for `sticky` gets
        the same proxy, in other runs, too, as long as there is one.

        Raises `armada.NotFoundError` when the operator has none like it, `armada.UnavailableError` when all of them are
        taken, `armada.InvalidError` where `config_proxy.upstream_proxy_enabled` is off.
        """
        if isinstance(tags, str):
            raise TypeError(f"`tags` must be a list of str: write `tags=[{tags!r:.100}]`")
        return _status(await _wit.change_upstream(location, list(tags), sticky))

    async def verify_ip(self) -> str:
        """Looks up the address that traffic comes out at, and gives it.

        Raises `armada.UnavailableError` when it is not the proxy's, or could not be looked up.
        """
        return await _wit.verify_ip()
