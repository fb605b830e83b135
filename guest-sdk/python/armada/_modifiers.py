"""The modifiers of a project, for the host to call: modules by name, each imported when it is first asked."""

import functools
import importlib
import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

from wit_world.exports import modifiers as wit

from ._modules import MODULES
from ._project import call
from .errors import Failure
from .modifiers import Headers, Request, Response

# The functions of a module, and what each of them is given.
_FUNCTIONS = {"modify_request": "the request", "modify_response": "the response, whose `request` is the request"}


def _module(name: str) -> ModuleType:
    if name not in MODULES.own_modules():
        raise Failure(f"the project has no module `{name}`, which config_proxy.modifiers names")
    module = importlib.import_module(name)
    if not any(hasattr(module, function) for function in _FUNCTIONS):
        raise Failure(f"the module `{name}` has neither `modify_request(request)` nor `modify_response(response)`")
    return module


@functools.cache
def _function(name: str, function: str) -> Callable[[Any], Any] | None:
    """A function of a module, if it has that."""
    modify: Any = getattr(_module(name), function, None)
    if modify is None:
        return None
    if not callable(modify):
        kind = type(modify).__name__
        raise Failure(f"`{function}` of the module `{name}` must be a function of {_FUNCTIONS[function]}, not {kind}")
    try:
        inspect.signature(modify).bind(None)
    except TypeError:
        code = getattr(modify, "__code__", None)
        place = "" if code is None else f" ({code.co_filename}:{code.co_firstlineno})"
        raise Failure(
            f"`{function}` of the module `{name}` must take one argument, {_FUNCTIONS[function]}{place}"
        ) from None
    except ValueError:
        # What is not written in Python may not say what it takes.
        pass
    found: Callable[[Any], Any] = modify
    return found


async def _ask(name: str, function: str, modify: Callable[[Any], Any], about: Request | Response) -> None:
    returned = await call(modify, about)
    if returned is not None:
        said = f"`{function}` of the module `{name}` has returned something ({type(returned).__name__})"
        raise TypeError(f"{said}: it changes what it is given, and returns nothing")


def _request(request: wit.Request) -> Request:
    return Request(request.method, request.url, _headers(request.headers), request.body)


def _headers(headers: list[wit.Header]) -> Headers:
    return Headers((header.name, header.value) for header in headers)


def _wit_headers(headers: Headers) -> list[wit.Header]:
    return [wit.Header(name, value) for name, value in headers.multi_items()]


def _wit_response(response: Response) -> wit.Response:
    return wit.Response(response.status, _wit_headers(response.headers), response.body)


async def modify_request(name: str, given: wit.Request) -> wit.RequestVerdict:
    """Asks a module about a request."""
    modify = _function(name, "modify_request")
    if modify is None:
        return wit.RequestVerdict_Unchanged()
    request = _request(given)
    await _ask(name, "modify_request", modify, request)
    if request.blocked is not None:
        return wit.RequestVerdict_Blocked(request.blocked)
    if request.answer is not None:
        return wit.RequestVerdict_Answered(_wit_response(request.answer))
    changed = wit.Request(request.method, request.url, _wit_headers(request.headers), request.body)
    return wit.RequestVerdict_Unchanged() if changed == given else wit.RequestVerdict_Changed(changed)


async def modify_response(name: str, request: wit.Request, given: wit.Response) -> wit.ResponseVerdict:
    """Asks a module about a response."""
    modify = _function(name, "modify_response")
    if modify is None:
        return wit.ResponseVerdict_Unchanged()
    response = Response(_request(request), given.status, _headers(given.headers), given.body)
    await _ask(name, "modify_response", modify, response)
    if response.blocked is not None:
        return wit.ResponseVerdict_Blocked(response.blocked)
    changed = _wit_response(response)
    return wit.ResponseVerdict_Unchanged() if changed == given else wit.ResponseVerdict_Changed(changed)
