"""Single values of an instance: ``/instances/{id}/content``, the way down through sequences.

Values are sent as the file has them. A value that lies in the file is streamed from there; only
a deflated file has to be inflated first.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wherry.dicom.content import Place, look_up
from wherry.http.answers import Answer, empty_answer, file_answer, json_answer
from wherry.http.services import Services, services
from wherry.model import Attachment
from wherry.rest.stored import dicom_file, mapped
from wherry.storage.content import open_content

_BINARY = "application/octet-stream"


def routes() -> list[Route]:
    """Routes below /instances/{id}/content."""
    return [
        Route("/instances/{id}/content", content),
        Route("/instances/{id}/content/{path:path}", content),
    ]


def content(request: Request) -> Response:
    """GET /instances/{id}/content/TAG/item/TAG…: raw bytes, or a list of what may follow; 404
    without a body when there is nothing."""
    rooms = services(request)
    attachment = dicom_file(rooms, request.path_params["id"])
    path = request.path_params.get("path", "")
    with mapped(rooms, attachment) as data:
        found = look_up(data, path.split("/") if path else [])
        if isinstance(found, Place) and found.is_inflated:
            value = bytes(found.data[found.position : found.position + found.length])
            return Answer(value, 200, _BINARY.encode())
    if found is None:
        return empty_answer(404)
    if isinstance(found, Place):
        return part_of_file(rooms, attachment, found.position, found.length, _BINARY)
    return json_answer(found)


def part_of_file(
    rooms: Services, attachment: Attachment, position: int, length: int, media_type: str
) -> Response:
    """Bytes of a stored file, streamed."""
    if not length:
        return Answer(b"", 200, media_type.encode())
    reader = open_content(rooms.storage, attachment)
    return file_answer(reader, position, length, media_type)
