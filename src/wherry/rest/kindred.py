"""Tags of many instances at once, and the parts of them that belong to a level.

``/module`` shows one instance for all, ``/shared-tags`` what all have in common, and
``/instances-tags`` every instance by itself. One file is open at a time, and memory does not grow
with their number.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from functools import partial

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wherry.dicom.json import to_json, type_form, type_object
from wherry.dicom.modules import MODULE_TAGS
from wherry.dicom.select import chosen
from wherry.errors import BadFileFormat, UnknownResource
from wherry.http.answers import JSON, json_answer
from wherry.http.pieces import pieces_answer
from wherry.http.services import Services, services
from wherry.index import resources
from wherry.model import Attachment, Level
from wherry.rest.instances import form_of, long_tags
from wherry.rest.stored import mapped

type_files = Sequence[tuple[str, Attachment]]


def routes() -> list[Route]:
    """Routes of all levels."""
    patient_module = partial(module, level=Level.STUDY, of=Level.PATIENT)
    found = [Route("/studies/{id}/module-patient", patient_module)]
    for level in Level:
        one = f"/{level.plural}/{{id}}"
        found.append(Route(f"{one}/module", partial(module, level=level, of=level)))
        if level is not Level.INSTANCE:
            found.append(Route(f"{one}/shared-tags", partial(shared_tags, level=level)))
            found.append(Route(f"{one}/instances-tags", partial(instances_tags, level=level)))
    return found


def module(request: Request, level: Level, of: Level) -> Response:
    """GET /{level}/{id}/module: tags of the module of level ``of``, as one instance has them."""
    form, rooms = form_of(request), services(request)
    with rooms.index.read() as tx:
        file = resources.first_file(tx, level, request.path_params["id"])
    if file is None:
        raise UnknownResource
    with mapped(rooms, file) as content:
        return json_answer(chosen(content, MODULE_TAGS[of], form))


def shared_tags(request: Request, level: Level) -> Response:
    """GET /{level}/{id}/shared-tags: text that is the same in all instances."""
    form, rooms = form_of(request), services(request)
    shared: type_object = {}
    wanted: frozenset[int] = frozenset()
    for number, (_, attachment) in enumerate(_files(rooms, request, level)):
        with mapped(rooms, attachment) as content:
            found = chosen(content, wanted, "full") if number else to_json(content, "full")
        if not number:
            shared = {tag: one for tag, one in found.items() if one["Type"] == "String"}
        elif found != shared:
            shared = {tag: one for tag, one in shared.items() if found.get(tag) == one}
        if len(wanted) != len(shared):
            wanted = frozenset(int(tag.replace(",", ""), 16) for tag in shared)
    return json_answer(_in_form(shared, form))


def instances_tags(request: Request, level: Level) -> Response:
    """GET /{level}/{id}/instances-tags: instance → its tags, in the forms of ``/tags``."""
    form, long_ones = form_of(request), long_tags(request)
    rooms = services(request)
    files = _files(rooms, request, level)

    def pieces() -> Generator[bytes, None, None]:
        before = b"{\n"
        for orthanc_id, attachment in files:
            with mapped(rooms, attachment) as content:
                try:
                    shown = to_json(content, form, long_ones)
                except BadFileFormat:
                    shown = {}  # stored, but nobody can look into it
            yield before + orjson.dumps(orthanc_id) + b": "
            yield orjson.dumps(shown, option=orjson.OPT_SORT_KEYS)
            before = b",\n"
        yield b"\n}" if files else b"{}"

    return pieces_answer(pieces(), JSON)


def _files(rooms: Services, request: Request, level: Level) -> type_files:
    """The files of all instances below a resource. Raises ``UnknownResource``."""
    with rooms.index.read() as tx:
        files = resources.files_under(tx, level, request.path_params["id"])
    if files is None:
        raise UnknownResource
    return files


def _in_form(full: type_object, form: type_form) -> type_object:
    if form == "full":
        return full
    if form == "short":
        return {tag: one["Value"] for tag, one in full.items()}
    return {one["Name"]: one["Value"] for one in full.values()}
