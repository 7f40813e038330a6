"""One instance that a modality sends over an association of ours (C-GET): through the one door.

What is longer than a piece goes to staging while the rest is still on the line. ``finish`` returns
when the instance is durable and visible.

Not here: the same on associations that others ask for (``dimse.storing``), which must not block.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from wherry import limits
from wherry.dicom.meta import meta_information
from wherry.dicom.wire.commands import Command
from wherry.errors import MismatchedDataSet, WherryError
from wherry.model import Origin, Stored, Summary

if TYPE_CHECKING:
    from wherry.ingest.ingest import Ingest
    from wherry.ingest.staging import Staging


class Arrival:
    """One instance; a ``Sink``. Blocking; one thread. ``finish`` or ``abort`` must be called."""

    def __init__(
        self, ingest: Ingest, origin: Origin, transfer_syntax: str, command: Command
    ) -> None:
        """``command``: the C-STORE that brings it."""
        self._ingest = ingest
        self._origin = origin
        self._command = command
        self._gathered = bytearray(
            meta_information(
                command.affected_sop_class or "",
                command.affected_sop_instance or "",
                transfer_syntax,
                origin.remote_aet,
            )
        )
        self._staging: Staging | None = None
        self._error: WherryError | None = None

    def write(self, data: memoryview) -> None:
        """The next bytes. Never raises: the sender goes on to the end of the message anyway."""
        if self._error is not None:
            return
        self._gathered += data
        if len(self._gathered) >= limits.BODY_CHUNK_BYTES:
            try:
                self._pour()
            except WherryError as error:
                self.refuse(error)

    def refuse(self, error: WherryError) -> None:
        """Whatever still comes, ``finish`` raises this."""
        self._error = self._error or error
        self._gathered = bytearray()

    def finish(self) -> Stored:
        """The data set is whole. Raises ``MismatchedDataSet`` when it is another instance than the
        command names, and what ``ingest`` raises; then nothing of it is left."""
        if self._error is not None:
            self.abort()
            raise self._error
        check = partial(check_identity, self._command)
        if self._staging is None:
            return self._ingest.store_now(self._gathered, self._origin, check)
        try:
            self._staging.write(self._gathered)
            return self._ingest.finish_now(self._staging, check)
        except BaseException:
            self.abort()
            raise

    def abort(self) -> None:
        """Forget the bytes. Safe to call at any time."""
        self._gathered = bytearray()
        staging, self._staging = self._staging, None
        if staging is not None:
            staging.abort()

    def _pour(self) -> None:
        if self._staging is None:
            self._staging = self._ingest.stage(self._origin)
        piece, self._gathered = self._gathered, bytearray()
        self._staging.write(piece)


def check_identity(command: Command, summary: Summary) -> None:
    """That a data set is what its C-STORE says (PS3.4 §B.2.3). Raises ``MismatchedDataSet``."""
    for named, found in (
        (command.affected_sop_class, summary.sop_class_uid),
        (command.affected_sop_instance, summary.sop_instance_uid),
    ):
        if named != found:
            raise MismatchedDataSet(
                f"The command says {(named or '')[:64]}, the data set {found[:64]}"
            )
