"""Attachments of resources at all four levels: files by name or number (rest-api §7).

The DICOM file of an instance is its attachment 1. Numbers below 1024 are the server's own: they
are read here, packed and verified, but neither replaced nor taken away.

Not here: taking a new file in (``arrivals``).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wherry.errors import MissingFile, UnknownResource
from wherry.http.answers import (
    content_answer,
    empty_answer,
    json_answer,
    literal_json,
    text_answer,
)
from wherry.http.routing import quick_when
from wherry.http.services import services
from wherry.index import attachments
from wherry.model import DICOM_CONTENT, Attachment, Compression, Level
from wherry.rest.arguments import flag
from wherry.rest.arrivals import put
from wherry.rest.files import inert_name
from wherry.rest.names import content_media, content_name, content_number, of_user
from wherry.rest.revisions import (
    claimed_by_removal,
    not_modified,
    shown_md5,
    state_of,
    tag_header,
)
from wherry.storage.base import FileReader, StorageArea
from wherry.storage.content import open_content

_OPERATIONS: Final = (
    "compress",
    "compressed-data",
    "compressed-md5",
    "compressed-size",
    "data",
    "info",
    "is-compressed",
    "md5",
    "size",
    "uncompress",
    "verify-md5",
    "uuid",
)
_NEED_MD5: Final = ("compressed-md5", "md5", "verify-md5")

_TEXTS: Final[dict[str, Callable[[Attachment], str]]] = {
    "size": lambda one: str(one.uncompressed_size),
    "compressed-size": lambda one: str(one.compressed_size),
    "md5": lambda one: one.uncompressed_md5,
    "compressed-md5": lambda one: one.compressed_md5,
    "is-compressed": lambda one: "0" if one.compression == Compression.NONE else "1",
}
"""What is answered as a text, by the last part of the path."""

_DOCUMENTED_RANGE: Final = re.compile(rb"bytes[ =]+(\d{0,19}-\d{0,19})(?:/[0-9*]{1,19})?")


def routes() -> list[Route]:
    """Routes of all levels."""
    found: list[Route] = []
    for level in Level:
        root = f"/{level.plural}/{{id}}/attachments"
        one = f"{root}/{{name}}"
        found += [
            Route(root, partial(listing, level=level)),
            Route(one, partial(operations, level=level), methods=["GET"]),
            Route(one, partial(put, level=level), methods=["PUT"]),
            Route(one, partial(delete, level=level), methods=["DELETE"]),
            Route(f"{one}/info", partial(info, level=level)),
            Route(f"{one}/data", partial(data, level=level)),
            Route(f"{one}/compressed-data", partial(compressed_data, level=level)),
            Route(f"{one}/verify-md5", partial(verify, level=level), methods=["POST"]),
        ]
        for name in _TEXTS:
            answer = digest if name in _NEED_MD5 else text
            found.append(Route(f"{one}/{name}", partial(answer, level=level, name=name)))
        for name, compress in (("compress", True), ("uncompress", False)):
            change = partial(recompress, level=level, compress=compress)
            found.append(Route(f"{one}/{name}", change, methods=["POST"]))
    return found


def listing(request: Request, level: Level) -> Response:
    """GET /{level}/{id}/attachments: names in the order of their numbers; ``?full``: numbers by
    name."""
    rooms = services(request)
    with rooms.index.read() as tx:
        found = attachments.of_one(tx, level, request.path_params["id"])
    names = {content_name(rooms.config, number): number for number in found}
    return json_answer(names if flag(request, "full") else list(names))


def _told(render: Callable[..., Response]) -> Callable[..., Response]:
    """The endpoint that tells something of an attachment: on the event loop when its MD5, of which
    entity tags are made, is known, else in a worker thread, which takes it."""

    def attempt(request: Request, level: Level, **more: str) -> Response | None:
        found = _known(request, level)
        shown = services(request).config.store_md5_for_attachments
        if shown and not (found.uncompressed_md5 and found.compressed_md5):
            return None
        return render(request, found, **more)

    @quick_when(attempt)
    def endpoint(request: Request, level: Level, **more: str) -> Response:
        return render(request, _found(request, level), **more)

    return endpoint


@_told
def operations(request: Request, found: Attachment) -> Response:
    """GET …/attachments/{name}: what can be asked about it."""
    hidden = () if services(request).config.store_md5_for_attachments else _NEED_MD5
    shown = [name for name in _OPERATIONS if name not in hidden]
    return _unless_known(request, found, lambda: json_answer(shown))


@_told
def info(request: Request, found: Attachment) -> Response:
    """GET …/attachments/{name}/info."""
    config = services(request).config
    members = {
        "Uuid": found.uuid,
        "ContentType": found.content_type,
        "UncompressedSize": found.uncompressed_size,
        "CompressedSize": found.compressed_size,
        "UncompressedMD5": shown_md5(config, found.uncompressed_md5),
        "CompressedMD5": shown_md5(config, found.compressed_md5),
    }
    return _unless_known(request, found, lambda: json_answer(members))


@_told
def text(request: Request, found: Attachment, name: str) -> Response:
    """GET …/attachments/{name}/{size, …}: one value."""
    return _unless_known(request, found, lambda: text_answer(_TEXTS[name](found)))


def digest(request: Request, level: Level, name: str) -> Response:
    """GET …/attachments/{name}/{md5, compressed-md5}."""
    found, rooms = _known(request, level), services(request)
    if not rooms.config.store_md5_for_attachments:
        return empty_answer(404)
    [found] = rooms.ingest.digesting.with_md5([found])
    return _unless_known(request, found, lambda: text_answer(_TEXTS[name](found)))


def data(request: Request, level: Level) -> Response:
    """GET …/attachments/{name}/data: the plain bytes, ``?filename=``; ``Range`` is honoured."""
    config = services(request).config
    found, reader = _opened(request, level, open_content)
    extension = ".dcm" if found.content_type == DICOM_CONTENT else ""
    name = request.query_params.get("filename") or f"{found.uuid}{extension}"
    return _content(
        request,
        found,
        reader,
        found.uncompressed_size,
        content_media(config, found.content_type),
        {"Content-Disposition": f'filename="{inert_name(name)}"'},
    )


def compressed_data(request: Request, level: Level) -> Response:
    """GET …/attachments/{name}/compressed-data: the bytes as they are stored."""
    found, reader = _opened(request, level, lambda storage, of: storage.open(of.uuid, of.place))
    return _content(request, found, reader, found.compressed_size, "application/octet-stream", {})


def verify(request: Request, level: Level) -> Response:
    """POST …/attachments/{name}/verify-md5: 400 without a body when the bytes are not those that
    were stored, or there are none."""
    rooms = services(request)
    try:
        intact = rooms.ingest.attachments.is_intact(_known(request, level))
    except UnknownResource:
        intact = False
    return literal_json() if intact else empty_answer(400)


def recompress(request: Request, level: Level, *, compress: bool) -> Response:
    """POST …/attachments/{name}/compress and /uncompress: how it is stored from now on."""
    rooms = services(request)
    number = content_number(rooms.config, request.path_params["name"])
    rooms.ingest.attachments.recompress(level, request.path_params["id"], number, compress=compress)
    return literal_json()


def delete(request: Request, level: Level) -> Response:
    """DELETE …/attachments/{name}."""
    rooms = services(request)
    number = content_number(rooms.config, request.path_params["name"])
    if not of_user(number):
        return empty_answer(403)
    required = rooms.config.check_revisions
    rooms.ingest.attachments.detach(
        level,
        request.path_params["id"],
        number,
        claimed=claimed_by_removal(request, required=required),
        required=required,
    )
    return empty_answer()


def _known(request: Request, level: Level) -> Attachment:
    """The attachment as the index has it."""
    rooms = services(request)
    number = content_number(rooms.config, request.path_params["name"])
    with rooms.index.read() as tx:
        return attachments.get(tx, level, request.path_params["id"], number)


def _found(request: Request, level: Level) -> Attachment:
    """The attachment, with its MD5 where that is shown, and the file can be read: entity tags have
    it. It may be packed anew meanwhile."""
    rooms = services(request)
    found = _known(request, level)
    while rooms.config.store_md5_for_attachments:
        [found] = rooms.ingest.digesting.with_md5([found], permissive=True)
        if found.uncompressed_md5 or (now := _known(request, level)).uuid == found.uuid:
            break
        found = now
    return found


def _opened(
    request: Request, level: Level, opening: Callable[[StorageArea, Attachment], FileReader]
) -> tuple[Attachment, FileReader]:
    """An attachment and its file; somebody may replace it between the two looks."""
    found = _found(request, level)
    try:
        return found, opening(services(request).storage, found)
    except MissingFile:
        again = _found(request, level)
        if again.uuid == found.uuid:
            raise
    return again, opening(services(request).storage, again)


def _content(
    request: Request,
    found: Attachment,
    reader: FileReader,
    size: int,
    media: str,
    headers: dict[str, str],
) -> Response:
    """Bytes of a file with their entity tag, or 304. Takes over the reader."""
    state = state_of(services(request).config, found)
    try:
        known = not_modified(request, state)
    except BaseException:
        reader.close()
        raise
    if known is not None:
        reader.close()
        return known
    return content_answer(_with_range(request), reader, size, media, headers, tag=state.entity_tag)


def _unless_known(request: Request, found: Attachment, answer: Callable[[], Response]) -> Response:
    """``answer`` with its entity tag, or 304; no tag where the MD5 cannot be taken."""
    config = services(request).config
    if config.store_md5_for_attachments and not found.uncompressed_md5:
        return answer()
    state = state_of(config, found)
    known = not_modified(request, state)
    if known is not None:
        return known
    given = answer()
    given.raw_headers.extend(tag_header(state))
    return given


def _with_range(request: Request) -> Request:
    """Orthanc's documentation names the header ``Content-Range``; RFC 9110 calls it ``Range``."""
    headers = request.scope["headers"]
    names = [name for name, _ in headers]
    if b"range" not in names and b"content-range" in names:
        match = _DOCUMENTED_RANGE.fullmatch(headers[names.index(b"content-range")][1].strip())
        if match is not None:
            request.scope["headers"] = [*headers, (b"range", b"bytes=" + match[1])]
    return request
