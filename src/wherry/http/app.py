"""The ASGI application: one wrapper around every route.

A request passes, in this order: bound on its URL, normalisation of the path, authentication,
routing, the route's own function, and the translation of errors. A route is a Starlette ``Route``;
its function is either ``async def`` (runs on the event loop and must not block) or plain ``def``
(runs in a worker thread).

Not here: parsing of HTTP (uvicorn, ``protocol``), routes, and what they do.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from wherry import clock, limits
from wherry.errors import Unavailable, UnknownResource, WherryError
from wherry.http.answers import Answer, empty_answer, error_answer, unauthorized
from wherry.http.auth import Guard
from wherry.http.body import BODY_READ
from wherry.http.compression import compressing
from wherry.http.remembered import Remembered
from wherry.http.routing import METHODS, Table, normalise, type_async, type_blocking
from wherry.http.services import Services
from wherry.http.threads import in_thread

if TYPE_CHECKING:
    from wherry.config import Config

_log = logging.getLogger(__name__)

_SEEN = "wherry.seen"
"""Set in the ASGI scope of a request for what shows the index alone: its state, before."""

_READY = "wherry.ready"
"""In the ASGI scope: the response, found by ``at_once``."""

_OVERRIDES = ("PUT", "DELETE", "POST")
"""What a POST may stand for. Never GET: what is read may be kept by what lies between."""

_TRIED = "wherry.tried"
"""In the ASGI scope: ``at_once`` has tried, and it did not do."""


class _Undecided(Exception):
    """A password has to be checked first, which takes a while."""


def build_app(routes: Sequence[Route], services: Services, config: Config) -> Application:
    """The application that serves ``routes`` over the rooms in ``services``."""
    users = config.registered_users if config.authentication_enabled else None
    return Application(
        Table(routes),
        services,
        Guard(users, remote_access_allowed=config.remote_access_allowed),
        describe_errors=config.http_describe_errors,
        compress=config.http_compression_enabled,
    )


class Application:
    """An ASGI 3 application for HTTP (start it with ``lifespan="off"``)."""

    def __init__(
        self,
        table: Table,
        services: Services,
        guard: Guard,
        *,
        describe_errors: bool,
        compress: bool = False,
    ) -> None:
        self.state = SimpleNamespace(services=services)
        self.routes = table.routes
        self.paths = frozenset(route.path for route in table.routes)
        self._table = table
        self._guard = guard
        self._describe_errors = describe_errors
        self._compress = compress
        self._embedded = services.index.embedded
        self.remembered = Remembered(services.index.state)
        self._metrics = services.metrics
        self._active = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        started = clock.monotonic()
        self._active += 1
        self._metrics.observe("orthanc_rest_api_active_requests", self._active)
        scope["app"] = self
        if self._compress:
            send = compressing(scope, send)
        status = 0
        try:
            request = Request(scope, receive, send)
            response = await self._answer(request)
            self._remember(scope, response)
            status = response.status_code
            if response.status_code >= 400 and _may_have_unread_body(scope):
                await _send_and_linger(response, scope, receive, send)
            else:
                await response(scope, receive, send)
        except ClientDisconnect:
            pass
        finally:
            self._active -= 1
            self._answered(scope, status, started)

    def at_once(self, scope: Scope) -> Answer | None:
        """The answer to a request without a body if nothing has to be waited for, else None."""
        if not self._embedded or scope["method"] != "GET":
            return None
        found = self._table.find(scope["path"])
        if found is None:
            return None
        attempt = found[0].quick.get("GET")
        if found[0].of_index and not self._compress:
            try:
                scope[_SEEN] = self.remembered.look()
            except WherryError:
                return None  # the ordinary way will say what is wrong
        elif attempt is None:
            return None
        started = clock.monotonic()
        self._metrics.observe("orthanc_rest_api_active_requests", self._active + 1)
        scope["app"] = self
        request = Request(scope)
        try:
            response = self._refusal(request)
        except _Undecided:
            return None
        if response is None and _SEEN in scope:
            response = self.remembered.get((scope["path"], scope["query_string"]))
        if response is None:
            if attempt is None:
                return None
            place, values = found
            scope["path_params"] = dict(zip(place.names["GET"], values, strict=True))
            try:
                response = attempt(request)
            except Exception as error:
                response = self._error(error, request)
            if response is None:
                scope[_TRIED] = True
                return None
        if type(response) is not Answer or self._compress:  # to be sent piece by piece
            scope[_READY] = response
            return None
        self._remember(scope, response)
        self._answered(scope, response.status_code, started)
        return response

    def _remember(self, scope: Scope, response: Response) -> None:
        """Keep the answer, when it shows the index alone, for as long as that does not change."""
        if _SEEN in scope and type(response) is Answer and response.status_code == 200:
            key = (scope["path"], scope["query_string"])
            self.remembered.put(key, response, len(response.body), scope[_SEEN])

    def _answered(self, scope: Scope, status: int, started: float) -> None:
        """One request is over; status 0 = nobody waited for the answer."""
        elapsed_ms = (clock.monotonic() - started) * 1000
        self._metrics.observe("orthanc_rest_api_duration_ms", elapsed_ms)
        if _log.isEnabledFor(logging.DEBUG):  # without what is behind the question mark
            path = scope["raw_path"].decode("latin-1")[: limits.LOGGED_CHARACTERS]
            _log.debug("%s %s: %d in %.1f ms", scope["method"], path, status, elapsed_ms)

    async def _answer(self, request: Request) -> Response:
        scope = request.scope
        if _READY in scope:
            return cast(Response, scope.pop(_READY))
        try:
            refusal = self._refusal(request)
        except _Undecided:
            try:
                refusal = None if await self._guard.settle(scope) else unauthorized()
            except Unavailable as error:
                refusal = self._error(error, request)
        if refusal is not None:
            return refusal
        method = _method(scope)
        if method not in METHODS:
            return empty_answer(404 if method in ("HEAD", "OPTIONS") else 400)
        found = self._table.find(scope["path"])
        try:
            if found is None:
                return self._error(UnknownResource(), request)
            place, values = found
            endpoint = place.endpoints.get(method)
            if endpoint is None:
                return empty_answer(405, [(b"allow", place.allow.encode("ascii"))])
            scope["path_params"] = dict(zip(place.names[method], values, strict=True))
            attempt = place.quick.get(method) if self._embedded else None
            if attempt is not None and _TRIED not in scope:
                answer = attempt(request)
                if answer is not None:
                    return answer
            if place.blocking[method]:
                return await in_thread(cast(type_blocking, endpoint), request)
            return await cast(type_async, endpoint)(request)
        except ClientDisconnect:
            raise
        except Exception as error:
            return self._error(error, request)

    def _refusal(self, request: Request) -> Response | None:
        """What comes before the route: the bound on the URL, and who may come in."""
        scope = request.scope
        if len(scope["raw_path"]) + len(scope["query_string"]) > limits.URL_BYTES:
            return empty_answer(414)
        path = scope["path"]
        scope["path"] = normalise(path)
        if scope["method"] != "GET" and "/.." in path and ".." in path.split("/"):
            return empty_answer(404)  # else DELETE /instances/ID/labels/.. deletes the instance
        admitted = self._guard.admits(scope)
        if admitted is None:
            raise _Undecided
        return None if admitted else unauthorized()

    def _error(self, error: Exception, request: Request) -> Response:
        if not isinstance(error, WherryError) or error.code == -1:
            _log_defect(error, request.scope)
        known = error if isinstance(error, WherryError) else WherryError()
        return error_answer(known, request, describe=self._describe_errors)


def _method(scope: Scope) -> str:
    """The method, after ``X-HTTP-Method-Override`` of a POST."""
    method = str(scope["method"])
    if method == "POST":
        for name, value in scope["headers"]:
            if name == b"x-http-method-override" and value:
                wanted = value.decode("latin-1").upper()
                scope["method"] = method = wanted if wanted in _OVERRIDES else "?"
    return method


def _may_have_unread_body(scope: Scope) -> bool:
    """Whether more of a body may come than is worth reading in silence."""
    if scope.get(BODY_READ):
        return False
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) > limits.BODY_CHUNK_BYTES
        if name == b"transfer-encoding":
            return True
    return False


async def _send_and_linger(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    """Send a refusal while the body is still coming, read on for a moment, then close.

    Closing at once would make the kernel reset the connection, and the sender would never see why.
    """
    headers = [*response.raw_headers, (b"connection", b"close")]
    await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
    body = bytes(response.body)
    await send({"type": "http.response.body", "body": body, "more_body": True})
    taken = 0
    try:
        async with asyncio.timeout(limits.LINGER_S):
            while taken < limits.LINGER_BYTES:
                message = await receive()
                if not message.get("more_body", False):
                    break
                taken += len(message.get("body", b""))
    except TimeoutError:
        pass
    await send({"type": "http.response.body", "body": b""})


def _log_defect(error: BaseException, scope: Scope) -> None:
    """Where an unexpected error came from, without its text: that may hold patient data."""
    places = "".join(traceback.format_tb(error.__traceback__))
    _log.error("%s in %s %s\n%s", type(error).__name__, scope["method"], scope["path"], places)
