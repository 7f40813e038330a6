"""Items of the modality worklist over REST, as Orthanc's worklists plugin has them.

Not here: the items themselves (``wherry.worklists``), modalities that ask for them (DIMSE).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wherry.dicom.json import type_form
from wherry.errors import BadRequest, ParameterOutOfRange, UnknownResource
from wherry.http.answers import JsonListAnswer, json_answer, literal_json
from wherry.http.body import read_json
from wherry.http.services import services
from wherry.http.threads import in_thread
from wherry.rest.rendering import type_json
from wherry.worklists import WorklistBook
from wherry.worklists.item import Item

_FORMS: Final[dict[str, type_form]] = {"Simplify": "simplify", "Short": "short", "Full": "full"}


def routes() -> list[Route]:
    """Routes of worklists."""
    return [
        Route("/worklists", listing, methods=["GET"]),
        Route("/worklists/create", create, methods=["POST"]),
        Route("/worklists/{id}", single, methods=["GET"]),
        Route("/worklists/{id}", replace, methods=["PUT"]),
        Route("/worklists/{id}", remove, methods=["DELETE"]),
    ]


async def listing(request: Request) -> Response:
    """GET /worklists: all items with their tags."""
    book, form = _book(request), _form(request)
    return await in_thread(_listed, book, form)


async def create(request: Request) -> Response:
    """POST /worklists/create: a new item, in the index."""
    book = _book(request)
    tags = _tags(await read_json(request))
    item_id = await in_thread(book.add, tags)
    return json_answer({"ID": item_id, "Path": f"/worklists/{item_id}"})


async def single(request: Request) -> Response:
    """GET /worklists/{id}: one item with its tags."""
    book, form = _book(request), _form(request)
    item = await in_thread(book.get, request.path_params["id"])
    return json_answer(await in_thread(_shown, item, form))


async def replace(request: Request) -> Response:
    """PUT /worklists/{id}: other tags for an item; it keeps its StudyInstanceUID unless told."""
    book = _book(request)
    tags = _tags(await read_json(request))
    await in_thread(book.replace, request.path_params["id"], tags)
    return literal_json()


async def remove(request: Request) -> Response:
    """DELETE /worklists/{id}."""
    book = _book(request)
    await in_thread(book.remove, request.path_params["id"])
    return literal_json()


def _listed(book: WorklistBook, form: type_form) -> Response:
    pages: Iterator[list[Any]] = ([_shown(item, form) for item in page] for page in book.pages())
    return JsonListAnswer(pages)


def _shown(item: Item, form: type_form) -> type_json:
    return {"ID": item.id, "Path": f"/worklists/{item.id}", "Tags": item.shown(form)}


def _book(request: Request) -> WorklistBook:
    rooms = services(request)
    if not rooms.config.worklists.enable:
        raise UnknownResource('Worklists are not served: "Worklists" has no "Enable": true')
    return rooms.worklists


def _form(request: Request) -> type_form:
    name = request.query_params.get("format", "Simplify")
    form = _FORMS.get(name)
    if form is None:
        raise ParameterOutOfRange(f"Unknown format: {name[:64]}")
    return form


def _tags(body: Any) -> dict[str, Any]:
    tags = body.get("Tags") if isinstance(body, dict) else None
    if not isinstance(tags, dict):
        raise BadRequest('Field "Tags" is missing, or should be a JSON object')
    return tags
