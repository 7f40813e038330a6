"""Frames and documents inside an instance, as they lie there: nothing is decoded."""

from __future__ import annotations

import array
import zlib
from collections.abc import Generator

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wherry import limits
from wherry.dicom.content import Place, look_up
from wherry.dicom.frames import Frame, count_of, frame
from wherry.dicom.select import values
from wherry.dicom.uids import is_video
from wherry.errors import UnknownResource
from wherry.http.answers import Answer, empty_answer, json_answer
from wherry.http.pieces import pieces_answer
from wherry.http.routing import quick
from wherry.http.services import Services, services
from wherry.index import metadata, resources
from wherry.model import Attachment, Level
from wherry.rest.arguments import parsed_number
from wherry.rest.contents import part_of_file
from wherry.rest.stored import dicom_file, mapped

_PDF = "application/pdf"
_MIME_TYPE, _DOCUMENT, _DOCUMENT_LENGTH = "0042,0012", "0042,0011", "0042,0015"
_FRAMES = "0028,0008"
_TRANSFER_SYNTAX = 9
"""Number of the metadata."""

_OPERATIONS = (
    "image-int16",
    "image-uint16",
    "image-uint8",
    "matlab",
    "numpy",
    "preview",
    "raw",
    "raw.gz",
    "rendered",
)


def routes() -> list[Route]:
    """Routes below /instances/{id}."""
    one = "/instances/{id}/frames/{number}"
    return [
        Route("/instances/{id}/pdf", pdf),
        Route("/instances/{id}/frames", frames),
        Route(one, operations),
        Route(f"{one}/raw", raw),
        Route(f"{one}/raw.gz", raw_gzip),
    ]


def frames(request: Request) -> Response:
    """GET /instances/{id}/frames: numbers from 0; a video is one frame."""
    orthanc_id = request.path_params["id"]
    with services(request).index.read() as tx:
        found = resources.get(tx, Level.INSTANCE, orthanc_id)
        if found is None:
            raise UnknownResource
        number = found.tags.get(_FRAMES)
        if number:
            known = metadata.of_one(tx, Level.INSTANCE, orthanc_id) or {}
            syntax = known.get(_TRANSFER_SYNTAX)
            if syntax is not None and is_video(syntax.value):
                number = None
    return json_answer(list(range(count_of(number))))


@quick
def operations(request: Request) -> Response:
    """GET /instances/{id}/frames/{n}: what there is below; nobody checks the number."""
    return json_answer(_OPERATIONS)


def raw(request: Request) -> Response:
    """GET /instances/{id}/frames/{n}/raw: the bytes of one frame, without decoding."""
    number = parsed_number(request.path_params["number"])
    if number is None:
        return empty_answer(404)
    rooms = services(request)
    attachment = dicom_file(rooms, request.path_params["id"])
    with mapped(rooms, attachment) as data:
        found = frame(data, number)
        if not found.is_inflated and not found.is_swapped and len(found.pieces) == 1:
            [(position, length)] = found.pieces
            return part_of_file(rooms, attachment, position, length, found.media_type)
    return pieces_answer(_pieces(rooms, attachment, number), found.media_type.encode())


def raw_gzip(request: Request) -> Response:
    """GET /instances/{id}/frames/{n}/raw.gz: the same, as a gzip file."""
    number = parsed_number(request.path_params["number"])
    if number is None:
        return empty_answer(404)
    rooms = services(request)
    attachment = dicom_file(rooms, request.path_params["id"])

    def pieces() -> Generator[bytes, None, None]:
        packer = zlib.compressobj(1, zlib.DEFLATED, 31)
        for piece in _pieces(rooms, attachment, number):
            yield packer.compress(piece)
        yield packer.flush()

    return pieces_answer(pieces(), b"application/gzip")


def pdf(request: Request) -> Response:
    """GET /instances/{id}/pdf: an encapsulated document without its padding; 404 without a body
    when there is none."""
    rooms = services(request)
    attachment = dicom_file(rooms, request.path_params["id"])
    with mapped(rooms, attachment) as data:
        told = values(data, (_MIME_TYPE, _DOCUMENT_LENGTH))
        place = look_up(data, [_DOCUMENT]) if told.get(_MIME_TYPE) == _PDF else None
        if not isinstance(place, Place):
            return empty_answer(404)
        position, length = place.position, place.length
        exact = parsed_number(told.get(_DOCUMENT_LENGTH) or "")
        if exact is not None and length - 1 <= exact <= length:
            length = exact
        elif bytes(place.data[position + max(length - 1, 0) : position + length]) == b"\0":
            length -= 1
        if place.is_inflated:
            content = bytes(place.data[position : position + length])
            return Answer(content, 200, _PDF.encode())
    return part_of_file(rooms, attachment, position, length, _PDF)


def _pieces(rooms: Services, attachment: Attachment, number: int) -> Generator[bytes, None, None]:
    """The bytes of a frame, a few at a time."""
    with mapped(rooms, attachment) as data:
        found = frame(data, number)
        for position, length in found.pieces:
            for start in range(position, position + length, limits.READ_CHUNK_BYTES):
                end = min(start + limits.READ_CHUNK_BYTES, position + length)
                yield _little_endian(found, bytes(found.data[start:end]))


def _little_endian(found: Frame, piece: bytes) -> bytes:
    """The words of a piece as all newer files have them; pieces begin at whole words."""
    if not found.is_swapped or len(piece) % 2:
        return piece
    words = array.array("H", piece)
    words.byteswap()
    return words.tobytes()
