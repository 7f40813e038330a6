"""The stored DICOM file of an instance, as it arrived: from memory if it was read lately; or in the
languages of DICOMweb (PS3.18 §F)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wherry import limits
from wherry.dicom.elements import type_data
from wherry.dicom.native_json import to_dicom_json
from wherry.dicom.native_xml import to_dicom_xml
from wherry.http.answers import DICOM, Answer, content_answer
from wherry.http.pieces import pieces_answer, type_pieces
from wherry.http.remembered import Remembered
from wherry.http.routing import quick_when
from wherry.http.services import Services, services
from wherry.http.threads import in_thread
from wherry.model import Attachment
from wherry.rest import rendering
from wherry.rest.stored import dicom_file, mapped
from wherry.rest.transcoding import asked_quality, asked_syntax, transcoded_answer
from wherry.storage.content import open_content

type_translation = tuple[bytes, Callable[[type_data], type_pieces]]


def routes() -> list[Route]:
    """/instances/{id}/file."""
    return [Route("/instances/{id}/file", file)]


def _held(request: Request) -> Response | None:
    """The answer from memory: a whole file, nothing special asked for."""
    scope = request.scope
    if scope["query_string"] or any(name == b"range" for name, _ in scope["headers"]):
        return None
    if _translation(request) is not None:
        return None
    rooms = services(request)
    attachment = _attachment(request)
    content = rooms.files.get(attachment.uuid)
    if content is None:
        return None
    disposition = b'filename="%s"' % rendering.file_name(attachment).encode("ascii")
    return Answer(content, 200, DICOM, [(b"content-disposition", disposition)])


def _attachment(request: Request) -> Attachment:
    """As ``dicom_file``, without asking the index again while nothing changes there."""
    memory: Remembered = request.app.remembered
    orthanc_id = request.path_params["id"]
    key, state = (file, orthanc_id), memory.look()
    found: Attachment | None = memory.get(key)
    if found is None:
        found = dicom_file(services(request), orthanc_id)
        memory.put(key, found, 0, state)
    return found


@quick_when(_held)
async def file(request: Request) -> Response:
    """GET /instances/{id}/file, ``?filename=``; ``Range`` is honoured. ``Accept`` may ask for DICOM
    JSON or XML instead, ``?transcode=`` for another transfer syntax (``?lossy-quality=``)."""
    run = services(request).drawing.make if "transcode" in request.query_params else in_thread
    return await run(partial(_file, request))


def _file(request: Request) -> Response:
    rooms = services(request)
    attachment = dicom_file(rooms, request.path_params["id"])
    if (translation := _translation(request)) is not None:
        return translated(rooms, attachment, *translation)
    name = request.query_params.get("filename") or rendering.file_name(attachment)
    headers = {"Content-Disposition": f'filename="{inert_name(name)}"'}
    if (syntax := asked_syntax(request)) != "":
        quality = asked_quality(request)
        return transcoded_answer(rooms, attachment, syntax, quality, headers)
    reader = open_content(rooms.storage, attachment)
    size = attachment.uncompressed_size
    answer = content_answer(request, reader, size, "application/dicom", headers)
    if type(answer) is Answer and answer.status_code == 200 and size <= limits.CACHED_FILE_BYTES:
        rooms.files.put(attachment.uuid, bytes(answer.body))
    return answer


_TRANSLATIONS: Final[dict[str, type_translation]] = {
    "application/dicom+json": (b"application/dicom+json", to_dicom_json),
    "application/dicom+xml": (b"application/dicom+xml", to_dicom_xml),
}


def _translation(request: Request) -> type_translation | None:
    """What ``Accept`` asks for instead of the file; as in Orthanc, only if it asks for nothing
    else."""
    return _TRANSLATIONS.get(request.headers.get("accept", ""))


def translated(
    rooms: Services,
    attachment: Attachment,
    media_type: bytes,
    translate: Callable[[type_data], type_pieces],
) -> Response:
    """The file in one of the languages of DICOMweb, streamed while it is made."""

    def pieces() -> type_pieces:
        with mapped(rooms, attachment) as data:
            yield from translate(data)

    return pieces_answer(pieces(), media_type)


def inert_name(name: str) -> str:
    """A file name that stays inside its quotes and in its folder."""
    return "".join("_" if c in '"\\/;\x7f' or c < " " else c for c in name)[:255]
