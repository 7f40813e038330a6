"""The stored DICOM file of an instance, as it arrived: from memory if it was read lately."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wherry import limits
from wherry.http.answers import DICOM, Answer, content_answer
from wherry.http.routing import quick_when
from wherry.http.services import services
from wherry.rest import rendering
from wherry.rest.stored import dicom_file
from wherry.storage.content import open_content


def routes() -> list[Route]:
    """/instances/{id}/file."""
    return [Route("/instances/{id}/file", file)]


def _held(request: Request) -> Response | None:
    """The answer from memory: a whole file, nothing special asked for."""
    scope = request.scope
    if scope["query_string"] or any(name == b"range" for name, _ in scope["headers"]):
        return None
    rooms = services(request)
    attachment = dicom_file(rooms, request.path_params["id"])
    content = rooms.files.get(attachment.uuid)
    if content is None:
        return None
    disposition = b'filename="%s"' % rendering.file_name(attachment).encode("ascii")
    return Answer(content, 200, DICOM, [(b"content-disposition", disposition)])


@quick_when(_held)
def file(request: Request) -> Response:
    """GET /instances/{id}/file, ``?filename=``; ``Range`` is honoured."""
    rooms = services(request)
    attachment = dicom_file(rooms, request.path_params["id"])
    name = request.query_params.get("filename") or rendering.file_name(attachment)
    headers = {"Content-Disposition": f'filename="{inert_name(name)}"'}
    reader = open_content(rooms.storage, attachment)
    size = attachment.uncompressed_size
    answer = content_answer(request, reader, size, "application/dicom", headers)
    if type(answer) is Answer and answer.status_code == 200 and size <= limits.CACHED_FILE_BYTES:
        rooms.files.put(attachment.uuid, bytes(answer.body))
    return answer


def inert_name(name: str) -> str:
    """A file name that stays inside its quotes and in its folder."""
    return "".join("_" if c in '"\\/;\x7f' or c < " " else c for c in name)[:255]
