"""What a project does to its browser's traffic, beside the script.

A modifier is a module of the project that `config_proxy.modifiers` names, with one or both of these functions, which may
be async:

    # addon/prices.py
    from armada.modifiers import Request, Response

    def modify_request(request: Request) -> None:
        request.headers["x-seen-by"] = "armada"

    def modify_response(response: Response) -> None:
        if response.text is not None:
            response.text = response.text.replace("9.99", "0.00")

They change what they are given, and return nothing. Headers are set by name, or all at once to a `dict` or a list of
pairs; a mistake in what is set is told where it is set. Modifiers run in an instance of their own: what their modules keep
is not the script's, and of the capabilities they have only `armada.monitoring`. One that raises an exception, or takes too
long, fails the request.
"""

from __future__ import annotations

import json as _json
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

from ._headers import Given, Headers
from ._words import takes

__all__ = ["Headers", "Request", "Response"]

_Get = TypeVar("_Get")
_Set = TypeVar("_Set")


class _Checked(Generic[_Get, _Set]):
    """An attribute that is checked when it is set."""

    def __init__(self, check: Callable[[str, Any], _Get]) -> None:
        self._check = check

    def __set_name__(self, owner: type, name: str) -> None:
        self._name, self._place = name, f"_{name}"

    def __get__(self, of: object, owner: type | None = None) -> _Get:
        return cast(_Get, getattr(of, self._place))

    def __set__(self, of: object, value: _Set) -> None:
        setattr(of, self._place, self._check(self._name, value))


def _must(name: str, be: str, value: object) -> TypeError:
    return TypeError(f"`{name}` must be {be}, not {'None' if value is None else type(value).__name__}")


def _check_str(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise _must(name, "a str", value)
    return value


def _check_headers(_: str, value: Any) -> Headers:
    return value if isinstance(value, Headers) else Headers(value)


def _check_body(name: str, value: Any) -> bytes | None:
    if isinstance(value, str):
        raise TypeError(f"`{name}` must be bytes, not str: set `text`, or encode it")
    if value is not None and not isinstance(value, bytes | bytearray | memoryview):
        raise _must(name, "bytes", value)
    return None if value is None else bytes(cast(bytes, value))


def _check_status(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _must(name, "an int such as 404", value)
    if not 200 <= value <= 599:
        raise ValueError(f"`{name}` must be an HTTP status from 200 to 599, not {value}")
    return int(value)


class _Message:
    """What requests and responses have in common."""

    __slots__ = ("_body", "_headers", "blocked")

    headers: _Checked[Headers, Given] = _Checked(_check_headers)
    body: _Checked[bytes | None, bytes | bytearray | memoryview | None] = _Checked(_check_body)
    """The body, if the modifier asks for bodies of this URL and there is one; setting it replaces the one there is, and `None`
    leaves that as it is."""

    def __init__(self, headers: Given, body: bytes | None) -> None:
        self.headers = headers
        self.body = body
        self.blocked: str | None = None

    @property
    def text(self) -> str | None:
        """The body as text, if there is one and it is UTF-8."""
        if self.body is None:
            return None
        try:
            return self.body.decode()
        except UnicodeDecodeError:
            return None

    @text.setter
    def text(self, text: str) -> None:
        given: Any = text
        if given is None:
            raise TypeError('`text` must be a str, not None: "" empties the body')
        self.body = _check_str("text", given).encode()

    def json(self) -> Any:
        """The body's value as JSON."""
        if self.body is None:
            raise ValueError("there is no body to read: is the URL among the `bodies` that config_proxy.modifiers names?")
        return _json.loads(self.body)

    @takes('write `block("why")`')
    def block(self, reason: str) -> None:
        """Fails the request in the page, for this reason."""
        self.blocked = _check_str("reason", reason)


class Request(_Message):
    """A request that the browser makes."""

    __slots__ = ("_method", "_url", "answer")

    method: _Checked[str, str] = _Checked(_check_str)
    url: _Checked[str, str] = _Checked(_check_str)

    def __init__(self, method: str, url: str, headers: Given, body: bytes | None = None) -> None:
        super().__init__(headers, body)
        self.method = method
        self.url = url
        self.answer: Response | None = None

    @takes('write `respond(404, body="gone", headers={"x-why": "test"})` or `respond(json={"price": 7})`')
    def respond(
        self, status: int = 200, *, body: str | bytes | None = None, headers: Given | None = None, json: Any = None
    ) -> None:
        """Gives the browser this, and sends nothing."""
        given = Headers(() if headers is None else headers)
        if json is not None:
            if body is not None:
                raise TypeError("`respond` takes `body` or `json`, not both")
            body = _json.dumps(json)
            given.setdefault("content-type", "application/json")
        content = body.encode() if isinstance(body, str) else body
        self.answer = Response(self, 200, given, content or b"")
        self.answer.status = status


class Response(_Message):
    """A response that the browser gets."""

    __slots__ = ("_status", "request")

    status: _Checked[int, int] = _Checked(_check_status)

    def __init__(self, request: Request, status: int, headers: Given, body: bytes | None = None) -> None:
        super().__init__(headers, body)
        self.request = request
        """What it is the response to."""
        # What a server has said is not checked, so that it may stay.
        self._status = status

    @property
    def url(self) -> str:
        """The URL that was requested."""
        return self.request.url
