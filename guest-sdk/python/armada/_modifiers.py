"""The modifiers of a project, for the host to call: modules by name, each imported when it is first asked."""

import importlib
from types import ModuleType
from typing import Any, cast

from wit_world.exports import modifiers as wit

from ._modules import MODULES
from ._project import call
from .errors import Failure
from .modifiers import Headers, Request, Response

_FUNCTIONS = ("modify_request", "modify_response")


def _module(name: str) -> ModuleType:
    if name not in MODULES.own_modules():
        raise Failure(f"the project has no module `{name}`, which config_proxy.modifiers names")
    module = importlib.import_module(name)
    if not any(hasattr(module, function) for function in _FUNCTIONS):
        raise Failure(f"the module `{name}` has neither `modify_request(request)` nor `modify_response(response)`")
    return module


def _request(request: wit.Request) -> Request:
    return Request(request.method, request.url, _headers(request.headers), request.body)


def _headers(headers: list[wit.Header]) -> Headers:
    return Headers((header.name, header.value) for header in headers)


def _wit_headers(headers: Headers) -> list[wit.Header]:
    return [wit.Header(str(name), str(value)) for name, value in headers.multi_items()]


def _wit_body(body: Any) -> bytes | None:
    if body is None or isinstance(body, bytes):
        return body
    if isinstance(body, (bytearray, memoryview)):
        return bytes(cast(bytearray, body))
    raise TypeError(f"`body` must be bytes, not {type(body).__name__}; set `text` to a str")


def _wit_response(response: Response) -> wit.Response:
    status: Any = response.status
    if not isinstance(status, int) or not 200 <= status <= 599:
        raise ValueError(f"{status!r} is no HTTP status")
    return wit.Response(int(status), _wit_headers(response.headers), _wit_body(response.body))


def _check_nothing(name: str, returned: object) -> None:
    if returned is not None:
        kind = type(returned).__name__
        raise TypeError(f"a function of the module `{name}` has returned a {kind}: it changes what it is given, and returns nothing")


async def modify_request(name: str, given: wit.Request) -> wit.RequestVerdict:
    """Asks a module about a request."""
    modify = getattr(_module(name), "modify_request", None)
    if modify is None:
        return wit.RequestVerdict_Unchanged()
    request = _request(given)
    _check_nothing(name, await call(modify, request))
    if request.blocked is not None:
        return wit.RequestVerdict_Blocked(str(request.blocked))
    if request.answer is not None:
        return wit.RequestVerdict_Answered(_wit_response(request.answer))
    headers, body = _wit_headers(request.headers), _wit_body(request.body)
    changed = wit.Request(str(request.method), str(request.url), headers, body)
    return wit.RequestVerdict_Unchanged() if changed == given else wit.RequestVerdict_Changed(changed)


async def modify_response(name: str, request: wit.Request, given: wit.Response) -> wit.ResponseVerdict:
    """Asks a module about a response."""
    modify = getattr(_module(name), "modify_response", None)
    if modify is None:
        return wit.ResponseVerdict_Unchanged()
    response = Response(_request(request), given.status, _headers(given.headers), given.body)
    _check_nothing(name, await call(modify, response))
    if response.blocked is not None:
        return wit.ResponseVerdict_Blocked(str(response.blocked))
    changed = _wit_response(response)
    return wit.ResponseVerdict_Unchanged() if changed == given else wit.ResponseVerdict_Changed(changed)
