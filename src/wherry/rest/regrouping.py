"""Routes that regroup instances: a part of a study becomes a study of its own, or goes to another.

Both are jobs. Series and instances get new identifiers; what a study that is split or merged into
says of patient and study is what the new instances say.

Not here: the jobs (``wherry.editing``).
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wherry import clock, limits
from wherry.dicom.dictionary import named
from wherry.dicom.editing.paths import path_of
from wherry.dicom.editing.rules import PATIENT_ID, STUDY_UID, Rules, rules_of
from wherry.dicom.modules import MODULE_TAGS
from wherry.dicom.select import chosen
from wherry.dicom.tags import shown
from wherry.editing.order import MERGE, SPLIT
from wherry.errors import (
    BadFileFormat,
    BadRequest,
    ParameterOutOfRange,
    TooLarge,
    UnknownResource,
)
from wherry.http.services import Services, services
from wherry.http.threads import in_thread
from wherry.index import resources
from wherry.index.database import Transaction
from wherry.model import Level
from wherry.rest.modification import answer_edit, names_in, read_object, type_body, type_look
from wherry.rest.stored import mapped

_MODULES: Final = MODULE_TAGS[Level.PATIENT] | MODULE_TAGS[Level.STUDY]


def routes() -> list[Route]:
    """Their routes."""
    return [
        Route("/studies/{id}/split", split, methods=["POST"]),
        Route("/studies/{id}/merge", merge, methods=["POST"]),
    ]


async def split(request: Request) -> Response:
    """POST /studies/{id}/split: ``Series`` and ``Instances`` of a study become another study."""
    body = await read_object(request)
    study = request.path_params["id"]
    parts = {
        level: names_in(body, field) if field in body else []
        for level, field in ((Level.SERIES, "Series"), (Level.INSTANCE, "Instances"))
    }

    def look(tx: Transaction) -> None:
        _check_study(tx, study, f"Cannot split unknown study {study}")
        for level, ids in parts.items():
            for one in ids:
                above = resources.ancestor(tx, level, one, Level.STUDY)
                if above is None:
                    raise UnknownResource
                if above != study:
                    what = level.title.lower()
                    raise UnknownResource(
                        f"This {what} does not belong to the study to be split: {one}"
                    )

    rooms = services(request)
    await in_thread(_look, rooms, look)
    ids = [one for some in parts.values() for one in some]
    if not ids:
        raise BadRequest('Both the "Series" and the "Instances" fields are missing')
    target = f"2.25.{uuid.UUID(clock.new_uuid()).int}"
    rules = await in_thread(_split_rules, body, target)
    return await answer_edit(
        request, body, SPLIT, ids, rules, look, keep_source=False, target_uid=target
    )


def _split_rules(body: type_body, target: str) -> Rules:
    replace, remove = body.get("Replace", {}), body.get("Remove", [])
    if not isinstance(replace, dict) or not isinstance(remove, list):
        raise BadFileFormat
    if not all(isinstance(one, str) for one in (*replace.values(), *remove)):
        raise BadFileFormat
    for name in (*replace, *remove):
        path = path_of(name)
        if path.parents or path.tag == STUDY_UID or path.tag not in _MODULES:
            tag = named(path.tag)
            raise ParameterOutOfRange(
                "Cannot modify the following tag while splitting a study (not in the patient/study"
                f" modules): {tag.name} ({tag.tag})"
            )
    gone = {path_of(name).tag for name in remove}
    if PATIENT_ID in gone:  # it identifies: it can be empty, but not absent
        remove = [name for name in remove if path_of(name).tag != PATIENT_ID]
        replace = {"PatientID": ""} | replace
    return _regrouped(target, replace, remove)


def _regrouped(study_uid: str, replace: dict[str, Any], remove: Sequence[str]) -> Rules:
    body = {
        "Replace": {**replace, "StudyInstanceUID": study_uid},
        "Remove": list(remove),
        "Force": True,
    }
    return rules_of(body, Level.STUDY, anonymize=False, default_profile="")


async def merge(request: Request) -> Response:
    """POST /studies/{id}/merge: ``Resources`` (studies, series, instances) go into this study."""
    body = await read_object(request)
    study = request.path_params["id"]
    ids: list[str] = []

    def look(tx: Transaction) -> None:
        _check_study(tx, study, f"Cannot merge into an unknown study: {study}")
        ids[:] = names_in(body, "Resources")
        levels = resources.locate(tx, ids)
        for one in ids:
            _check_mergeable(tx, study, one, levels.get(one))

    rooms = services(request)
    await in_thread(_look, rooms, look)
    rules = await in_thread(_merge_rules, rooms, study)
    return await answer_edit(
        request, body, MERGE, ids, rules, look, keep_source=False, target_study=study
    )


def _check_mergeable(tx: Transaction, study: str, one: str, level: Level | None) -> None:
    if level is None:
        raise UnknownResource(f"Cannot find this resource: {one}")
    if level is Level.PATIENT:
        raise UnknownResource(
            "This resource is neither a study, nor a series, nor an instance: "
            f"{one} is a {level.title}"
        )
    if one == study:
        raise UnknownResource(f"Cannot merge a study into the same study: {one}")
    if resources.ancestor(tx, level, one, Level.STUDY) == study:
        raise UnknownResource(
            f"Cannot merge {level.title.lower()} {one} into its parent study {study}"
        )


def _merge_rules(rooms: Services, study: str) -> Rules:
    """What the instance of the study that came first says of patient and study."""
    with rooms.index.read() as tx:
        file = resources.first_file(tx, Level.STUDY, study)
    if file is None:
        raise UnknownResource
    with mapped(rooms, file) as data:
        found = chosen(data, _MODULES, "short", whole=True)
    values = {tag: value for tag, value in found.items() if value is not None}
    if sum(len(value) for value in values.values()) > limits.JSON_BODY_BYTES:
        raise TooLarge("This study has more to say of itself than an order to edit may")
    uid = values.pop(shown(STUDY_UID))
    values.setdefault(shown(PATIENT_ID), "")
    gone = [shown(tag) for tag in _MODULES if shown(tag) not in values and tag != STUDY_UID]
    return _regrouped(uid, values, gone)


def _check_study(tx: Transaction, study: str, complaint: str) -> None:
    if resources.locate(tx, [study]).get(study) is not Level.STUDY:
        raise UnknownResource(complaint)


def _look(rooms: Services, look: type_look) -> None:
    with rooms.index.read() as tx:
        look(tx)
