"""What modalities are asked over REST: queries whose answers are kept, worklists, and the old ways
that answer at once.

Not here: what is done with answers that are kept (``queries``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wherry import limits
from wherry.dicom.attributes import Attribute
from wherry.dicom.json import type_form
from wherry.dicom.plain import plain, printed, type_plain
from wherry.errors import NetworkProtocol
from wherry.http.answers import empty_answer, json_answer
from wherry.http.body import read_body
from wherry.http.calls import call
from wherry.http.services import Services, services
from wherry.http.threads import in_thread
from wherry.modalities.asking.finding import Finder
from wherry.modalities.asking.identifiers import adapted, identifier, spelled, usual_keys
from wherry.modalities.asking.levels import ACCESSION_NUMBER, PATIENT_ID, SERIES_UID, STUDY_UID
from wherry.modalities.asking.querying import content, target_of
from wherry.model import Level, Modality
from wherry.rest.joborders import read_boolean
from wherry.rest.queries import answer_question
from wherry.rest.query_body import parsed, question, read_object, texts_of, worklist_query

_WANTED: Final[Mapping[Level, tuple[int, ...]]] = {
    Level.PATIENT: (),
    Level.STUDY: (PATIENT_ID, STUDY_UID, ACCESSION_NUMBER),
    Level.SERIES: (STUDY_UID,),
    Level.INSTANCE: (SERIES_UID,),
}
"""Of these tags the old way of asking wants one at least: it is not for browsing."""


def routes() -> list[Route]:
    """Routes of questions."""
    return [
        Route("/modalities/{name}/query", query, methods=["POST"]),
        Route("/modalities/{name}/find-worklist", find_worklist, methods=["POST"]),
        Route("/modalities/{name}/find", find, methods=["POST"]),
        *(
            Route(
                f"/modalities/{{name}}/find-{level.title.lower()}",
                partial(find_level, level=level),
                methods=["POST"],
            )
            for level in Level
        ),
    ]


async def query(request: Request) -> Response:
    """POST /modalities/{name}/query: ask, and keep the answers under /queries."""
    wanted = question(read_object(await read_body(request, limits.JSON_BODY_BYTES)))
    return await answer_question(request, request.path_params["name"], wanted)


async def find_worklist(request: Request) -> Response:
    """POST /modalities/{name}/find-worklist: what is planned."""
    body = read_object(await read_body(request, limits.JSON_BODY_BYTES))
    wanted, form = worklist_query(body), _form(body)
    rooms, asked = await _modality(request)
    sent = spelled(adapted(wanted, asked.manufacturer))

    def work(check: Callable[[], None]) -> list[Any]:
        gathered = Gathered(asked.name)
        with Finder(target_of(rooms.config, asked), worklist=True) as finder:
            answers = map(plain, finder.find_worklist(sent, check))
            return [printed(one, form) for one in gathered.all(answers)]

    return json_answer(await call(request, work))


async def find_level(request: Request, level: Level) -> Response:
    """POST /modalities/{name}/find-…: deprecated, as /modalities/{name}/query is better. Answers
    that are found at this level, at once."""
    body = parsed(await read_body(request, limits.JSON_BODY_BYTES))
    if body is None:
        return empty_answer(400)
    wanted = texts_of(body)
    rooms, asked = await _modality(request)
    if _WANTED[level] and not any(wanted.get(tag) for tag in _WANTED[level]):
        return empty_answer(400)

    def work(check: Callable[[], None]) -> list[Any]:
        with Finder(target_of(rooms.config, asked)) as finder:
            old = _Old(asked, finder, check)
            return [printed(one, "simplify") for one in old.find(level, wanted)]

    return json_answer(await call(request, work))


async def find(request: Request) -> Response:
    """POST /modalities/{name}/find: deprecated. Patients, and within them their studies and
    series."""
    body = parsed(await read_body(request, limits.JSON_BODY_BYTES))
    if body is None:
        return empty_answer(400)
    wanted = texts_of(body)
    rooms, asked = await _modality(request)

    def work(check: Callable[[], None]) -> list[Any]:
        with Finder(target_of(rooms.config, asked)) as finder:
            return _Old(asked, finder, check).hierarchy(wanted)

    return json_answer(await call(request, work))


class Gathered:
    """Answers in memory: not too many."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._count = 0
        self._bytes = 0

    def all(self, answers: Iterable[type_plain]) -> Iterator[type_plain]:
        """The same. Raises ``NetworkProtocol`` when there are more than fit."""
        for one in answers:
            self._count += 1
            self._bytes += len(orjson.dumps(one, option=orjson.OPT_NON_STR_KEYS))
            if self._count > limits.FOUND_ANSWERS or self._bytes > limits.FOUND_BYTES:
                raise NetworkProtocol(
                    f"{self._name} has more answers than can be shown at once "
                    f"({limits.FOUND_ANSWERS}, or {limits.FOUND_BYTES} bytes): ask for less"
                )
            yield one


class _Old:
    """The old ways to ask, on one association."""

    def __init__(self, asked: Modality, finder: Finder, check: Callable[[], None]) -> None:
        self._asked = asked
        self._finder = finder
        self._check = check
        self._gathered = Gathered(asked.name)

    def find(self, level: Level, wanted: Mapping[int, str]) -> Iterator[type_plain]:
        """What is found at this level."""
        texts = usual_keys(level) | dict(wanted)
        sent: dict[int, Attribute] = identifier(level, texts, self._asked.manufacturer)
        answers = self._finder.find(level, sent, self._check)
        return self._gathered.all(content(one, level) for one in answers)

    def hierarchy(self, wanted: Mapping[int, str]) -> list[Any]:
        """Patients with their studies with their series."""
        return [
            printed(patient, "simplify")
            | {"Studies": self._studies({PATIENT_ID: _text(patient, PATIENT_ID)})}
            for patient in list(self.find(Level.PATIENT, wanted))
        ]

    def _studies(self, keys: Mapping[int, str]) -> list[Any]:
        return [
            printed(study, "simplify")
            | {"Series": self._series({**keys, STUDY_UID: _text(study, STUDY_UID)})}
            for study in list(self.find(Level.STUDY, keys))
        ]

    def _series(self, keys: Mapping[int, str]) -> list[Any]:
        return [printed(one, "simplify") for one in self.find(Level.SERIES, keys)]


def _text(values: type_plain, tag: int) -> str:
    value = values.get(tag)
    return value if isinstance(value, str) else ""


def _form(body: dict[str, Any]) -> type_form:
    if read_boolean(body, "Short"):
        return "short"
    return "full" if read_boolean(body, "Full") else "simplify"


async def _modality(request: Request) -> tuple[Services, Modality]:
    rooms = services(request)
    return rooms, await in_thread(rooms.modalities.get, request.path_params["name"])
