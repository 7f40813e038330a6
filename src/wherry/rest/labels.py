"""Labels of resources at all four levels, as in Orthanc since 1.12.0."""

from __future__ import annotations

from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wherry import limits
from wherry.errors import ParameterOutOfRange
from wherry.http.answers import empty_answer, json_answer
from wherry.http.routing import quick
from wherry.http.services import services
from wherry.index import labels
from wherry.model import Level


def routes() -> list[Route]:
    """Routes of all levels, and the list of all labels."""
    found = [Route("/tools/labels", used)]
    for level in Level:
        root = f"/{level.plural}/{{id}}/labels"
        one = f"{root}/{{label}}"
        found += [
            Route(root, partial(listing, level=level)),
            Route(one, partial(test, level=level), methods=["GET"]),
            Route(one, partial(put, level=level), methods=["PUT"]),
            Route(one, partial(delete, level=level), methods=["DELETE"]),
        ]
    return found


def used(request: Request) -> Response:
    """GET /tools/labels: every label in use, in order."""
    with services(request).index.read() as tx:
        return json_answer(labels.all_labels(tx))


@quick
def listing(request: Request, level: Level) -> Response:
    """GET /{level}/{id}/labels."""
    with services(request).index.read() as tx:
        return json_answer(labels.of_one(tx, level, request.path_params["id"]))


@quick
def test(request: Request, level: Level) -> Response:
    """GET /{level}/{id}/labels/{label}: nothing when it is there, 404 when not."""
    label = _label(request)
    with services(request).index.read() as tx:
        there = labels.has(tx, level, request.path_params["id"], label)
    return empty_answer(200 if there else 404)


def put(request: Request, level: Level) -> Response:
    """PUT /{level}/{id}/labels/{label}: from now on it is there; the body does not matter."""
    change = partial(
        labels.put, level=level, orthanc_id=request.path_params["id"], label=_label(request)
    )
    services(request).index.write(change)
    return empty_answer()


def delete(request: Request, level: Level) -> Response:
    """DELETE /{level}/{id}/labels/{label}: from now on it is not there."""
    change = partial(
        labels.remove, level=level, orthanc_id=request.path_params["id"], label=_label(request)
    )
    services(request).index.write(change)
    return empty_answer()


def _label(request: Request) -> str:
    label: str = request.path_params["label"]
    if not labels.is_label(label):
        raise ParameterOutOfRange(
            "A label consists of letters, digits, '-' and '_',"
            f" at most {limits.LABEL_CHARACTERS} of them"
        )
    return label
