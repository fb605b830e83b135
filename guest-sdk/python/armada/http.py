"""HTTP requests of your own, without a browser.

    from armada import http

    response = await http.get("https://example.com/api/prices", params={"day": "today"})
    response.raise_for_status()
    prices = response.json()

    await http.post("https://example.com/api/orders", json={"item": 7}, headers={"x-client": "7"}, timeout=10)

    await http.get("https://crm.example/", headers={"authorization": http.Secret("crm_token", prefix="Bearer ")})

    async with http.stream("GET", "https://example.com/large.csv") as response:
        async for piece in response.iter_bytes():
            ...

Names and signatures are those of httpx. Requests go to the run's allowed hosts only, and so do redirects, of which ten are
followed. The capability `http` has to be among `run_message.sandbox.capabilities`.
"""

from __future__ import annotations

import base64
import codecs
import json as _json
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias, TypedDict, Unpack, cast
from urllib.parse import urlencode

from ._handles import Handle
from ._headers import Headers
from ._host import http as _wit
from ._words import milliseconds
from .errors import InvalidError, OtherError

__all__ = [
    "Headers",
    "RequestOptions",
    "Response",
    "Secret",
    "delete",
    "get",
    "head",
    "patch",
    "post",
    "put",
    "request",
    "stream",
]

Pairs: TypeAlias = Mapping[str, Any] | Iterable[tuple[str, Any]]
"""Names and values: a `dict`, or pairs where a name may be there more than once. A list as a value is a pair for each."""

_PIECE = 64 * 1024


@dataclass(frozen=True)
class Secret:
    """A secret of the operator's as the value of a header: it is sent without the script seeing it.

    It goes to the origins that the operator has bound it to: a request to any other raises `armada.DeniedError`, and one that
    is redirected to another origin is made there without it. Its name has to be among `run_message.sandbox.secrets`, and the
    capability `secrets` among `run_message.sandbox.capabilities`. What the server makes of it is its own affair: one that
    answers with what it was sent shows it to the script."""

    name: str
    """The secret's name."""
    prefix: str = ""
    """What the header's value begins with, such as `Bearer `."""


class Response:
    """A response, whatever its status."""

    def __init__(self, head: _wit.Response, body: _wit.Body) -> None:
        self._body = Handle(body, "the body is closed: read it inside `async with armada.http.stream(…)`")
        self._content: bytes | None = None
        self.status: int = head.status
        """Its status, such as 200."""
        self.url: str = head.url
        """Where it came from, after redirects."""
        self.headers = Headers([(header.name, header.value) for header in head.headers])
        """Its headers."""

    def __repr__(self) -> str:
        return f"<Response {self.status} {self.url!r}>"

    @property
    def status_code(self) -> int:
        """The same as `status`, as httpx calls it."""
        return self.status

    @property
    def is_success(self) -> bool:
        """Whether the status is from 200 to 299."""
        return 200 <= self.status < 300

    @property
    def content(self) -> bytes:
        """Its body."""
        if self._content is None:
            raise InvalidError("the body has not been read: `await response.aread()` reads it all")
        return self._content

    @property
    def text(self) -> str:
        """Its body as text, of the encoding that its `Content-Type` names, else UTF-8. What cannot be read is replaced."""
        return self.content.decode(self._encoding(), errors="replace")

    def json(self, **options: Any) -> Any:
        """Its body, read as JSON; the options are those of `json.loads`."""
        try:
            return _json.loads(self.content, **options)
        except ValueError as error:
            raise OtherError(
                f"the response of {self.url} is no JSON: {error}: it begins {self.text[:80]!r}"
            ) from None

    def raise_for_status(self) -> Response:
        """Raises `armada.OtherError` when the status is from 400 to 599; gives the response otherwise."""
        if 400 <= self.status < 600:
            raise OtherError(f"{self.url} answered with status {self.status}")
        return self

    async def aread(self) -> bytes:
        """Reads the rest of its body."""
        if self._content is None:
            self._content = await self._body.call(lambda body: body.read_all())
            self.close()
        return self._content

    async def iter_bytes(self, chunk_size: int = _PIECE) -> AsyncIterator[bytes]:
        """Its body as it arrives, in pieces of at most so many bytes."""
        while piece := await self._body.call(lambda body: body.read(chunk_size)):
            yield piece

    async def iter_lines(self) -> AsyncIterator[str]:
        """The lines of its text as it arrives, without their ends."""
        decoder = codecs.getincrementaldecoder(self._encoding())(errors="replace")
        rest = ""
        async for piece in self.iter_bytes():
            *lines, rest = (rest + decoder.decode(piece)).split("\n")
            for line in lines:
                yield line.removesuffix("\r")
        if rest := rest + decoder.decode(b"", final=True):
            yield rest

    def close(self) -> None:
        """Ends it, also for tasks that read it: what has not been read is not received."""
        self._body.close()

    def _encoding(self) -> str:
        _, _, named = self.headers.get("content-type", "").lower().partition("charset=")
        try:
            return codecs.lookup(named.split(";")[0].strip(" \"'")).name
        except LookupError:
            return "utf-8"


class RequestOptions(TypedDict, total=False):
    """What a request may have."""

    params: Pairs | None
    """Names and values that are added to the URL's query."""
    headers: Pairs | None
    """Its headers; a value may be a `Secret`."""
    content: bytes | str | None
    """Its body."""
    data: Pairs | None
    """Its body, as a form sends it."""
    json: Any
    """Its body, as JSON."""
    auth: tuple[str, str] | None
    """A user name and a password (RFC 7617)."""
    timeout: float | None
    """How long it may take, in seconds, to the end of the response's body."""
    follow_redirects: bool
    """Whether redirects are followed, as they are where this is not given."""
    max_redirects: int
    """How many redirects are followed, at most 10, which it is where this is not given."""


async def request(method: str, url: str, **options: Unpack[RequestOptions]) -> Response:
    """Makes a request and reads its response.

    Raises `armada.DeniedError` for a host that is not allowed, `armada.TimeoutError`, `armada.LimitError` for what is too
    large or too many at once, `armada.UnavailableError` when there is no response, and `armada.InvalidError` for what
    cannot be sent.
    """
    async with stream(method, url, **options) as response:
        await response.aread()
    return response


@asynccontextmanager
async def stream(method: str, url: str, **options: Unpack[RequestOptions]) -> AsyncGenerator[Response]:
    """Makes a request, as `request` does; its response is read inside `async with`, as it arrives."""
    asked = _asked(method, url, **options)
    response = Response(*await _wit.send(asked))
    try:
        yield response
    finally:
        response.close()


async def get(url: str, **options: Unpack[RequestOptions]) -> Response:
    """A request with the method `GET`."""
    return await request("GET", url, **options)


async def head(url: str, **options: Unpack[RequestOptions]) -> Response:
    """A request with the method `HEAD`."""
    return await request("HEAD", url, **options)


async def post(url: str, **options: Unpack[RequestOptions]) -> Response:
    """A request with the method `POST`."""
    return await request("POST", url, **options)


async def put(url: str, **options: Unpack[RequestOptions]) -> Response:
    """A request with the method `PUT`."""
    return await request("PUT", url, **options)


async def patch(url: str, **options: Unpack[RequestOptions]) -> Response:
    """A request with the method `PATCH`."""
    return await request("PATCH", url, **options)


async def delete(url: str, **options: Unpack[RequestOptions]) -> Response:
    """A request with the method `DELETE`."""
    return await request("DELETE", url, **options)


def _asked(
    method: str,
    url: str,
    *,
    params: Pairs | None = None,
    headers: Pairs | None = None,
    content: bytes | str | None = None,
    data: Pairs | None = None,
    json: Any = None,
    auth: tuple[str, str] | None = None,
    timeout: float | None = None,
    follow_redirects: bool = True,
    max_redirects: int = 10,
) -> _wit.Request:
    """A request as the contract has it."""
    if sum(body is not None for body in (content, data, json)) > 1:
        raise InvalidError("give one of `content`, `data` and `json`")
    media_type = None
    body = content.encode() if isinstance(content, str) else content
    if data is not None:
        body, media_type = urlencode(_pairs("data", data)).encode(), "application/x-www-form-urlencoded"
    elif json is not None:
        body, media_type = _json_of(json), "application/json"
    pairs = _pairs("headers", headers)
    secret = [(name, value) for name, value in pairs if isinstance(value, Secret)]
    sent = [(name, str(value)) for name, value in pairs if not isinstance(value, Secret)]
    given = {name.lower() for name, _ in pairs}
    if media_type is not None and "content-type" not in given:
        sent.append(("content-type", media_type))
    if auth is not None and "authorization" not in given:
        sent.append(("authorization", _basic(auth)))
    return _wit.Request(
        method=method.upper(),
        url=_with_query(url, _pairs("params", params)),
        headers=[_wit.Header(name, value) for name, value in sent],
        secret_headers=[_wit.SecretHeader(name, value.prefix, value.name) for name, value in secret],
        body=body,
        timeout_ms=None if timeout is None else milliseconds(timeout, "`timeout`", "seconds"),
        redirects=max_redirects if follow_redirects else 0,
    )


def _json_of(given: Any) -> bytes:
    try:
        return _json.dumps(given, ensure_ascii=False, allow_nan=False).encode()
    except ValueError as error:
        raise InvalidError(f"`json` cannot be written as JSON: {error}") from None


def _basic(auth: Any) -> str:
    """A user name and a password as they are sent."""
    parts: list[Any] = list(cast(Any, auth)) if isinstance(auth, list | tuple) else []
    if len(parts) != 2 or not all(isinstance(part, str) for part in parts):
        raise TypeError('`auth` must be a user name and a password, both str: write `auth=("ada", "…")`')
    return f"Basic {base64.b64encode(':'.join(parts).encode()).decode()}"


def _pairs(option: str, given: Pairs | None) -> list[tuple[str, Any]]:
    """Names and values of an option, one pair for each value; those that are `None` are left out."""
    listed: Any = given or ()
    members: Any = listed.items() if hasattr(listed, "items") else listed
    pairs: list[tuple[str, Any]] = []
    try:
        if isinstance(listed, str | bytes):
            raise TypeError
        for name, value in members:
            values = cast("list[Any]", value) if isinstance(value, list | tuple) else [value]
            pairs.extend((name, one) for one in values if one is not None)
    except (TypeError, ValueError):
        shapes = 'a dict such as {"a": "1"}, or a list of pairs such as ("a", "1")'
        text = ": `content` is for a body that is written already" if option == "data" else ""
        raise TypeError(f"`{option}` must be {shapes}{text}") from None
    return pairs


def _with_query(url: str, pairs: list[tuple[str, Any]]) -> str:
    """A URL with more in its query."""
    if not pairs:
        return url
    url, hash_mark, fragment = url.partition("#")
    joint = "" if url.endswith(("?", "&")) else "&" if "?" in url else "?"
    return f"{url}{joint}{urlencode(pairs)}{hash_mark}{fragment}"
