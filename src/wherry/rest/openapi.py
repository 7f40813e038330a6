"""``/openapi.json``: the API of this server as an OpenAPI 3.1 document.

Made from the routes themselves, so that it has every route there is and no other: paths and
methods from the table, words from the docstrings, bodies and arguments from ``described``.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wherry import __version__
from wherry.http.answers import json_answer
from wherry.http.routing import METHODS
from wherry.model import Level
from wherry.rest.described import OPERATIONS
from wherry.rest.payloads import DICOM, JSON, TEXT, Operation, Query

_PARAMETER = re.compile(r"\{(\w+)(?::\w+)?\}")
_HEADING = re.compile(
    r"^`*(?:GET|POST|PUT|DELETE) [/…](?:\{[^}]*\}|[^\s:;,`{])*`*(?: and /\w+)?"
    r"(?:\.$|[:;,.]\s+|\s+|$)"
)
"""What a docstring of a route begins with."""
_PLURALS = {level.plural: level for level in Level}
_BINARY = {DICOM, "application/octet-stream"}

_ERROR = {
    "type": "object",
    "properties": {
        "Details": {"type": "string"},
        "HttpError": {"type": "string"},
        "HttpStatus": {"type": "integer"},
        "Message": {"type": "string"},
        "Method": {"type": "string"},
        "OrthancError": {"type": "string"},
        "OrthancStatus": {"type": "integer"},
        "Uri": {"type": "string"},
    },
}
_REFUSALS = {
    "401": {"description": "No, or wrong, name and password"},
    "4XX": {"$ref": "#/components/responses/Error"},
    "500": {
        "description": "A DICOM tag that no dictionary knows (OrthancStatus 27), another machine "
        "that does not answer (9), or a defect",
    },
    "503": {"description": "Too much at once; Retry-After says when to come back"},
}
_ABOUT = {
    "id": "An Orthanc identifier, or that of a job or a transfer",
    "name": "A name, or a number where names stand for numbers",
}


def routes() -> list[Route]:
    """The route of the document."""
    return [Route("/openapi.json", openapi)]


def openapi(request: Request) -> Response:
    """GET /openapi.json: this document."""
    return json_answer(document(request.app.routes))


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """The OpenAPI document of these routes."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        path = _PARAMETER.sub(r"{\1}", route.path)
        for method in sorted((route.methods or {"GET"}) & set(METHODS)):
            paths.setdefault(path, {})[method.lower()] = _operation(method, route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Wherry",
            "version": __version__,
            "description": "The REST API of Orthanc, as Wherry speaks it.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "security": [{}, {"basic": []}],
        "components": {
            "securitySchemes": {"basic": {"type": "http", "scheme": "basic"}},
            "responses": {
                "Error": {
                    "description": "Refused; many refusals have no body",
                    "content": {TEXT: {"schema": {"$ref": "#/components/schemas/Error"}}},
                }
            },
            "schemas": {"Error": _ERROR},
        },
    }


def key_of(method: str, path: str) -> str:
    """The key of a route in ``described.OPERATIONS``: that of its own level, if there is one."""
    own = _PARAMETER.sub("{}", path)
    segments = own.split("/")
    if segments[1] in _PLURALS and f"{method} {own}" not in OPERATIONS:
        segments[1] = "{L}"
    return f"{method} {'/'.join(segments)}"


def _operation(method: str, route: Route) -> dict[str, Any]:
    told = OPERATIONS.get(key_of(method, route.path), Operation())
    if key_of(method, route.path) == "POST /{L}" and not route.path.startswith("/instances"):
        told = Operation()
    function = _function(route.endpoint)
    summary, description = _words(function)
    slug = re.sub(r"\W+", "-", route.path).strip("-") or "root"
    found: dict[str, Any] = {
        "operationId": f"{method.lower()}-{slug}",
        "summary": summary,
        "tags": [function.__module__.rpartition(".")[2]],
        "parameters": [*_in_path(route.path), *map(_in_query, told.query)],
        "responses": {"200": _answer(told), **_REFUSALS},
    }
    if description:
        found["description"] = description
    if told.body is not None:
        content = {told.body_type: {"schema": told.body} if told.body else {}}
        found["requestBody"] = {"content": content, "required": told.body_type == JSON}
    return found


def _function(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    while isinstance(endpoint, partial):
        endpoint = endpoint.func
    return endpoint


def _words(function: Callable[..., Any]) -> tuple[str, str]:
    """The first paragraph of a docstring without the path it begins with, and the others."""
    first, _, rest = (inspect.getdoc(function) or "").partition("\n\n")
    text = _HEADING.sub("", " ".join(first.split())).rstrip(".")
    text = text or function.__name__.strip("_").replace("_", " ")
    return _code(text[:1].upper() + text[1:]), _code(rest.strip())


def _code(text: str) -> str:
    """From the marks of docstrings to those of Markdown."""
    return text.replace("``", "`")


def _in_path(path: str) -> Iterator[dict[str, Any]]:
    for name in _PARAMETER.findall(path):
        found = {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        yield found | ({"description": _ABOUT[name]} if name in _ABOUT else {})


def _in_query(query: Query) -> dict[str, Any]:
    found = {"name": query.name, "in": "query", "schema": query.schema}
    return found | {"description": query.about}


def _answer(told: Operation) -> dict[str, Any]:
    if told.answer_type in _BINARY:
        return {"description": "Bytes", "content": {told.answer_type: {}}}
    schema = {"schema": told.answer} if told.answer else {}
    return {"description": "Done", "content": {told.answer_type: schema}}
