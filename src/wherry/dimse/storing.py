"""One C-STORE on its way in: from fragments to a stored instance (PS3.4 Annex B).

The bytes of the data set are gathered behind the meta information that a file needs (PS3.10 §7.1);
what is longer than a piece goes to staging while the rest is still on the line. The caller hears of
success when the instance is durable and visible, and never of an instance that is not the one
that the command names.

Not here: the line itself (``association``).
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final

from wherry import clock, limits
from wherry.dicom.meta import meta_information
from wherry.dicom.wire.commands import Command
from wherry.errors import CorruptedFile
from wherry.http.threads import in_thread, post, promise, type_settle
from wherry.modalities.retrieving.arriving import check_identity
from wherry.model import Origin

if TYPE_CHECKING:
    from wherry.dimse.requests import Caller, Context
    from wherry.http.services import Services
    from wherry.ingest.staging import Staging

_WAITING: Final = 2
"""Pieces of one instance that wait for the disk before its sender has to."""


class Arrival:
    """One instance. ``write`` and ``finish`` on the event loop; ``abort`` there too, at any time
    before ``finish``."""

    def __init__(
        self,
        rooms: Services,
        caller: Caller,
        context: Context,
        command: Command,
        begun: bytearray | None = None,
    ) -> None:
        """``begun``: the bytes of the file that are here already."""
        self._rooms = rooms
        self._command = command
        self._started = clock.monotonic()
        self._origin = origin(caller)
        self._gathered = file_head(caller, context, command) if begun is None else begun
        self._staging: Staging | None = None
        self._pouring: asyncio.Future[None] | None = None
        """The piece that is being written."""
        self._error: BaseException | None = None

    @property
    def is_behind(self) -> bool:
        """Whether the sender should wait: the disk does not follow."""
        return (
            self._pouring is not None and len(self._gathered) >= _WAITING * limits.BODY_CHUNK_BYTES
        )

    def write(self, data: memoryview) -> None:
        """The next bytes."""
        if self._error is None:
            self._gathered += data
            if len(self._gathered) >= limits.BODY_CHUNK_BYTES and self._pouring is None:
                self._pour()

    async def caught_up(self) -> None:
        """Wait until the disk has followed."""
        while self.is_behind:
            assert self._pouring is not None
            await asyncio.wait([self._pouring])

    async def finish(self) -> None:
        """The data set is whole; returns when the instance is durable and visible.

        Raises ``MismatchedDataSet`` when it is another one than the command names, and what
        ``ingest`` raises; then nothing of it is left.
        """
        while self._pouring is not None:
            await asyncio.wait([self._pouring])
        if self._error is not None:
            raise self._error
        stored, settle = promise()
        ingest = self._rooms.ingest
        if self._staging is not None or not ingest.store(
            self._gathered, self._origin, settle, partial(check_identity, self._command)
        ):
            start = self._rooms.drawing.post if ingest.transcodes else post
            start(self._stage, settle)
        await stored
        elapsed_ms = (clock.monotonic() - self._started) * 1000
        self._rooms.metrics.observe("orthanc_store_dicom_duration_ms", elapsed_ms)

    def abort(self) -> None:
        """Forget the bytes: the sender is gone."""
        self._error = self._error or CorruptedFile("The association has ended")
        self._gathered = bytearray()
        if self._pouring is not None:
            self._pouring.add_done_callback(lambda _: self._drop())
        else:
            self._drop()

    def _drop(self) -> None:
        staging, self._staging = self._staging, None
        if staging is not None:
            post(staging.abort)

    def _pour(self) -> None:
        """Let a thread write what there is."""
        piece, self._gathered = self._gathered, bytearray()
        self._pouring = asyncio.ensure_future(in_thread(self._write_piece, piece))
        self._pouring.add_done_callback(self._poured)

    def _poured(self, pouring: asyncio.Future[None]) -> None:
        self._pouring = None
        error = None if pouring.cancelled() else pouring.exception()
        if error is not None:
            self._error = self._error or error
            self._gathered = bytearray()
        elif len(self._gathered) >= limits.BODY_CHUNK_BYTES:
            self._pour()

    def _write_piece(self, piece: bytearray) -> None:
        if self._staging is None:
            self._staging = self._rooms.ingest.stage(self._origin)
        self._staging.write(piece)

    def _stage(self, settle: type_settle) -> None:
        """What is left to do with the whole instance, in a worker thread."""
        staging = self._staging or self._rooms.ingest.stage(self._origin)
        try:
            staging.write(self._gathered)
            staged = staging.finish()
            try:
                check_identity(self._command, staged.summary)
            except BaseException:
                self._rooms.ingest.discard([staged])
                raise
            self._rooms.ingest.submit(staged, settle)
        except BaseException as error:
            staging.abort()
            settle(None, error)


def origin(caller: Caller) -> Origin:
    """Who brings what it stores."""
    return Origin(
        "DicomProtocol", caller.remote_ip, remote_aet=caller.calling, called_aet=caller.called
    )


def file_head(caller: Caller, context: Context, command: Command) -> bytearray:
    """What stands before the data set of a C-STORE in its file."""
    return bytearray(
        meta_information(
            command.affected_sop_class or "",
            command.affected_sop_instance or "",
            context.transfer_syntax,
            caller.calling,
        )
    )
