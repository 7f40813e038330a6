"""Writing a stored file to a path of this machine: only where the operator has allowed it."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wherry.config import Config
from wherry.errors import CannotWriteFile, ParameterOutOfRange
from wherry.http.answers import empty_answer, literal_json
from wherry.http.services import Services, services
from wherry.http.threads import in_thread
from wherry.rest.stored import dicom_file
from wherry.rest.words import read_word
from wherry.storage.content import open_content
from wherry.storage.copying import copy_to


def routes() -> list[Route]:
    """The route of exports."""
    return [Route("/instances/{id}/export", export, methods=["POST"])]


async def export(request: Request) -> Response:
    """POST /instances/{id}/export: write the file to the absolute path that is the body.

    403 without a body unless ``RestApiWriteToFileSystemEnabled``.
    """
    rooms = services(request)
    path = await read_word(request)
    if not rooms.config.rest_api_write_to_file_system_enabled:
        return empty_answer(403)
    await in_thread(_write, rooms, request.path_params["id"], path)
    return literal_json()


def _write(rooms: Services, orthanc_id: str, path: str) -> None:
    attachment = dicom_file(rooms, orthanc_id)
    target = _checked(rooms.config, path)
    reader = open_content(rooms.storage, attachment)
    try:
        copy_to(reader, target)
    finally:
        reader.close()


def _checked(config: Config, text: str) -> Path:
    """The path, when it is one that may be written to: never our own folders."""
    path = Path(text)
    if not path.is_absolute() or "\0" in text:
        raise CannotWriteFile
    try:
        found = path.parent.resolve(strict=True) / path.name
    except (OSError, RuntimeError) as error:  # no such folder, or links that go in circles
        raise CannotWriteFile from error
    for own in (config.storage_directory, config.index_directory):
        if found.is_relative_to(own.resolve()):
            raise ParameterOutOfRange("The folders of this server are not for exports")
    return found
