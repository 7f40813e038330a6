"""The tags of an instance as JSON: all of them, or its file meta information."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wherry.dicom.json import header_to_json, to_json, type_form
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
        Route("/instances/{id}/header", header),
    ]


def form_of(request: Request) -> type_form:
    """The form of tags that a URL asks for: ``?short``, ``?simplify``, or full."""
    if flag(request, "short"):
        return "short"
    return "simplify" if flag(request, "simplify") else "full"


def long_tags(request: Request) -> frozenset[str]:
    """Tags that are shown however long they are (``?ignore-length=TAG``, several times too)."""
    if not request.scope["query_string"]:
        return frozenset()
    return frozenset(map(tag_of, request.query_params.getlist("ignore-length")))


def tags(request: Request) -> Response:
    """GET /instances/{id}/tags, ``?short``, ``?simplify``, ``?ignore-length=TAG``, ``?whole``."""
    return _tags(request, form_of(request))


def simplified_tags(request: Request) -> Response:
    """GET /instances/{id}/simplified-tags, with the arguments of ``/tags``."""
    return _tags(request, "simplify")


def header(request: Request) -> Response:
    """GET /instances/{id}/header: the file meta information, in the forms of ``/tags``."""
    form, rooms = form_of(request), services(request)
    with mapped(rooms, dicom_file(rooms, request.path_params["id"])) as content:
        return json_answer(header_to_json(content, form))


def _tags(request: Request, form: type_form) -> Response:
    long_ones, whole = long_tags(request), flag(request, "whole")
    rooms = services(request)
    with mapped(rooms, dicom_file(rooms, request.path_params["id"])) as content:
        return json_answer(to_json(content, form, long_ones, whole=whole))
