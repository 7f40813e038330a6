"""Patients, studies, series and instances as such: lists, one, kin, statistics, deletion.

The four levels share their functions; a route differs from its sister by the level alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wherry import limits
from wherry.errors import UnknownResource
from wherry.http.answers import JsonListAnswer, empty_answer, json_answer
from wherry.http.services import Services, services
from wherry.index import resources
from wherry.model import Level
from wherry.rest import rendering
from wherry.rest.arguments import flag, number
from wherry.rest.rendering import Shape, shape_of


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


def listing(request: Request, level: Level) -> Response:
    """GET /{level}: identifiers in order of arrival, or whole resources."""
    expand, shape = flag(request, "expand"), shape_of(request)
    since, limit = number(request, "since") or 0, number(request, "limit")
    rooms = services(request)
    with rooms.index.read() as tx:
        ids = [] if limit == 0 else resources.list_ids(tx, level, since, limit)
    return expanded(rooms, level, ids, shape) if expand else json_answer(ids)


def single(request: Request, level: Level) -> Response:
    """GET /{level}/{id}; 404 without a body when unknown."""
    shape = shape_of(request)
    with services(request).index.read() as tx:
        found = resources.get(tx, level, request.path_params["id"])
    return (
        empty_answer(404) if found is None else json_answer(rendering.resource(found, shape.form))
    )


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


def statistics(request: Request, level: Level) -> Response:
    """GET /{level}/{id}/statistics."""
    with services(request).index.read() as tx:
        found = resources.statistics_of(tx, level, request.path_params["id"])
    if found is None:
        raise UnknownResource
    return json_answer(rendering.resource_statistics(level, found))


def parent(request: Request, level: Level, at: Level) -> Response:
    """GET /{level}/{id}/{upper level}."""
    shape = shape_of(request)
    with services(request).index.read() as tx:
        orthanc_id = resources.ancestor(tx, level, request.path_params["id"], at)
        found = None if orthanc_id is None else resources.get(tx, at, orthanc_id)
    if found is None:
        raise UnknownResource
    return json_answer(rendering.resource(found, shape.form))


def children(request: Request, level: Level, at: Level) -> Response:
    """GET /{level}/{id}/{lower level}: whole resources, unless ``?expand=false``."""
    expand, shape = flag(request, "expand", default=True), shape_of(request)
    rooms = services(request)
    with rooms.index.read() as tx:
        ids = resources.descendants(tx, level, request.path_params["id"], at)
    if ids is None:
        raise UnknownResource
    return expanded(rooms, at, ids, shape) if expand else json_answer(ids)


def expanded(rooms: Services, level: Level, ids: Sequence[str], shape: Shape) -> Response:
    """Resources in the order of ``ids``; what was deleted meanwhile is left out.

    A long list is read, rendered and sent in pages, so that memory does not grow with it.
    """

    def page(start: int) -> list[rendering.type_json]:
        with rooms.index.read() as tx:
            found = resources.get_many(tx, level, ids[start : start + limits.EXPANDED_PAGE])
        return [rendering.resource(one, shape.form) for one in found]

    def pages() -> Iterator[list[rendering.type_json]]:
        for start in range(0, len(ids), limits.EXPANDED_PAGE):
            yield page(start)

    if len(ids) <= limits.EXPANDED_PAGE:
        return json_answer(page(0) if ids else [])
    return JsonListAnswer(pages())
