"""One bucket on its way in: bytes, sync, verification, acknowledgement, in this order.

The acknowledgement is one index transaction, which shares its commit with those of other buckets.
It says that the bucket is here, and keeps the instances that it completed as verified. Of buckets
that complete an instance at the same time, in whatever processes, the last to be acknowledged
sees the others in the index and verifies the instance; what a crash leaves unverified, the commit
verifies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from wherry import clock, limits
from wherry.errors import (
    BadFileFormat,
    BadSequenceOfCalls,
    CorruptedFile,
    MissingFile,
    NetworkProtocol,
    StorageUnavailable,
    Unavailable,
    UnknownResource,
)
from wherry.index import transfers
from wherry.index.database import Index, Transaction
from wherry.index.transfer_rows import BucketRow, InstanceRow, Part, TransferRow, parts_of
from wherry.ingest.ingest import Ingest
from wherry.jobs import ranges
from wherry.model import StagedInstance
from wherry.storage.base import StorageArea, type_buffer, type_read
from wherry.transfers import staged
from wherry.transfers.assembling import assembled
from wherry.transfers.landers import Piece
from wherry.transfers.landing import Landing
from wherry.transfers.protocol import AUTO
from wherry.transfers.running import Attempt, Running
from wherry.transfers.unpack import unpacker

type_verified = tuple[InstanceRow, StagedInstance]
type_complete = tuple[InstanceRow, list[Part]]
"""An instance that lacks no part, and where they lie."""


class Incoming:
    """Receives one bucket. Blocking; one thread at a time; end it with ``finish`` or ``abort``."""

    def __init__(
        self,
        index: Index,
        storage: StorageArea,
        running: Running,
        attempt: Attempt,
        transfer: TransferRow,
        row: BucketRow,
        pieces: Sequence[Piece],
        encoding: str,
        ingest: Ingest,
    ) -> None:
        """``encoding`` of the body (``encoding``)."""
        self._index = index
        self._storage = storage
        self._running = running
        self._attempt = attempt
        self._transfer = transfer
        self._row = row
        self._pieces = pieces
        self._ingest = ingest
        self._landing = Landing(
            storage,
            transfer.block,
            pieces,
            running.followers(transfer),
            ingest.standing,
            keep=not row.received,
            compression=ingest.compression,
            sealed=transfer.compression == AUTO and any(not piece.whole for piece in pieces),
            again=row.again,
        )
        self._unpacker = unpacker(encoding, self._landing)
        self.taken = 0
        """Bytes of the body that are here."""
        ours = transfer.kind == "pull" and encoding == "none"
        self._resumable = ours or transfer.compression == AUTO
        self._paused = False

    @property
    def size(self) -> int:
        """Uncompressed bytes."""
        return sum(piece.size for piece in self._pieces)

    @property
    def body_limit(self) -> int:
        """Bytes that the body may have, generously: one too many is noticed by ``write``."""
        return 2 * (self._landing.size + limits.BODY_CHUNK_BYTES)

    def check_length(self, declared: int | None) -> None:
        """Refuse an uncompressed body by its declared length, before it is sent."""
        expected = self._landing.size - self.taken
        if self._unpacker is None and declared is not None and declared != expected:
            raise NetworkProtocol(f"The bucket has {declared} bytes instead of {expected}")

    def write(self, data: type_buffer) -> None:
        """Take the next bytes of the body; the buffer may be reused afterwards.

        Raises as ``Landing.write`` and ``Unpacker.write`` do; ``Unavailable`` when the sender has
        begun to send the bucket again.
        """
        with self._attempt.alive():
            (self._unpacker or self._landing).write(data)
        self.taken += len(data)

    def receive(self, read: type_read) -> int:
        """Take the rest of the body from a reader, which puts its bytes where they belong; their
        number. Raises as ``write`` does; a body that stops short is noticed by ``finish``."""
        before = self.taken
        if self._unpacker is None:
            self._receive_plain(read)
        else:
            self._receive_packed(read)
        return self.taken - before

    def _receive_plain(self, read: type_read) -> None:
        landing = self._landing
        while True:
            with self._attempt.alive():
                room = landing.room()
            if not room:
                if read(memoryview(bytearray(1))):
                    raise NetworkProtocol(f"The bucket has more than its {self.size} bytes")
                return
            size = read(room)
            if not size:
                return
            with self._attempt.alive():
                landing.filled(size)
            self.taken += size

    def _receive_packed(self, read: type_read) -> None:
        buffer = memoryview(bytearray(limits.PACKED_READ_BYTES))
        while size := read(buffer):
            self.write(buffer[:size])

    def finish(self) -> None:
        """Sync, verify, acknowledge. After an exception the bucket is not acknowledged, and
        ``abort`` was called."""
        try:
            with self._attempt.alive():
                if self._unpacker is not None:
                    self._unpacker.finish()
                self._landing.finish()
                if not self._row.received:
                    self._acknowledge()
        except BaseException:
            self.abort()
            raise
        self._running.done(self._attempt)

    def cut_off(self) -> None:
        """The connection broke: what came is kept for a while, where the sender knows how to go on
        behind it."""
        if self._resumable and self.taken and not self._row.received:
            self._paused = True
            self._paused = self._running.pause(self._attempt, self)

    def go_on(self) -> Incoming:
        """After ``cut_off``: the rest of the body comes now."""
        self._paused = False
        return self

    def let_go(self, how: Callable[[], None]) -> None:
        """``how`` makes the thread that reads the body stop waiting for more."""
        self._attempt.let_go = how

    def abort(self) -> None:
        """Forget what came. Repeatable, and without effect after ``finish`` and ``cut_off``."""
        if not self._paused:
            self.forget()

    def forget(self) -> None:
        """Forget what came, also after ``cut_off``. Repeatable."""
        self._attempt.end()
        self._landing.abort()
        self._running.done(self._attempt)

    # --- acknowledging ---------------------------------------------------------------------
    def _acknowledge(self) -> None:
        landed = self._landing.landed
        try:
            self._storage.sync(landed.unsynced)
        except MissingFile:  # another process ended the transfer and swept its files
            raise UnknownResource from None
        cut = {
            piece.instance.position: piece.instance
            for piece in self._pieces
            if not piece.whole and piece.instance.size <= limits.VERIFY_WITH_BUCKET_BYTES
        }
        with self._index.read() as tx:
            done = self._completed(tx, cut.values())
        verified = landed.verified + [(one, self._verify(one, parts)) for one, parts in done]
        places = {instance.position for instance, _ in done}
        rest = [one for one in cut.values() if one.position not in places]
        for instance, parts in self._record(verified, rest):
            # Another bucket completed the instance together with this one, which came last.
            keep(self._index, self._transfer.id, [(instance, self._verify(instance, parts))])

    def _record(
        self, verified: Sequence[type_verified], rest: Sequence[InstanceRow]
    ) -> list[type_complete]:
        """The acknowledgement; returns those of ``rest`` that turn out to be complete now."""
        transfer_id, position = self._attempt.key
        rows = _rows(verified)
        landed = self._landing.landed

        def work(tx: Transaction) -> list[type_complete]:
            if landed.standing:
                self._check_standing(tx, landed.standing)
            _touch(tx, transfer_id)
            transfers.acknowledge(tx, transfer_id, position, landed.files)
            transfers.stage(tx, transfer_id, rows)
            return self._completed(tx, rest)

        own = self._landing.release()  # from here on the index may name these files
        try:
            return self._index.write(work)
        except (UnknownResource, Unavailable):  # for certain, nothing names them
            with suppress(StorageUnavailable):  # they go with the block
                for uuid, place in own.items():
                    self._storage.delete(uuid, place)
            raise

    def _check_standing(self, tx: Transaction, standing: str) -> None:
        try:
            self._ingest.check_standing(tx, standing)
        except BadSequenceOfCalls as error:
            raise Unavailable(error.details) from None

    def _completed(self, tx: Transaction, instances: Iterable[InstanceRow]) -> list[type_complete]:
        """Those that lack no part any more when this bucket is here, with their parts: of this
        bucket, those that it has brought now."""
        transfer_id, position = self._attempt.key
        found = []
        for instance in instances:
            spans = ranges.parse_spans(instance.buckets)
            if not transfers.lacks(tx, transfer_id, spans, besides=position):
                parts = transfers.parts(tx, transfer_id, instance, spans, besides=position)
                mine = parts_of(self._row.chunks, self._landing.landed.files, instance)
                found.append((instance, parts + mine))
        return found

    def _verify(self, instance: InstanceRow, parts: Sequence[Part]) -> StagedInstance:
        """Verify an instance whose parts are all here. When it is damaged, nobody knows in which
        part: all of them are wanted again."""
        try:
            return assembled(
                self._storage,
                self._running,
                self._transfer.id,
                instance,
                parts,
                compression=self._ingest.compression,
            )
        except (CorruptedFile, BadFileFormat):
            spans = ranges.parse_spans(instance.buckets)
            self._index.write(lambda tx: transfers.want_again(tx, self._transfer.id, spans))
            raise


def keep(index: Index, transfer_id: str, verified: Sequence[type_verified]) -> None:
    """Remember verified instances. Raises ``UnknownResource`` when it is not open any more."""
    rows = _rows(verified)

    def work(tx: Transaction) -> None:
        _touch(tx, transfer_id)
        transfers.stage(tx, transfer_id, rows)

    index.write(work)


def _rows(verified: Sequence[type_verified]) -> list[tuple[int, str, str]]:
    return [
        (instance.position, found.attachment.uuid, staged.to_text(found))
        for instance, found in verified
    ]


def _touch(tx: Transaction, transfer_id: str) -> None:
    if not transfers.touch(tx, [transfer_id], clock.timestamp()):
        raise UnknownResource
