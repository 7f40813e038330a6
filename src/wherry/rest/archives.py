"""Archives and media: resources as one ZIP, at once as a stream, or later as the output of a job.

A stream begins when the first file is read and is never held whole. What goes wrong after its head
was sent breaks the connection, and what has come is no ZIP: it has no directory.

Not here: what goes in (``archives``), how the output of a job is fetched (``jobs``).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from wherry import clock, limits
from wherry.archives.contents import Contents, list_contents
from wherry.archives.job import PASSING
from wherry.archives.making import Making
from wherry.archives.order import ArchiveOrder
from wherry.errors import (
    BadFileFormat,
    InexistentItem,
    TooLarge,
    Unavailable,
    UnknownResource,
    WherryError,
)
from wherry.http.answers import file_answer
from wherry.http.body import read_body
from wherry.http.pieces import pieces_answer, type_pieces, type_run
from wherry.http.services import Services, services
from wherry.http.threads import in_thread, post, run_in_thread
from wherry.index import resources
from wherry.model import Job, Level, type_json
from wherry.rest.arguments import flag
from wherry.rest.files import inert_name
from wherry.rest.joborders import (
    JobOptions,
    JobOrder,
    carry_out,
    put_off,
    read_boolean,
    read_options,
)
from wherry.rest.transcoding import asked_quality, asked_syntax, read_quality, transfer_syntax

_log = logging.getLogger(__name__)

_ZIP: Final = "application/zip"
_TOOLS: Final = {
    "create-archive": (False, False),
    "create-media": (True, False),
    "create-media-extended": (True, True),
}
"""Route → media, extended."""
_STREAMS: Final = asyncio.Semaphore(limits.ARCHIVE_STREAMS)
"""Never waited for: only ``locked`` and then taken."""


def routes() -> list[Route]:
    """Routes of archives and media."""
    found = []
    for level in (Level.PATIENT, Level.STUDY, Level.SERIES):
        for name, media in (("archive", False), ("media", True)):
            path = f"/{level.plural}/{{id}}/{name}"
            found += [
                Route(path, partial(download, level=level, media=media), methods=["GET"]),
                Route(path, partial(make, level=level, media=media), methods=["POST"]),
            ]
    for name in _TOOLS:
        found += [
            Route(f"/tools/{name}", partial(download_several, name=name), methods=["GET"]),
            Route(f"/tools/{name}", partial(make_of_several, name=name), methods=["POST"]),
        ]
    return found


async def download(request: Request, level: Level, media: bool) -> Response:
    """GET /{patients|studies|series}/{id}/archive and /media: a ZIP, streamed; ``?filename=``,
    ``?transcode=``, ``?lossy-quality=``, of media ``?extended``."""
    name = request.path_params["id"]
    order = ArchiveOrder(
        (name,),
        media,
        media and flag(request, "extended"),
        asked_syntax(request),
        _asked_name(request) or f"{name}.zip",
        quality=asked_quality(request),
    )
    return await _stream(request, order, level)


async def make(request: Request, level: Level, media: bool) -> Response:
    """POST /{patients|studies|series}/{id}/archive and /media: as GET, or a job."""
    body = _options(await read_body(request, limits.JSON_BODY_BYTES))
    name = request.path_params["id"]
    extended = read_boolean(body, "Extended") and media
    order = _order(body, (name,), media, extended, f"{name}.zip")
    return await _answer(request, order, read_options(body), level)


async def download_several(request: Request, name: str) -> Response:
    """GET /tools/create-archive, create-media, create-media-extended: ``?resources=`` are
    identifiers, separated by commas; ``?filename=``, ``?transcode=``, ``?lossy-quality=``."""
    named = request.query_params.get("resources")
    if named is None:
        raise BadFileFormat("Missing argument: resources")
    order = ArchiveOrder(
        _identifiers([part for part in named.split(",") if part]),
        *_TOOLS[name],
        asked_syntax(request),
        _asked_name(request) or "Archive.zip",
        quality=asked_quality(request),
    )
    return await _stream(request, order)


async def make_of_several(request: Request, name: str) -> Response:
    """POST /tools/create-archive, create-media, create-media-extended: a list of identifiers, or
    an object with ``Resources``; a stream, or a job."""
    raw = await read_body(request, limits.JSON_BODY_BYTES)
    document = _parsed(raw, "Expected a list of resources to archive in the body")
    body = document if isinstance(document, dict) else {"Resources": document}
    if not isinstance(document, dict | list):
        raise BadFileFormat
    if "Resources" not in body:
        raise BadFileFormat("Missing field Resources in the JSON body")
    media, extended = _TOOLS[name]
    extended = (read_boolean(body, "Extended") and media) or extended
    order = _order(body, _identifiers(body["Resources"]), media, extended, "Archive.zip")
    return await _answer(request, order, read_options(body))


# --- what is asked for -----------------------------------------------------------------------
def _parsed(body: bytes, otherwise: str) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise BadFileFormat(otherwise) from None


def _options(body: bytes) -> Mapping[str, type_json]:
    """What is no object (``1``) stands for one without members, as in old clients."""
    document = _parsed(body, "")
    return document if isinstance(document, dict) else {}


def _order(
    body: Mapping[str, type_json],
    ids: tuple[str, ...],
    media: bool,
    extended: bool,
    file_name: str,
) -> ArchiveOrder:
    transcode, named = body.get("Transcode", ""), body.get("Filename", "")
    for name, value in (("Transcode", transcode), ("Filename", named)):
        if not isinstance(value, str):
            raise BadFileFormat(f"String value expected in field: {name}")
    synchronous = read_options(body).synchronous
    return ArchiveOrder(
        ids,
        media,
        extended,
        transfer_syntax(transcode) if "Transcode" in body else "",
        inert_name(named) or (file_name if synchronous else "archive.zip"),
        quality=read_quality(body),
    )


def _asked_name(request: Request) -> str:
    return inert_name(request.query_params.get("filename", ""))


def _identifiers(items: Any) -> tuple[str, ...]:
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise BadFileFormat("Expected a list of strings (Orthanc identifiers)")
    if len(items) > limits.SENT_RESOURCES:
        raise TooLarge(f"At most {limits.SENT_RESOURCES} resources may be named at once")
    return tuple(dict.fromkeys(items))


# --- the answer ------------------------------------------------------------------------------
async def _answer(
    request: Request, order: ArchiveOrder, options: JobOptions, level: Level | None = None
) -> Response:
    rooms = services(request)
    if options.synchronous and rooms.config.synchronous_zip_stream:
        return await _stream(request, order, level)
    contents = await in_thread(_contents, rooms, order, level)
    shown = order.content(len(contents.items), contents.size, 0)
    del contents  # the job will make its own
    if not options.synchronous:
        return await put_off(request, JobOrder(order.type, order.parameters(), shown, options))
    order = replace(order, passing=True)
    made = await carry_out(request, JobOrder(order.type, order.parameters(), shown, options))
    remove = partial(post, rooms.jobs.remove_output, made.id, PASSING)
    try:
        return _Finally(await in_thread(_output, rooms, made), remove)
    except BaseException:
        remove()
        raise


async def _stream(request: Request, order: ArchiveOrder, level: Level | None = None) -> Response:
    rooms = services(request)
    if not rooms.config.synchronous_zip_stream:
        return await _answer(request, order, JobOptions(), level)
    if _STREAMS.locked():
        raise Unavailable("Too many archives are being made already", 5)
    await _STREAMS.acquire()
    run = rooms.drawing.start if order.transcode else run_in_thread
    try:
        return _Finally(await run(_begun, rooms, order, level, run), _STREAMS.release)
    except BaseException:
        _STREAMS.release()
        raise


class _Finally(Response):
    """Another answer, and what is to be done when it was sent, or could not be."""

    def __init__(self, inner: Response, then: Callable[[], None]) -> None:
        self._inner = inner
        self._then = then
        self.status_code = inner.status_code
        self.raw_headers = inner.raw_headers
        self.body = b""
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await self._inner(scope, receive, send)
        finally:
            self._then()


def _begun(rooms: Services, order: ArchiveOrder, level: Level | None, run: type_run) -> Response:
    """The answer, its first pieces made."""
    contents = _contents(rooms, order, level)
    making = Making(rooms.storage, contents, clock.now(), rooms.transcoder)
    disposition = f'filename="{inert_name(order.file_name)}"'.encode("latin-1", "replace")
    pieces = _logged(making.whole())
    return pieces_answer(pieces, _ZIP.encode(), [(b"content-disposition", disposition)], run=run)


def _logged(pieces: type_pieces) -> type_pieces:
    """The same; why they stop short is for the log, since the client only sees that they do."""
    try:
        yield from pieces
    except WherryError as error:
        _log.warning("An archive breaks off: %s", error)
        raise


def _contents(rooms: Services, order: ArchiveOrder, level: Level | None) -> Contents:
    """What goes in. Raises ``UnknownResource``, also when a resource is of another ``level``."""
    with rooms.index.read() as tx:
        if level is not None and level not in resources.locate(tx, order.resources).values():
            raise UnknownResource
        return list_contents(tx, order, utf8=rooms.config.zip_use_utf8)


def _output(rooms: Services, job: Job) -> Response:
    """All of it, also when a range is asked for: the next archive will be another one."""
    found = rooms.jobs.output(job.id, PASSING)
    if found is None:
        raise InexistentItem("The archive was made, but is not kept: see JobsHistorySize")
    headers = {"Content-Disposition": f'filename="{inert_name(found.file_name)}"'}
    reader = rooms.storage.open(found.uuid, found.place)
    return file_answer(reader, 0, found.size, found.media_type, headers)
