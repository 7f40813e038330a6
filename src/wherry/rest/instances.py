"""What only instances have: the file, its tags, and what was noted when it arrived."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wherry.dicom.json import to_json, type_form
from wherry.dicom.tags import tag_of
from wherry.http.answers import json_answer
from wherry.http.services import services
from wherry.rest.arguments import flag
from wherry.rest.stored import dicom_file, mapped


def routes() -> list[Route]:
    """Routes below /instances/{id}."""
    return [
        Route("/instances/{id}/tags", tags),
        Route("/instances/{id}/simplified-tags", simplified_tags),
    ]


def tags(request: Request) -> Response:
    """GET /instances/{id}/tags, ``?short``, ``?simplify``, ``?ignore-length=TAG``."""
    if flag(request, "short"):
        return _tags(request, "short")
    return _tags(request, "simplify" if flag(request, "simplify") else "full")


def simplified_tags(request: Request) -> Response:
    """GET /instances/{id}/simplified-tags."""
    return _tags(request, "simplify")


def _tags(request: Request, form: type_form) -> Response:
    long_ones = frozenset(map(tag_of, request.query_params.getlist("ignore-length")))
    rooms = services(request)
    with mapped(rooms, dicom_file(rooms, request.path_params["id"])) as content:
        return json_answer(to_json(content, form, long_ones))
