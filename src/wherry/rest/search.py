"""Searches: by tags (/tools/find) and by a DICOM identifier of any level (/tools/lookup).

Not here: reading the body of a search (``find_body``), looking into files (``find_files``).
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wherry import limits
from wherry.config import Config
from wherry.http.answers import json_answer
from wherry.http.body import read_body, read_json
from wherry.http.searching import plan
from wherry.http.services import Services, services
from wherry.http.threads import in_thread
from wherry.index import search
from wherry.index.glance import glance
from wherry.index.search_plan import Plan
from wherry.model import Level
from wherry.rest import find_files, rendering
from wherry.rest.expanding import expanded
from wherry.rest.find_body import NotAnObject, Question, parse


def routes() -> list[Route]:
    """Routes of searches."""
    return [
        Route("/tools/find", find, methods=["POST"]),
        Route("/tools/count-resources", count, methods=["POST"]),
        Route("/tools/lookup", lookup, methods=["POST"]),
    ]


async def find(request: Request) -> Response:
    """POST /tools/find."""
    rooms = services(request)
    question = parse(await read_json(request, refuse=NotAnObject), rooms.config)
    made = await _planned(rooms, question)
    if made is None:
        return json_answer([])
    since, limit = question.since, _limit(question, rooms.config)
    if made.checks:
        wanted = since + limit if limit else 0
        ids = (await find_files.matches(request, rooms, made, wanted))[since:]
        return await in_thread(_shown, rooms, question, ids)
    if not (rooms.index.embedded and made.is_point and _is_short(question)):
        return await in_thread(_found, rooms, question, made, since, limit)
    # The index works inside this process, and needs some microseconds: two switches between
    # threads would cost more.
    with glance(rooms.index) as tx:
        ids = search.identifiers(tx, made, since, limit)
    if question.expand and not (len(ids) < limits.QUICK_RESOURCES and question.shape.is_plain):
        return await in_thread(_shown, rooms, question, ids)
    return _shown(rooms, question, ids)


async def count(request: Request) -> Response:
    """POST /tools/count-resources: the body of /tools/find; paging and order mean nothing."""
    rooms = services(request)
    question = parse(await read_json(request, refuse=NotAnObject), rooms.config)
    made = await _planned(rooms, question)
    if made is None:
        number = 0
    elif made.checks:
        number = len(await find_files.matches(request, rooms, made, 0))
    else:
        number = await in_thread(_count, rooms, made)
    return json_answer({"Count": number})


async def lookup(request: Request) -> Response:
    """POST /tools/lookup: the resources that bear this identifier."""
    body = await read_body(request, limits.IDENTIFIER_BYTES)
    identifier = body.decode("utf-8", "replace").strip(" \t\r\n\0")
    rooms = services(request)
    if rooms.index.embedded:  # some microseconds, as above
        return _lookup(rooms, identifier)
    return await in_thread(_lookup, rooms, identifier)


async def _planned(rooms: Services, question: Question) -> Plan | None:
    """How to search; None when nothing can match."""
    if _is_short(question):
        return _plan(rooms, question)
    return await in_thread(_plan, rooms, question)


def _is_short(question: Question) -> bool:
    """Whether the searched texts are so short that nobody waits for what is done with them."""
    texts = (*question.criteria.tags, *question.criteria.metadata)
    return sum(len(text) for _, text in texts) <= limits.SEARCH_QUICK_CHARACTERS


def _plan(rooms: Services, question: Question) -> Plan | None:
    return plan(rooms.config, question.criteria)


def _limit(question: Question, config: Config) -> int:
    """The number of results asked for, within what the configuration allows."""
    if question.criteria.level is Level.INSTANCE:
        bound = config.limit_find_instances
    else:
        bound = config.limit_find_results
    return min(question.limit or bound, bound) if bound else question.limit


def _found(rooms: Services, question: Question, made: Plan, since: int, limit: int) -> Response:
    with glance(rooms.index) as tx:
        ids = search.identifiers(tx, made, since, limit)
    return _shown(rooms, question, ids)


def _shown(rooms: Services, question: Question, ids: list[str]) -> Response:
    if not question.expand:
        return json_answer(ids)
    return expanded(rooms, question.criteria.level, ids, question.shape)


def _count(rooms: Services, made: Plan) -> int:
    with glance(rooms.index) as tx:
        return search.count_rows(tx, made)


def _lookup(rooms: Services, identifier: str) -> Response:
    with rooms.index.read() as tx:
        found = search.lookup(tx, identifier) if identifier else []
    return json_answer([rendering.link(level, orthanc_id) for level, orthanc_id in found])
