"""Files that go from one store to another (``/move-storage``), and where those of a resource are.

Not here: the moving itself (``wherry.moving``).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wherry import limits
from wherry.errors import BadFileFormat, TooLarge, UnknownResource
from wherry.http.answers import json_answer
from wherry.http.body import read_body
from wherry.http.services import Services, services
from wherry.http.threads import in_thread
from wherry.index import attachments, moves, sending
from wherry.index.moves import StoredForm
from wherry.model import Attachment, Compression, Level, type_json
from wherry.moving.order import MOVE, MoveOrder
from wherry.rest.joborders import JobOptions, JobOrder, answer_job, read_boolean, read_options
from wherry.rest.names import content_name
from wherry.storage.base import ANYWHERE
from wherry.storage.places import FILE_SYSTEM, OBJECT_STORAGE, Place

_TARGETS: Final = (FILE_SYSTEM, OBJECT_STORAGE)
_COMPRESSIONS: Final = {int(one): one.name.lower() for one in Compression}


def routes() -> list[Route]:
    """Their routes."""
    return [
        Route("/move-storage", move, methods=["POST"]),
        *(
            Route(f"/{level.plural}/{{id}}/storage", partial(storage, level=level))
            for level in Level
        ),
    ]


async def move(request: Request) -> Response:
    """POST /move-storage: ``Resources`` of any level go to ``TargetStorage``; a job (object-storage
    §6). 404 without hybrid mode."""
    if not services(request).config.has_two_stores:
        raise UnknownResource
    body = _body(await read_body(request, limits.JSON_BODY_BYTES))
    target = body.get("TargetStorage")
    if target not in _TARGETS:
        raise BadFileFormat(f'"TargetStorage" must be one of {", ".join(_TARGETS)}')
    ids = _identifiers(body)
    options = _options(body)
    order = await in_thread(_order, services(request), target, ids)
    return await answer_job(request, JobOrder(MOVE, order.parameters(), order.content(), options))


def _body(raw: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(raw)
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, dict):
        raise BadFileFormat("A JSON object is expected in the body")
    return document


def _identifiers(body: dict[str, Any]) -> list[str]:
    """As they were named, some perhaps twice."""
    items = body.get("Resources")
    if not isinstance(items, list) or not items:
        raise BadFileFormat('"Resources" must be a list of identifiers, with one at least')
    if not all(isinstance(item, str) for item in items):
        raise BadFileFormat('"Resources" must hold texts')
    if len(items) > limits.SENT_RESOURCES:
        raise TooLarge(f"At most {limits.SENT_RESOURCES} resources may be named at once")
    return items


def _options(body: dict[str, Any]) -> JobOptions:
    """Here ``Asynchronous`` counts when both are said."""
    read_boolean(body, "Synchronous")
    if "Asynchronous" in body:
        return read_options(body | {"Synchronous": not read_boolean(body, "Asynchronous")})
    return read_options(body)


def _order(rooms: Services, target: str, ids: list[str]) -> MoveOrder:
    levels: dict[str, Level] = {}
    with rooms.index.read() as tx:
        for portion in sending.portions(ids):
            levels |= sending.levels_of(tx, portion)
    named = {level: [one for one in ids if levels[one] is level] for level in Level}
    return MoveOrder(target, named)


def storage(request: Request, level: Level) -> Response:
    """GET /{level}/{id}/storage: where the files of a resource and of all below it are, in which
    form, how many and how large; of an instance also each of them. Not of Orthanc."""
    rooms, orthanc_id = services(request), request.path_params["id"]
    with rooms.index.read() as tx:
        own = attachments.of_one(tx, level, orthanc_id)
        forms = moves.forms_below(tx, moves.rows_below(tx, level, [orthanc_id]))
    answer: dict[str, type_json] = {
        "ID": orthanc_id,
        "Type": level.title,
        "Stores": [*_stores(forms)],
    }
    if level is Level.INSTANCE:
        answer["Attachments"] = [_attachment(rooms, one) for one in own.values()]
    return json_answer(answer)


def _stores(forms: Iterable[StoredForm]) -> list[dict[str, type_json]]:
    """Forms that differ in the names of their objects only are one."""
    found: dict[str, dict[str, type_json]] = {}
    for form in forms:
        shown = _form(form.place, form.compression)
        key = orjson.dumps(shown).decode()
        sums = found.setdefault(key, {**shown, "Files": 0, "Bytes": 0, "UncompressedBytes": 0})
        sums["Files"] += form.files
        sums["Bytes"] += form.stored_bytes
        sums["UncompressedBytes"] += form.plain_bytes
    return [found[key] for key in sorted(found)]


def _attachment(rooms: Services, one: Attachment) -> dict[str, type_json]:
    return {
        "Name": content_name(rooms.config, one.content_type),
        "Uuid": one.uuid,
        **_form(one.place, one.compression),
        "Bytes": one.compressed_size,
        "UncompressedBytes": one.uncompressed_size,
    }


def _form(place: str, compression: int) -> dict[str, type_json]:
    """``Encryption``: the container, or empty. Its bytes are not counted anywhere."""
    known = None if place == ANYWHERE else Place.parse(place)
    return {
        "Store": "unknown" if known is None else known.store,
        "Encryption": "" if known is None else known.seal.partition("=")[0],
        "Compression": _COMPRESSIONS.get(compression, str(compression)),
    }
