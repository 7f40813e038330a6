"""Patients, studies, series and instances as such: lists, one, kin, statistics, deletion.

The four levels share their functions; a route differs from its sister by the level alone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wherry.errors import UnknownResource
from wherry.http.answers import empty_answer, json_answer
from wherry.http.routing import of_index
from wherry.http.services import Services, services
from wherry.http.threads import in_thread
from wherry.index import resources
from wherry.index.database import Transaction
from wherry.model import Level, Resource
from wherry.rest import rendering
from wherry.rest.arguments import flag, number
from wherry.rest.expanding import describe, expanded, expanded_level
from wherry.rest.shapes import shape_of


def routes() -> list[Route]:
    """Routes of all levels."""
    found: list[Route] = []
    for level in Level:
        root = f"/{level.plural}"
        one = f"{root}/{{id}}"
        found += [
            Route(root, partial(listing, level=level)),
            Route(one, partial(single, level=level), methods=["GET"]),
            Route(one, partial(delete, level=level), methods=["DELETE"]),
            Route(f"{one}/statistics", partial(statistics, level=level)),
        ]
        for other in Level:
            if other < level:
                name = other.title.lower()
                found.append(Route(f"{one}/{name}", partial(parent, level=level, at=other)))
            elif other > level:
                path = f"{one}/{other.plural}"
                found.append(Route(path, partial(children, level=level, at=other)))
    return found


@of_index
async def listing(request: Request, level: Level) -> Response:
    """GET /{level}: identifiers in order of arrival, or whole resources."""
    rooms, shape = services(request), shape_of(request)
    since, limit = number(request, "since") or 0, number(request, "limit")
    if flag(request, "expand") or shape.content is not None:
        return await expanded_level(rooms, level, shape, since=since, limit=limit)
    return await in_thread(_identifiers, rooms, level, since, limit)


def _identifiers(rooms: Services, level: Level, since: int, limit: int | None) -> Response:
    with rooms.index.read() as tx:
        return json_answer(resources.list_ids(tx, level, since, limit))


@of_index
async def single(request: Request, level: Level) -> Response:
    """GET /{level}/{id}; 404 without a body when unknown."""
    orthanc_id = request.path_params["id"]
    found = await _described(request, lambda tx: resources.get(tx, level, orthanc_id))
    return empty_answer(404) if found is None else json_answer(found)


@of_index
async def parent(request: Request, level: Level, at: Level) -> Response:
    """GET /{level}/{id}/{upper level}."""
    orthanc_id = request.path_params["id"]

    def fetch(tx: Transaction) -> Resource | None:
        above = resources.ancestor(tx, level, orthanc_id, at)
        return None if above is None else resources.get(tx, at, above)

    found = await _described(request, fetch)
    if found is None:
        raise UnknownResource
    return json_answer(found)


async def _described(
    request: Request, fetch: Callable[[Transaction], Resource | None]
) -> rendering.type_json | None:
    """The resource that ``fetch`` finds, as the request asks for it: at once when the index is
    inside this process and has all that is asked for, otherwise in a worker thread."""
    rooms, shape = services(request), shape_of(request)
    if shape.is_plain and rooms.index.embedded:
        with rooms.index.read() as tx:
            found = fetch(tx)
        return None if found is None else rendering.resource(found, shape.form)
    some = await in_thread(describe, rooms, lambda tx: list(filter(None, [fetch(tx)])), shape)
    return some[0] if some else None


def delete(request: Request, level: Level) -> Response:
    """DELETE /{level}/{id}, with everything below; 404 without a body when unknown."""
    rooms, orthanc_id = services(request), request.path_params["id"]
    try:
        ancestor = rooms.index.write(lambda tx: resources.delete(tx, level, orthanc_id))
    except UnknownResource:
        return empty_answer(404)
    rooms.ingest.wake_janitor()
    return json_answer(
        {"RemainingAncestor": None if ancestor is None else rendering.link(*ancestor)}
    )


@of_index
def statistics(request: Request, level: Level) -> Response:
    """GET /{level}/{id}/statistics."""
    with services(request).index.read() as tx:
        found = resources.statistics_of(tx, level, request.path_params["id"])
    if found is None:
        raise UnknownResource
    return json_answer(rendering.resource_statistics(level, found))


@of_index
async def children(request: Request, level: Level, at: Level) -> Response:
    """GET /{level}/{id}/{lower level}: whole resources, unless ``?expand=false``."""
    rooms, shape = services(request), shape_of(request)
    orthanc_id = request.path_params["id"]
    if flag(request, "expand", default=True) or shape.content is not None:
        return await expanded_level(rooms, at, shape, under=(level, orthanc_id))
    return await in_thread(_descendants, rooms, level, orthanc_id, at)


def _descendants(rooms: Services, level: Level, orthanc_id: str, at: Level) -> Response:
    with rooms.index.read() as tx:
        ids = resources.descendants(tx, level, orthanc_id, at)
    if ids is None:
        raise UnknownResource
    return json_answer(ids)


__all__ = ["expanded", "routes"]
