"""Searches: by tags (/tools/find) and by a DICOM identifier of any level (/tools/lookup)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wherry import limits
from wherry.dicom.tags import tag_of
from wherry.errors import BadRequest, ParameterOutOfRange
from wherry.http.answers import json_answer
from wherry.http.body import read_body, read_json
from wherry.http.services import Services, services
from wherry.http.threads import in_thread
from wherry.index import search
from wherry.model import Level
from wherry.rest import rendering
from wherry.rest.rendering import Form, Shape
from wherry.rest.resources import expanded

_LEVELS = {
    name: level
    for level in Level
    for name in {level.title.lower(), level.plural, level.title.lower() + "s"}
}


def routes() -> list[Route]:
    """Routes of searches."""
    return [
        Route("/tools/find", find, methods=["POST"]),
        Route("/tools/lookup", lookup, methods=["POST"]),
    ]


@dataclass(frozen=True)
class Query:
    """What /tools/find is asked."""

    level: Level
    tags: dict[str, str]
    case_sensitive: bool
    since: int
    limit: int
    expand: bool
    shape: Shape


async def find(request: Request) -> Response:
    """POST /tools/find."""
    body = await read_json(request, refuse=_NotAnObject)
    return await in_thread(_find, services(request), body)


class _NotAnObject(BadRequest):
    """The body of a search is not what it must be."""

    def __init__(self, details: str = "") -> None:
        super().__init__("The body must contain a JSON object")


def _find(rooms: Services, body: Any) -> Response:
    query = parse(body, case_sensitive=rooms.config.case_sensitive_pn)
    with rooms.index.read() as tx:
        ids = search.find(
            tx,
            query.level,
            query.tags,
            case_sensitive=query.case_sensitive,
            since=query.since,
            limit=query.limit,
        )
    return expanded(rooms, query.level, ids, query.shape) if query.expand else json_answer(ids)


def parse(body: Any, *, case_sensitive: bool) -> Query:
    """Check the body of a search. Raises ``BadRequest``, ``ParameterOutOfRange`` and
    ``UnknownDicomTag``."""
    if not isinstance(body, dict):
        raise _NotAnObject
    level = body.get("Level")
    if not isinstance(level, str):
        raise BadRequest('Field "Level" is missing, or should be a string')
    tags = body.get("Query")
    if not isinstance(tags, dict):
        raise BadRequest('Field "Query" is missing, or should be a JSON object')
    if level.lower() not in _LEVELS:
        raise ParameterOutOfRange(f"Unknown level: {level[:64]}")
    for name, value in tags.items():
        if not isinstance(value, str):
            raise BadRequest(f'Tag "{name[:64]}" should be associated with a string')
    form = Form.SHORT if _flag(body, "Short") else Form.KEYWORD
    return Query(
        level=_LEVELS[level.lower()],
        tags={tag_of(name): value for name, value in tags.items()},
        case_sensitive=_flag(body, "CaseSensitive", default=case_sensitive),
        since=_number(body, "Since"),
        limit=_number(body, "Limit"),
        expand=_flag(body, "Expand"),
        shape=Shape(Form.FULL if _flag(body, "Full") and form is not Form.SHORT else form),
    )


def _flag(body: Mapping[str, Any], name: str, *, default: bool = False) -> bool:
    value = body.get(name, default)
    if not isinstance(value, bool):
        raise BadRequest(f'Field "{name}" should be a Boolean')
    return value


def _number(body: Mapping[str, Any], name: str) -> int:
    value = body.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadRequest(f'Field "{name}" should be an integer')
    if not 0 <= value < 2**63:
        raise ParameterOutOfRange(f'Field "{name}" should be a positive integer')
    return value


async def lookup(request: Request) -> Response:
    """POST /tools/lookup: the resources that bear this identifier."""
    body = await read_body(request, limits.IDENTIFIER_BYTES)
    identifier = body.decode("utf-8", "replace").strip(" \t\r\n\0")
    return await in_thread(_lookup, services(request), identifier)


def _lookup(rooms: Services, identifier: str) -> Response:
    with rooms.index.read() as tx:
        found = search.lookup(tx, identifier) if identifier else []
    return json_answer([rendering.link(level, orthanc_id) for level, orthanc_id in found])
