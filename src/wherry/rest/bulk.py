"""Many resources in one request: /tools/bulk-content and /tools/bulk-delete.

Unknown identifiers are ignored. A deletion is one transaction: all of them are gone, or none.

Not here: bulk operations that make new instances.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wherry import limits
from wherry.errors import BadFileFormat, BadRequest, ParameterOutOfRange
from wherry.http.answers import empty_answer
from wherry.http.body import read_json
from wherry.http.services import Services, services
from wherry.http.threads import in_thread
from wherry.index import resources
from wherry.index.database import Transaction
from wherry.model import Level, Resource
from wherry.rest.expanding import describe, paged, type_page
from wherry.rest.shapes import Form, Shape

type_named = tuple[Level, str]
"""A resource by its level and identifier."""

_LEVELS = {
    name: level
    for level in Level
    for name in (level.title.lower(), level.plural, f"{level.title.lower()}s")
}


def routes() -> list[Route]:
    """Routes of bulk operations."""
    return [
        Route("/tools/bulk-content", content, methods=["POST"]),
        Route("/tools/bulk-delete", delete, methods=["POST"]),
    ]


class _NotAnObject(BadRequest):
    """The body of a bulk operation is not what it must be."""

    def __init__(self, details: str = "") -> None:
        super().__init__("The body must contain a JSON object")


async def content(request: Request) -> Response:
    """POST /tools/bulk-content: whole resources, or those above or below them at ``Level``."""
    body = await _body(request)
    ids = _ids(body)
    level = _level(body)
    form = Form.FULL if _flag(body, "Full") else Form.KEYWORD
    if _flag(body, "Short"):
        form = Form.SHORT
    shape = Shape(form, metadata=_flag(body, "Metadata", default=True))
    return await in_thread(_content, services(request), ids, level, shape)


def _content(rooms: Services, ids: Sequence[str], level: Level | None, shape: Shape) -> Response:
    with rooms.index.read() as tx:
        levels = resources.locate(tx, ids)
        named = [(levels[one], one) for one in ids if one in levels]
        if level is not None:
            named = [(level, one) for one in resources.kin(tx, named, level)]

    def pages() -> Iterator[type_page]:
        for start in range(0, len(named), limits.EXPANDED_PAGE):
            piece = named[start : start + limits.EXPANDED_PAGE]
            yield describe(rooms, partial(_fetch, named=piece), shape)

    return paged(pages())


def _fetch(tx: Transaction, named: Sequence[type_named]) -> list[Resource]:
    found: dict[str, Resource] = {}
    for level in {level for level, _ in named}:
        ids = [one for at, one in named if at is level]
        found |= {one.orthanc_id: one for one in resources.get_many(tx, level, ids)}
    return [found[one] for _, one in named if one in found]


async def delete(request: Request) -> Response:
    """POST /tools/bulk-delete."""
    ids = _ids(await _body(request))
    await in_thread(_delete, services(request), ids)
    return empty_answer()


def _delete(rooms: Services, ids: Sequence[str]) -> None:
    if rooms.index.write(lambda tx: resources.delete_many(tx, ids)):
        rooms.ingest.wake_janitor()


async def _body(request: Request) -> dict[str, Any]:
    body = await read_json(request, refuse=_NotAnObject)
    if not isinstance(body, dict):
        raise _NotAnObject
    return body


def _ids(body: dict[str, Any]) -> list[str]:
    ids = body.get("Resources")
    if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
        raise BadFileFormat("List of strings expected in field: Resources")
    if len(ids) > limits.BULK_RESOURCES:
        raise ParameterOutOfRange(f"At most {limits.BULK_RESOURCES} resources at once")
    return ids


def _level(body: dict[str, Any]) -> Level | None:
    if "Level" not in body:
        return None
    name = body["Level"]
    if not isinstance(name, str):
        raise BadFileFormat("String value expected in field: Level")
    if name.lower() not in _LEVELS:
        raise ParameterOutOfRange(f"Unknown level: {name[:64]}")
    return _LEVELS[name.lower()]


def _flag(body: dict[str, Any], name: str, *, default: bool = False) -> bool:
    value = body.get(name, default)
    if not isinstance(value, bool):
        raise BadFileFormat(f"Boolean value expected in field: {name}")
    return value
