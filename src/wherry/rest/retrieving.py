"""Bringing what modalities have, here or elsewhere: jobs of C-MOVE and C-GET.

Not here: the jobs themselves (``modalities.retrieving``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wherry import limits
from wherry.dicom.json import type_form
from wherry.dicom.plain import from_stored, type_plain
from wherry.errors import BadFileFormat, BadParameterType, ParameterOutOfRange
from wherry.http.body import read_body
from wherry.http.services import Services, services
from wherry.http.threads import in_thread
from wherry.index import queries
from wherry.index.queries import Query
from wherry.modalities.asking.levels import level_of
from wherry.modalities.asking.querying import target_of
from wherry.modalities.retrieving.retrieval import GET, MOVE, Retrieval, kept_of, type_resource
from wherry.model import Modality, type_json
from wherry.rest.joborders import JobOrder, answer_job, read_boolean, read_options
from wherry.rest.queries import answer_at, query_at
from wherry.rest.query_body import local_aet_of, parsed, texts_of, timeout_of, type_body

_METHODS: Final = {"C-MOVE": MOVE, "C-GET": GET}
_SYSTEM_DEFAULT: Final = "SystemDefault"
_TITLE_CHARACTERS: Final = 16


def routes() -> list[Route]:
    """Routes of retrievals."""
    return [
        Route("/queries/{id}/retrieve", retrieve, methods=["POST"]),
        Route("/queries/{id}/answers/{index}/retrieve", retrieve_one, methods=["POST"]),
        Route("/modalities/{name}/move", move, methods=["POST"]),
        Route("/modalities/{name}/get", get, methods=["POST"]),
    ]


async def retrieve(request: Request) -> Response:
    """POST /queries/{id}/retrieve: a job that brings everything that was found, here or to
    ``TargetAet``, by C-MOVE or C-GET."""
    asked = await in_thread(query_at, request)
    body = retrieval_body(await read_body(request, limits.JSON_BODY_BYTES))
    found = await in_thread(_all_answers, services(request), asked)
    return await _retrieve(request, asked, found, body)


async def retrieve_one(request: Request) -> Response:
    """POST /queries/{id}/answers/{index}/retrieve: a job that brings one of the things that were
    found, here or to ``TargetAet``, by C-MOVE or C-GET."""
    asked = await in_thread(query_at, request)
    found = await in_thread(answer_at, request, asked)
    body = retrieval_body(await read_body(request, limits.JSON_BODY_BYTES))
    return await _retrieve(request, asked, [found], body)


async def move(request: Request) -> Response:
    """POST /modalities/{name}/move: a job that lets the modality send ``Resources`` to
    ``TargetAet``, or here."""
    return await _named(request, MOVE)


async def get(request: Request) -> Response:
    """POST /modalities/{name}/get: a job that brings ``Resources`` by C-GET."""
    return await _named(request, GET)


def retrieval_body(body: bytes) -> type_body:
    """The options of a retrieval: a JSON object, or a title alone for ``TargetAet``. Raises
    ``BadFileFormat`` for a list."""
    options = parsed(body)
    if options is not None:
        return options
    text = body.decode("utf-8", "replace").strip()
    if text.startswith("["):
        raise BadFileFormat("Must provide a JSON object, or a title")
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1]
    return {"TargetAet": text} if text else {}


def method_of(wanted: object, target_aet: str, modality: Modality, rooms: Services) -> str:
    """The type of job that retrieves: as the client says, else the modality, else the
    configuration. What is to go to somebody else must be moved.

    Raises ``ParameterOutOfRange``, ``BadParameterType``.
    """
    if not isinstance(wanted, str):
        raise BadParameterType
    config = rooms.config
    elsewhere = bool(target_aet) and not rooms.modalities.same_title(target_aet, config.dicom_aet)
    if wanted != _SYSTEM_DEFAULT:
        if wanted not in _METHODS:
            raise ParameterOutOfRange(f"Unknown RetrieveMethod: {wanted[:64]}")
        if elsewhere and _METHODS[wanted] == GET:
            raise ParameterOutOfRange(f"C-GET brings nothing to {target_aet}")
        return _METHODS[wanted]
    if elsewhere:
        return MOVE
    if modality.retrieve_method != _SYSTEM_DEFAULT:
        return _METHODS[modality.retrieve_method]
    return _METHODS[config.dicom_default_retrieve_method]


async def _retrieve(
    request: Request, asked: Query, found: Iterable[type_plain], body: type_body
) -> Response:
    """A job for answers of a query."""
    rooms = services(request)
    target_aet = _title(body, "TargetAet")
    timeout_s = _timeout(body)
    modality = await in_thread(rooms.modalities.get, asked.modality)
    method = method_of(body.get("RetrieveMethod", _SYSTEM_DEFAULT), target_aet, modality, rooms)
    order = Retrieval(
        asked.modality,
        level_of(asked.level),
        tuple(kept_of(one) for one in found),
        target_aet=(target_aet or rooms.config.dicom_aet) if method == MOVE else "",
        local_aet=asked.local_aet,
        timeout_s=asked.timeout_s if timeout_s is None else timeout_s,
        permissive=read_boolean(body, "Permissive"),
        form=_form(body),
    )
    return await _start(request, method, order, modality, body)


async def _named(request: Request, method: str) -> Response:
    """A job for what a client names."""
    rooms = services(request)
    body = parsed(await read_body(request, limits.JSON_BODY_BYTES))
    level, resources = (None, None) if body is None else (body.get("Level"), body.get("Resources"))
    if body is None or not isinstance(level, str) or not isinstance(resources, list):
        raise BadFileFormat("Must provide a JSON body containing fields Resources and Level")
    at = level_of(level)
    known = tuple(_resources(resources))
    target_aet = _title(body, "TargetAet")
    local_aet, timeout_s = local_aet_of(body), timeout_of(body)
    modality = await in_thread(rooms.modalities.get, request.path_params["name"])
    order = Retrieval(
        modality.name,
        at,
        known,
        target_aet=(target_aet or rooms.config.dicom_aet) if method == MOVE else "",
        local_aet=local_aet,
        timeout_s=timeout_s,
        permissive=read_boolean(body, "Permissive"),
        form=_form(body),
    )
    return await _start(request, method, order, modality, body)


async def _start(
    request: Request, method: str, order: Retrieval, modality: Modality, body: type_body
) -> Response:
    if len(order.resources) > limits.RETRIEVED_RESOURCES:
        raise ParameterOutOfRange(
            f"At most {limits.RETRIEVED_RESOURCES} resources can be retrieved at once"
        )
    options = read_options(body)
    called = target_of(services(request).config, modality, order.local_aet, order.timeout_s)
    content: dict[str, type_json] = order.content(modality, called.calling)
    return await answer_job(request, JobOrder(method, order.parameters(), content, options))


def _resources(entries: list[Any]) -> Iterator[type_resource]:
    for entry in entries:
        if not isinstance(entry, dict) or not all(isinstance(one, str) for one in entry.values()):
            raise BadFileFormat
        yield kept_of(texts_of(entry))


def _all_answers(rooms: Services, asked: Query) -> list[type_plain]:
    """What is kept of all answers. Blocking. Raises ``ParameterOutOfRange`` for too many."""
    if asked.answers > limits.RETRIEVED_RESOURCES:
        raise ParameterOutOfRange(
            f"At most {limits.RETRIEVED_RESOURCES} answers can be retrieved at once"
        )
    found: list[type_plain] = []
    for first in range(0, asked.answers, limits.QUERIES_PAGE):
        with rooms.index.read() as tx:
            page = queries.answers(tx, asked.id, first, limits.QUERIES_PAGE)
        found += [dict(kept_of(from_stored(one))) for one in page]
    return found


def _title(body: type_body, name: str) -> str:
    """An application entity title; "" = not said. Raises ``BadParameterType``,
    ``ParameterOutOfRange``."""
    title = body.get(name, "")
    if not isinstance(title, str):
        raise BadParameterType
    title = title.strip()
    if len(title) > _TITLE_CHARACTERS or not title.isascii() or "\\" in title:
        raise ParameterOutOfRange(
            f"An application entity title has 1 to {_TITLE_CHARACTERS} characters: {title[:64]}"
        )
    return title


def _timeout(body: type_body) -> int | None:
    """As Orthanc: another error here than elsewhere. Raises ``BadParameterType``,
    ``ParameterOutOfRange``."""
    try:
        return timeout_of(body)
    except BadFileFormat:
        raise BadParameterType from None


def _form(body: type_body) -> type_form:
    if read_boolean(body, "Simplify"):
        return "simplify"
    return "full" if read_boolean(body, "Full") else "short"
