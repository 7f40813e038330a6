"""``/queries``: what modalities were asked, what they answered, and asking on from there.

Not here: the first question (``asking``), bringing what was found (``retrieving``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wherry import limits
from wherry.dicom.json import type_form
from wherry.dicom.plain import from_stored, printed
from wherry.errors import (
    BadParameterType,
    InexistentTag,
    ParameterOutOfRange,
    UnknownResource,
)
from wherry.http.answers import JsonListAnswer, empty_answer, json_answer, text_answer
from wherry.http.body import read_body
from wherry.http.calls import call
from wherry.http.services import services
from wherry.http.threads import in_thread
from wherry.index import queries
from wherry.index.database import Index
from wherry.index.queries import Query
from wherry.modalities.asking.levels import PATIENT_ID, SERIES_UID, STUDY_UID, level_of
from wherry.modalities.asking.querying import Question, ask
from wherry.model import Level
from wherry.rest.arguments import flag, parsed_number
from wherry.rest.query_body import query_of, read_object, timeout_of

_OPERATIONS: Final = ["answers", "level", "modality", "query", "retrieve"]
_ANSWER: Final = ["content", "retrieve"]
_PARENT_KEYS: Final = {
    Level.PATIENT: (PATIENT_ID,),
    Level.STUDY: (STUDY_UID,),
    Level.SERIES: (STUDY_UID, SERIES_UID),
}
"""What of an answer a question about its children names."""


def routes() -> list[Route]:
    """Routes of queries."""
    answer = "/queries/{id}/answers/{index}"
    return [
        Route("/queries", listing),
        Route("/queries/{id}", operations, methods=["GET"]),
        Route("/queries/{id}", forget, methods=["DELETE"]),
        Route("/queries/{id}/level", level),
        Route("/queries/{id}/modality", modality),
        Route("/queries/{id}/query", query),
        Route("/queries/{id}/answers", answers),
        Route(answer, answer_operations),
        Route(f"{answer}/content", content),
        *(
            Route(f"{answer}/query-{child.plural}", partial(ask_on, child=child), methods=["POST"])
            for child in Level
            if child is not Level.PATIENT
        ),
    ]


def listing(request: Request) -> Response:
    """GET /queries: identifiers, or with ``?expand`` what was asked, and of whom."""
    index = services(request).index
    if not flag(request, "expand"):
        with index.read() as tx:
            return json_answer(queries.ids(tx))
    return JsonListAnswer(_pages(index))


def operations(request: Request) -> Response:
    """GET /queries/{id}: what can be asked about it."""
    query_at(request)
    return json_answer(_OPERATIONS)


def forget(request: Request) -> Response:
    """DELETE /queries/{id}. No error when there is none."""
    services(request).index.write(lambda tx: queries.remove(tx, request.path_params["id"]))
    return empty_answer()


def level(request: Request) -> Response:
    """GET /queries/{id}/level: as the client named it."""
    return text_answer(query_at(request).level)


def modality(request: Request) -> Response:
    """GET /queries/{id}/modality: the name of whom was asked."""
    return text_answer(query_at(request).modality)


def query(request: Request) -> Response:
    """GET /queries/{id}/query: what was asked for, before anything was added."""
    return json_answer(printed(from_stored(query_at(request).query), _form(request)))


def answers(request: Request) -> Response:
    """GET /queries/{id}/answers: their numbers, or their contents with ``?expand``."""
    found = query_at(request)
    if flag(request, "expand"):
        index, form = services(request).index, _form(request)
        return JsonListAnswer(_contents(index, found, form))
    return json_answer([str(number) for number in range(found.answers)])


def answer_operations(request: Request) -> Response:
    """GET /queries/{id}/answers/{index}: what can be asked about an answer."""
    found = query_at(request)
    number_of(request, found)
    children = [f"query-{child.plural}" for child in Level if child > level_of(found.level)]
    return json_answer([*_ANSWER, *children])


def content(request: Request) -> Response:
    """GET /queries/{id}/answers/{index}/content: the tags of one answer."""
    return json_answer(printed(answer_at(request, query_at(request)), _form(request)))


async def ask_on(request: Request, child: Level) -> Response:
    """POST /queries/{id}/answers/{index}/query-…: ask for what is below an answer."""
    asked = await in_thread(query_at, request)
    if child <= level_of(asked.level):
        raise UnknownResource
    found = await in_thread(answer_at, request, asked)
    body = read_object(await read_body(request, limits.JSON_BODY_BYTES))
    keys = {}
    for tag in _PARENT_KEYS[level_of(asked.level)]:
        value = found.get(tag)
        if not isinstance(value, str) or not value:
            raise InexistentTag
        keys[tag] = value
    timeout_s = timeout_of(body)
    wanted = Question(
        child.title,
        query_of(body) | keys,
        local_aet=asked.local_aet,
        timeout_s=asked.timeout_s if timeout_s is None else timeout_s,
    )
    return await answer_question(request, asked.modality, wanted)


async def answer_question(request: Request, name: str, wanted: Question) -> Response:
    """Ask a modality, and answer where to look for what it says."""
    rooms = services(request)
    asked = await in_thread(rooms.modalities.get, name)

    def work(check: Callable[[], None]) -> str:
        return ask(rooms.config, rooms.index, asked, wanted, check)

    query_id = await call(request, work)
    return json_answer({"ID": query_id, "Path": f"/queries/{query_id}"})


def query_at(request: Request) -> Query:
    """The query of the path, which counts as used now. Blocking. Raises ``UnknownResource``."""
    index, query_id = services(request).index, request.path_params["id"]
    with index.read() as tx:
        found = queries.get(tx, query_id)
        lately = queries.is_used_lately(tx, query_id)
    if found is None:
        raise UnknownResource
    if not lately:
        index.write(lambda tx: queries.use(tx, query_id))
    return found


def number_of(request: Request, asked: Query) -> int:
    """The number of the answer in the path. Raises ``BadParameterType``, ``ParameterOutOfRange``
    when there is none."""
    text = request.path_params["index"]
    number = parsed_number(text.removeprefix("-"))
    if number is None:
        raise BadParameterType("Syntax error in some user-supplied data")
    if text.startswith("-") or number >= asked.answers:
        raise ParameterOutOfRange
    return number


def answer_at(request: Request, asked: Query) -> dict[int, Any]:
    """The answer in the path. Blocking. Raises as ``number_of``."""
    number = number_of(request, asked)
    with services(request).index.read() as tx:
        found = queries.answer(tx, asked.id, number)
    if found is None:  # forgotten meanwhile
        raise UnknownResource
    return from_stored(found)


def _form(request: Request) -> type_form:
    if flag(request, "simplify"):
        return "simplify"
    return "short" if flag(request, "short") else "full"


def _contents(index: Index, asked: Query, form: type_form) -> Iterator[list[Any]]:
    for first in range(0, asked.answers, limits.QUERIES_PAGE):
        with index.read() as tx:
            found = queries.answers(tx, asked.id, first, limits.QUERIES_PAGE)
        yield [printed(from_stored(one), form) for one in found]


def _pages(index: Index) -> Iterator[list[Any]]:
    after = ""
    while True:
        with index.read() as tx:
            found = queries.page(tx, after, limits.QUERIES_PAGE)
        if not found:
            return
        after = found[-1].id
        yield [_shown(one) for one in found]


def _shown(asked: Query) -> dict[str, Any]:
    return {
        "AnswersCount": asked.answers,
        "ID": asked.id,
        "Level": asked.level,
        "Modality": asked.modality,
        "Path": f"/queries/{asked.id}",
        "Query": printed(from_stored(asked.query), "simplify"),
    }
