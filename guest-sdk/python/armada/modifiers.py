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

They change what they are given. Modifiers run in an instance of their own: what their modules keep is not the script's, and
of the capabilities they have only `armada.monitoring`. One that raises an exception, or takes too long, fails the
request.
"""

from __future__ import annotations

import json as _json
from typing import Any

from ._headers import Headers

__all__ = ["Headers", "Request", "Response"]


class _Message:
    """What requests and responses have in common."""

    def __init__(self, headers: Headers, body: bytes | None) -> None:
        self.headers = headers
        self.body = body
        """The body, if the modifier asks for bodies of this URL and there is one; setting it replaces the one there is."""
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
        self.body = text.encode()

    def json(self) -> Any:
        """The body's value as JSON."""
        return _json.loads(self.body or b"")

    def block(self, reason: str) -> None:
        """Fails the request in the page, for this reason."""
        self.blocked = reason


class Request(_Message):
    """A request that the browser makes."""

    def __init__(self, method: str, url: str, headers: Headers, body: bytes | None = None) -> None:
        super().__init__(headers, body)
        self.method = method
        self.url = url
        self.answer: Response | None = None

    def respond(
        self, status: int = 200, *, body: str | bytes = b"", headers: dict[str, str] | None = None, json: Any = None
    ) -> None:
        """Gives the browser this, and sends nothing."""
        given = Headers((headers or {}).items())
        if json is not None:
            body = _json.dumps(json)
            given.setdefault("content-type", "application/json")
        content = body.encode() if isinstance(body, str) else body
        self.answer = Response(self, status, given, content)


class Response(_Message):
    """A response that the browser gets."""

    def __init__(self, request: Request, status: int, headers: Headers, body: bytes | None = None) -> None:
        super().__init__(headers, body)
        self.request = request
        """What it is the response to."""
        self.status = status

    @property
    def url(self) -> str:
        """The URL that was requested."""
        return self.request.url
