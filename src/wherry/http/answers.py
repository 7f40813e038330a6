"""Answers in Orthanc's shapes: JSON, text, nothing, errors, files.

Every 2xx answer has a ``Content-Type``, also an empty one: a client fails without. JSON is
written by orjson (two spaces of indentation where Orthanc has three; no parser notices, and it is
twelve times as fast as a pretty printer in Python).

Not here: what a resource looks like (``rest.rendering``), nor which error is right.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from itertools import count
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from wherry import limits
from wherry.errors import RangeNotSatisfiable, Unauthorized, Unavailable, WherryError
from wherry.http.ranges import range_of, tag_matches
from wherry.http.threads import in_thread, run_in_thread
from wherry.storage.base import FileReader

JSON = b"application/json; charset=utf-8"
PLAIN_JSON = b"application/json"
TEXT = b"text/plain"
DICOM = b"application/dicom"

_ACTIVE = ("text/html", "text/xml", "application/x", "image/svg", "application/pdf")
"""Types whose files browsers may run. Whoever may store a file does not speak for this server: its
scripts run in a world of their own (Content Security Policy, ``sandbox``)."""

_PRETTY = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS

_PIECES_BETWEEN_LOOKS = 16
"""Pieces of a file sent before we look whether somebody still listens."""

type_headers = Iterable[tuple[bytes, bytes]]


class Answer(Response):
    """A body that is ready. Cheaper than Starlette's own constructor, and nothing added."""

    def __init__(
        self,
        body: bytes,
        status: int = 200,
        content_type: bytes = b"",
        headers: type_headers = (),
    ) -> None:
        self.status_code = status
        self.body = body
        self.background = None
        self.raw_headers = [(b"content-length", b"%d" % len(body))]
        if content_type:
            self.raw_headers.append((b"content-type", content_type))
        self.raw_headers.extend(headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it in two messages."""
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )
        await send({"type": "http.response.body", "body": self.body})


def json_answer(value: Any, status: int = 200) -> Response:
    """A JSON document, keys sorted, as all of Orthanc's core routes answer."""
    return Answer(orjson.dumps(value, option=_PRETTY), status, JSON)


def literal_json() -> Response:
    """The literal ``{}`` with the type that Orthanc gives it (job actions and the like)."""
    return Answer(b"{}", 200, PLAIN_JSON)


def text_answer(text: str, status: int = 200, content_type: bytes = TEXT) -> Response:
    """A scalar, without a newline at the end."""
    return Answer(text.encode(), status, content_type)


def empty_answer(status: int = 200, headers: type_headers = ()) -> Response:
    """Nothing: ``text/plain`` of length 0 when all is well, bare otherwise."""
    return Answer(b"", status, TEXT if status < 300 else b"", headers)


def error_answer(error: WherryError, request: Request, *, describe: bool = True) -> Response:
    """The error as Orthanc describes it: tabs, sorted keys, a newline at the end."""
    headers: list[tuple[bytes, bytes]] = []
    if isinstance(error, Unavailable):
        headers.append((b"retry-after", b"%d" % error.retry_after_s))
    elif error.http_status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers.append((b"retry-after", b"1"))
    elif isinstance(error, RangeNotSatisfiable) and error.total is not None:
        headers.append((b"content-range", b"bytes */%d" % error.total))
    if isinstance(error, Unauthorized):
        return unauthorized()
    if not describe:
        return Answer(b"", error.http_status, b"", headers)
    members: dict[str, str | int] = {"Details": error.details} if error.details else {}
    members |= {
        "HttpError": HTTPStatus(error.http_status).phrase,
        "HttpStatus": error.http_status,
        "Message": error.text,
        "Method": request.method,
        "OrthancError": error.text,
        "OrthancStatus": error.code,
        "Uri": request.scope["path"],
    }
    lines = ",\n".join(
        f'\t"{key}" : {json.dumps(value, ensure_ascii=False)}' for key, value in members.items()
    )
    body = f"{{\n{lines}\n}}\n".encode(errors="replace")
    return Answer(body, error.http_status, b"", headers)


def unauthorized() -> Response:
    """Asks for a name and a password; the same answer whatever was wrong with them."""
    return Answer(b"", 401, b"", [(b"www-authenticate", b'Basic realm="Orthanc Secure Area"')])


class JsonListAnswer(Response):
    """A JSON list that is made page by page in a worker thread, and never held whole."""

    def __init__(self, pages: Iterator[list[Any]]) -> None:
        self.status_code = 200
        self.body = b""
        self.background = None
        self.raw_headers = [(b"content-type", JSON)]
        self._pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it in chunks, as many as there are pages."""
        request = Request(scope, receive)
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        before = b"["
        while (piece := await in_thread(self._next)) is not None:
            if await request.is_disconnected():
                return
            if piece:
                await send(
                    {"type": "http.response.body", "body": before + piece, "more_body": True}
                )
                before = b","
        await send({"type": "http.response.body", "body": b"\n]" if before == b"," else b"[]"})

    def _next(self) -> bytes | None:
        """The items of the next page, without the brackets; None after the last."""
        page = next(self._pages, None)
        if page is None:
            return None
        return orjson.dumps(page, option=_PRETTY)[1:-2] if page else b""


class FileAnswer(Response):
    """Bytes of a stored file, read ahead by one piece in a worker thread.

    Memory: two pieces of ``limits.READ_CHUNK_BYTES``, whatever the size of the file.
    """

    def __init__(
        self,
        reader: FileReader,
        offset: int,
        size: int,
        first: bytes,
        headers: list[tuple[bytes, bytes]],
        status: int = 200,
    ) -> None:
        self.status_code = status
        self.body = b""
        self.background = None
        self.raw_headers = [(b"content-length", b"%d" % size), *headers]
        self._reader, self._offset, self._size, self._first = reader, offset, size, first

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; the reader is closed whatever happens."""
        piece, sent = self._first, 0
        request = Request(scope, receive)
        try:
            await send(
                {
                    "type": "http.response.start",
                    "status": self.status_code,
                    "headers": self.raw_headers,
                }
            )
            for number in count(1):
                if number % _PIECES_BETWEEN_LOOKS == 0 and await request.is_disconnected():
                    return
                sent += len(piece)
                if sent >= self._size:
                    await send({"type": "http.response.body", "body": piece})
                    return
                wanted = min(limits.READ_CHUNK_BYTES, self._size - sent)
                following = run_in_thread(self._reader.read_at, self._offset + sent, wanted)
                try:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                finally:
                    piece = await following
                if not piece:  # shorter than the index says: end the connection, not the file
                    raise TruncatedAnswer
        finally:
            await in_thread(self._reader.close)


class TruncatedAnswer(Exception):
    """A stored file ended before its size, when the head of the answer was already sent."""


def file_answer(
    reader: FileReader,
    offset: int,
    size: int,
    media_type: str,
    headers: Mapping[str, str] | None = None,
    *,
    first: bytes | None = None,
    status: int = 200,
) -> Response:
    """``size`` bytes of a stored file from ``offset``, streamed; takes over the reader.

    Call it in a worker thread: it reads the first piece (unless ``first`` is given).
    """
    if first is None:
        try:
            whole = size <= 2 * limits.READ_CHUNK_BYTES  # a slice of CT: one read, one piece
            first = reader.read_at(offset, size if whole else limits.READ_CHUNK_BYTES)
        except BaseException:
            reader.close()
            raise
    raw = [(b"content-type", media_type.encode("ascii"))]
    if media_type.lower().startswith(_ACTIVE):
        raw.append((b"content-security-policy", b"sandbox"))
    raw += [(name.lower().encode("ascii"), header_value(v)) for name, v in (headers or {}).items()]
    if len(first) == size:
        reader.close()
        return Answer(first, status, b"", raw)
    return FileAnswer(reader, offset, size, first, raw, status)


def content_answer(
    request: Request,
    reader: FileReader,
    size: int,
    media_type: str,
    headers: Mapping[str, str] | None = None,
    *,
    tag: str = "",
) -> Response:
    """A stored file of ``size`` bytes, or the range of it that is asked for; takes over the reader.

    ``tag``: its entity tag in quotes, sent as ``ETag``; a client that has it already gets a bare
    304. Call it in a worker thread. Raises ``RangeNotSatisfiable``.
    """
    try:
        every = {"ETag": tag, **(headers or {})} if tag else dict(headers or {})
        if tag and tag_matches(request.headers.get("if-none-match"), tag):
            reader.close()
            return empty_answer(304, [(b"etag", header_value(tag))])
        part = range_of(request, size, tag)
    except BaseException:
        reader.close()
        raise
    if part is None:
        return file_answer(reader, 0, size, media_type, every)
    every |= {"Content-Range": part.content_range, "Accept-Ranges": "bytes"}
    return file_answer(reader, part.offset, part.size, media_type, every, status=206)


def header_value(text: str) -> bytes:
    """A header value that cannot break out of its line: control characters are dropped and
    characters outside Latin-1 become ``?``."""
    return "".join(c for c in text if c >= " " and c != "\x7f").encode("latin-1", "replace")
