"""One attachment on its way in with a transfer: bytes, verification, sync, acknowledgement.

Like a bucket (``incoming``), but whole: what breaks off is sent again from its beginning.
"""

from __future__ import annotations

import orjson

from wherry import clock, limits
from wherry.errors import CorruptedFile, UnknownResource
from wherry.index import transfer_extras, transfers
from wherry.index.database import Index, Transaction
from wherry.index.transfer_extras import AttachmentRow
from wherry.ingest.deposit import Deposit
from wherry.model import Attachment
from wherry.storage.base import StorageArea, type_buffer, type_read
from wherry.transfers.running import Attempt, Running


class IncomingAttachment:
    """Receives one attachment. Blocking; one thread at a time; end it with ``finish`` or
    ``abort``."""

    def __init__(
        self,
        index: Index,
        storage: StorageArea,
        running: Running,
        attempt: Attempt,
        row: AttachmentRow,
        deposit: Deposit,
    ) -> None:
        self._index = index
        self._storage = storage
        self._running = running
        self._attempt = attempt
        self._row = row
        self._deposit = deposit

    @property
    def size(self) -> int:
        """Bytes that it has."""
        return self._row.size

    def write(self, data: type_buffer) -> None:
        """Take the next bytes. Raises ``TooLarge``, ``StorageFull``, and ``Unavailable`` when the
        sender has begun to send it again."""
        with self._attempt.alive():
            self._deposit.write(data)

    def receive(self, read: type_read) -> int:
        """Take all of it from a reader; the number of bytes."""
        buffer = memoryview(bytearray(limits.READ_CHUNK_BYTES))
        while count := read(buffer):
            self.write(buffer[:count])
        return self._deposit.size

    def finish(self) -> None:
        """Verify, sync, acknowledge. After an exception nothing is acknowledged, and ``abort`` was
        called. Raises ``CorruptedFile``, ``UnknownResource`` when the transfer has ended."""
        try:
            with self._attempt.alive():
                self._verify()
                self._acknowledge(self._deposit.finish())
        except BaseException:
            self.abort()
            raise
        self._running.done(self._attempt)

    def abort(self) -> None:
        """Forget what came. Repeatable, and without effect after ``finish``."""
        self._attempt.end()
        self._deposit.abort()
        self._running.done(self._attempt)

    def _verify(self) -> None:
        row = self._row
        if (self._deposit.size, self._deposit.digest) != (row.size, row.md5):
            raise CorruptedFile(
                f"{row.level.title} {row.orthanc_id}: attachment {row.content_type}"
                " is not what was declared"
            )

    def _acknowledge(self, file: Attachment) -> None:
        """When this fails, nobody knows whether the index has the file: it stays until its block is
        swept."""
        transfer_id, _ = self._attempt.key
        text = orjson.dumps(file).decode()

        def work(tx: Transaction) -> bool:
            if not transfers.touch(tx, [transfer_id], clock.timestamp()):
                raise UnknownResource
            return transfer_extras.stage(tx, transfer_id, self._row, text)

        if not self._index.write(work):
            self._storage.delete(file.uuid, file.place)
