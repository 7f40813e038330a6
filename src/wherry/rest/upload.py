"""POST /instances: one DICOM file, or a ZIP of them, plain or gzip-encoded.

A body that fits into one piece is gathered on the event loop and handed over with one hop to a
worker thread; the answer comes back with one wake-up after the commit. A longer one is streamed.
The first bytes decide what it is, never its Content-Type, and what cannot be DICOM is refused
before the rest has arrived.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wherry import clock, limits
from wherry.dicom.elements import UnreadableError
from wherry.dicom.preamble import read_preamble
from wherry.errors import BadFileFormat, StorageFull
from wherry.http.answers import json_answer
from wherry.http.auth import remote_ip, username
from wherry.http.body import Pieces, declared_length, is_gzip
from wherry.http.inflate import Inflating
from wherry.http.services import Services, services
from wherry.http.spool import Spool
from wherry.http.threads import in_thread, post, promise, type_settle
from wherry.http.zipfiles import EMPTY_MAGIC, MAGIC
from wherry.ingest.staging import Staging
from wherry.model import Origin, Stored
from wherry.rest import rendering
from wherry.rest.form import boundary_of, upload_form
from wherry.rest.zipped import stage_all

_HEAD_BYTES = 512
"""Enough to tell what a body is."""


def routes() -> list[Route]:
    """The one route."""
    return [Route("/instances", upload, methods=["POST"])]


async def upload(request: Request) -> Response:
    """POST /instances."""
    started = clock.monotonic()
    rooms = services(request)
    limit = max(rooms.config.wherry.maximum_instance_bytes, limits.ZIP_BODY_BYTES)
    origin = Origin("RestApi", remote_ip(request.scope), username(request.scope))
    if (boundary := boundary_of(request)) is not None:
        return await upload_form(request, rooms, origin, boundary, limit)
    intake = Intake(rooms, origin, declared_length(request) or 0)
    decoder = Inflating(intake.write, limit) if is_gzip(request) else None
    write = intake.write if decoder is None else decoder.write
    stored, settle = promise()
    try:
        async with Pieces(request, limit) as pieces:
            first = await pieces.gather(limits.BODY_CHUNK_BYTES)
            if not pieces.ended:
                await pieces.pour(write, first)
                first = b""
    except Exception:
        await in_thread(intake.abort)
        raise
    except BaseException:  # cancelled: nobody may wait here
        post(intake.abort)
        raise
    if (
        decoder is not None
        or not _is_small_file(first)
        or not rooms.ingest.store(first, origin, settle)
    ):
        start = rooms.drawing.post if rooms.ingest.transcodes else post
        start(_finish, intake, decoder, first, settle)
    answer = rendering_of(await stored)
    elapsed_ms = (clock.monotonic() - started) * 1000
    rooms.metrics.observe("orthanc_store_dicom_duration_ms", elapsed_ms)
    return answer


def _is_small_file(body: bytes | bytearray | memoryview) -> bool:
    """Whether a whole body may be one DICOM file rather than a ZIP."""
    return bytes(body[:4]) not in (MAGIC, EMPTY_MAGIC)


def _finish(
    intake: Intake, decoder: Inflating | None, rest: bytes | bytearray, settle: type_settle
) -> None:
    """What is left to do with the whole body, in a worker thread; ``settle`` learns the end."""
    try:
        if decoder is None:
            intake.write(rest)
        else:
            decoder.write(rest)
            decoder.finish()
        intake.finish(settle)
    except BaseException as error:
        intake.abort()
        settle(None, error)


def rendering_of(stored: Stored | list[Stored]) -> Response:
    """One object for one file, a list for a ZIP."""
    if isinstance(stored, list):
        return json_answer([rendering.stored(one) for one in stored])
    return json_answer(rendering.stored(stored))


class Intake:
    """A body on its way in, plain by now: to staging, or to a spool when it is a ZIP.

    Blocking; one thread at a time. ``finish`` or ``abort`` must be called.
    """

    def __init__(self, rooms: Services, origin: Origin, expected_bytes: int) -> None:
        self._rooms = rooms
        self._origin = origin
        self._expected_bytes = expected_bytes
        self._head: bytes | bytearray | memoryview = b""
        self._staging: Staging | None = None
        self._spool: Spool | None = None
        self._write: Callable[[Any], None] = self._begin
        self._first: bytes | bytearray | memoryview = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes. Raises ``BadFileFormat`` as soon as it cannot be DICOM, and what
        staging raises."""
        if data:
            self._write(data)

    def finish(self, settle: type_settle) -> None:
        """The body is whole: commit it, alone or with its neighbours, then ``settle``."""
        if self._head:
            self._decide(self._head)
        if self._spool is not None:
            staged = stage_all(self._spool, self._rooms.ingest, self._origin)
            self._spool.close()
            settle(self._rooms.ingest.commit(staged) if staged else [], None)
        elif self._staging is not None:
            self._rooms.ingest.submit(self._staging.finish(), settle)
        else:
            raise BadFileFormat("Received an empty DICOM file")

    def abort(self) -> None:
        """Forget the bytes. Safe to call twice."""
        if self._staging is not None:
            self._staging.abort()
        if self._spool is not None:
            self._spool.close()

    def _begin(self, data: bytes | bytearray | memoryview) -> None:
        head = b"".join((self._head, data)) if self._head else data
        if len(head) < _HEAD_BYTES:
            self._head = head
        else:
            self._decide(head)

    def _decide(self, head: bytes | bytearray | memoryview) -> None:
        self._head = b""
        self._check_space()
        if bytes(head[:4]) in (MAGIC, EMPTY_MAGIC):
            config, storage = self._rooms.config, self._rooms.storage
            self._spool = Spool(config.storage_directory, limits.ZIP_BODY_BYTES, storage.free_bytes)
            self._write = self._spool.write
        else:
            self._staging = self._rooms.ingest.stage(self._origin)
            self._first = head
            self._write = self._second
        (self._spool or self._staging).write(head)  # type: ignore[union-attr]

    def _second(self, data: bytes | bytearray | memoryview) -> None:
        """More than one piece: look at the first before anything goes to disk."""
        assert self._staging is not None
        try:
            read_preamble(self._first)
        except UnreadableError as error:
            raise BadFileFormat(f"Cannot parse an invalid DICOM file: {error}") from None
        if not any(self._first):
            raise BadFileFormat("Cannot parse an invalid DICOM file: it begins with zeros only")
        self._first = b""
        self._write = self._staging.write
        self._write(data)

    def _check_space(self) -> None:
        if self._expected_bytes > limits.BODY_CHUNK_BYTES:
            free = self._rooms.storage.free_bytes() - limits.FREE_DISK_BYTES
            if self._expected_bytes > free:
                raise StorageFull("The body is larger than the space that is left")
