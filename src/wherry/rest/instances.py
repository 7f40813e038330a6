"""What only instances have: the file, its tags, and what was noted when it arrived."""

from __future__ import annotations

import hashlib
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wherry.dicom.json import to_json, type_form
from wherry.dicom.tags import tag_of
from wherry.errors import InexistentItem, UnknownResource
from wherry.http.answers import TEXT, Answer, empty_answer, file_answer, json_answer
from wherry.http.services import services
from wherry.index import resources
from wherry.rest import rendering
from wherry.rest.arguments import flag
from wherry.rest.stored import dicom_file, mapped
from wherry.storage.content import open_content

METADATA_NUMBERS: Final = {
    "IndexInSeries": 1,
    "ReceptionDate": 2,
    "RemoteAET": 3,
    "ExpectedNumberOfInstances": 4,
    "ModifiedFrom": 5,
    "AnonymizedFrom": 6,
    "LastUpdate": 7,
    "Origin": 8,
    "TransferSyntax": 9,
    "SopClassUid": 10,
    "RemoteIP": 11,
    "CalledAET": 12,
    "HttpUsername": 13,
    "PixelDataOffset": 14,
    "MainDicomTagsSignature": 15,
}
"""Numbers of the metadata that the server itself writes."""

_NAMES: Final = {number: name for name, number in METADATA_NUMBERS.items()}
_NUMBERS_OF_USERS: Final = range(1024, 65536)


def routes() -> list[Route]:
    """Routes below /instances/{id}."""
    return [
        Route("/instances/{id}/file", file),
        Route("/instances/{id}/tags", tags),
        Route("/instances/{id}/simplified-tags", simplified_tags),
        Route("/instances/{id}/metadata", metadata),
        Route("/instances/{id}/metadata/{name}", one_metadata),
    ]


def file(request: Request) -> Response:
    """GET /instances/{id}/file: the bytes as they arrived."""
    rooms = services(request)
    attachment = dicom_file(rooms, request.path_params["id"])
    name = request.query_params.get("filename") or rendering.file_name(attachment)
    reader = open_content(rooms.storage, attachment)
    return file_answer(
        reader,
        0,
        attachment.uncompressed_size,
        "application/dicom",
        {"Content-Disposition": f'filename="{_inert(name)}"'},
    )


def _inert(name: str) -> str:
    """A file name that stays inside its quotes and in its folder."""
    return "".join("_" if c in '"\\/;\x7f' or c < " " else c for c in name)[:255]


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


def metadata(request: Request) -> Response:
    """GET /instances/{id}/metadata: names by number, ``?numeric`` numbers, ``?expand`` values."""
    values = _metadata(request)
    if flag(request, "expand"):
        return json_answer(values)
    names = sorted(values, key=lambda name: METADATA_NUMBERS.get(name, 65536))
    if flag(request, "numeric"):
        return json_answer([METADATA_NUMBERS.get(name, name) for name in names])
    return json_answer(names)


def one_metadata(request: Request) -> Response:
    """GET /instances/{id}/metadata/{name or number}: its text, with an entity tag."""
    asked = request.path_params["name"]
    name = _metadata_name(asked)
    value = _metadata(request).get(name)
    if value is None:
        return empty_answer(404)
    content = value.encode()
    tag = f'"0-{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'
    if request.headers.get("if-none-match") == tag:
        return empty_answer(304, [(b"etag", tag.encode())])
    return Answer(content, 200, TEXT, [(b"etag", tag.encode())])


def _metadata_name(asked: str) -> str:
    if asked in METADATA_NUMBERS:
        return asked
    if asked.isascii() and asked.isdigit() and len(asked) < 6:
        number = int(asked)
        if number in _NAMES:
            return _NAMES[number]
        if number in _NUMBERS_OF_USERS:
            return asked
    raise InexistentItem


def _metadata(request: Request) -> dict[str, str]:
    orthanc_id = request.path_params["id"]
    with services(request).index.read() as tx:
        values = resources.instance_metadata(tx, orthanc_id)
    if not values:
        raise UnknownResource
    if values.get("Origin") == "RestApi":  # shown by Orthanc although they are empty
        return {"RemoteAET": "", "HttpUsername": "", **values}
    return values
