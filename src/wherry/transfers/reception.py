"""Receiving a transfer: buckets in any order, from any process, then all instances at once.

Both directions use it: a push that a peer makes here, and a pull that a job of ours makes there.
What has been received stands in the index, so that any process that shares index and storage can
go on after a crash of this one; a bucket is acknowledged once its bytes are synced and every
instance that it completes is verified (``landing``). The commit makes all instances visible in one
transaction, or says which one is missing or wrong and leaves the transfer open.

No lock is held while bytes arrive, are verified or committed: transfers do not wait for each other.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence

from wherry import clock, limits
from wherry.errors import BadSequenceOfCalls, CorruptedFile, ParameterOutOfRange, UnknownResource
from wherry.index import received, resources, transfers
from wherry.index.database import Index, Transaction
from wherry.index.transfers import BucketRow, InstanceRow, TransferRow, type_kind
from wherry.ingest.ingest import Ingest
from wherry.ingest.recovery import remove_strays, sweep_block
from wherry.jobs import ranges
from wherry.model import (
    Level,
    Manifest,
    ManifestInstance,
    StagedInstance,
    Stored,
    StoreStatus,
    type_json,
)
from wherry.receipts.document import manifest_root
from wherry.storage.base import StorageArea
from wherry.transfers import staged as staged_text
from wherry.transfers.assembling import assembled
from wherry.transfers.declaring import Declaration, Quota, declare, unsent
from wherry.transfers.extras_reception import Brought, ExtrasReception
from wherry.transfers.incoming import Incoming, keep
from wherry.transfers.landers import Piece
from wherry.transfers.protocol import AUTO, render_push
from wherry.transfers.receipts import Arrival, Receipts
from wherry.transfers.running import Running
from wherry.transfers.turns import Caller, open_push

log = logging.getLogger(__name__)

_TRANSFER_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PORTION = 100


class _NotOpen(Exception):
    """Undoes a commit: the transfer is not open any more."""


class Reception:
    """The receiving end of all transfers of one process. Blocking; from any thread."""

    def __init__(
        self,
        index: Index,
        storage: StorageArea,
        ingest: Ingest,
        quota: Quota,
        receipts: Receipts,
        *,
        announces: bool = True,
    ) -> None:
        """``announces``: a commit tells that its studies are received, and makes them stable."""
        self.index = index
        self.storage = storage
        self.running = Running(storage)
        self.on_abort: Callable[[], None] = lambda: None
        """Told of each push that ends without a commit."""
        self._ingest = ingest
        self.quota = quota
        self.receipts = receipts
        self._announces = announces
        self.extras = ExtrasReception(index, storage, self.running, ingest, quota, _open_transfer)
        """What travels beside the instances."""

    # --- opening ---------------------------------------------------------------------------
    def declare(
        self,
        manifest: Manifest,
        *,
        kind: type_kind,
        username: str = "",
        remote_ip: str = "",
        other_end: Mapping[str, str] | None = None,
        origin: str = "",
    ) -> Declaration:
        """Hold a manifest against the quotas. Raises ``TooLarge``, ``StorageFull``.

        What lies in no bucket need not be sent if it is stored here, with the same digest.
        """
        absent = unsent(manifest)
        held = self.held(absent)
        held_bytes = sum(one.size for one in held)
        room_bytes = max(0, self.storage.free_bytes() - limits.FREE_DISK_BYTES)
        self.quota.check(manifest, room_bytes, held_bytes)
        return declare(
            manifest,
            held,
            kind=kind,
            room_bytes=room_bytes,
            username=username,
            remote_ip=remote_ip,
            other_end=other_end,
            origin=origin,
        )

    def held(self, instances: Sequence[ManifestInstance]) -> set[ManifestInstance]:
        """Those that are stored here, with this size and this MD5."""
        with self.index.read() as tx:
            return resources.held(tx, instances)

    def open_push(
        self,
        manifest: Manifest,
        *,
        username: str = "",
        remote_ip: str = "",
        name: str = "",
        sender: str = "",
    ) -> str:
        """Open a push of a peer, which calls itself ``name`` and its job ``sender``; its id. Again
        the same one: it is open already. Raises ``TooLarge``, ``StorageFull``, ``Unavailable``."""
        told = {"Name": name, "RemoteIP": remote_ip, "Username": username}
        caller = Caller(username, remote_ip, sender)
        declaration = self.declare(
            manifest,
            kind="push",
            username=username,
            remote_ip=remote_ip,
            other_end={member: value for member, value in told.items() if value},
            origin=caller.origin(render_push(manifest)),
        )
        opened = self.index.write(
            lambda tx: open_push(tx, declaration, caller, self.quota.pushes, clock.timestamp())
        )
        for dead in opened.gave_way:
            log.warning("Transfer %s was silent for long and gave way", dead)
            self.running.end_all(dead)
            self.on_abort()
        return opened.check(self.quota.pushes)

    # --- buckets ---------------------------------------------------------------------------
    def bucket(
        self,
        transfer_id: str,
        position: int,
        username: str | None = None,
        encoding: str = "none",
    ) -> Incoming:
        """Begin to receive a bucket; ``encoding``: of this one, when its transfer is ``auto``.

        Raises ``UnknownResource`` when the transfer is not open or the bucket names an instance
        that was not declared, ``ParameterOutOfRange`` for a position or range that is outside.
        """
        attempt = self.running.begin(transfer_id, position)
        try:
            with self.index.read() as tx:
                transfer = _open_transfer(tx, transfer_id, username)
                row = _bucket(tx, transfer, position)
                pieces = _pieces(tx, transfer_id, row)
            return Incoming(
                self.index,
                self.storage,
                self.running,
                attempt,
                transfer,
                row,
                pieces,
                encoding if transfer.compression == AUTO else transfer.compression,
                compress=self._ingest.compress,
            )
        except BaseException:
            self.running.done(attempt)
            raise

    def taken(self, transfer_id: str, position: int, username: str | None = None) -> int | None:
        """Bytes of the body of a bucket behind which it may go on; None = it is acknowledged.
        Raises as ``bucket`` does."""
        with self.index.read() as tx:
            transfer = _open_transfer(tx, transfer_id, username)
            if _bucket(tx, transfer, position).received:
                return None
        return self.running.taken(transfer_id, position)

    def resume(
        self, transfer_id: str, position: int, taken: int, username: str | None = None
    ) -> Incoming:
        """Go on with a bucket that was cut off behind ``taken`` bytes. Raises ``UnknownResource``,
        and ``BadSequenceOfCalls`` when that is not where it stopped: it has to begin anew."""
        with self.index.read() as tx:
            _open_transfer(tx, transfer_id, username)
        found = self.running.resume(transfer_id, position, taken)
        if found is None:
            raise BadSequenceOfCalls(f"Bucket {position} did not stop behind {taken} bytes")
        return found

    def missing(self, transfer_id: str) -> list[int] | None:
        """Positions of the buckets that are not acknowledged; None when it is not open."""
        with self.index.read() as tx:
            transfer = transfers.get(tx, transfer_id)
            if transfer is None or transfer.state != "open":
                return None
            return transfers.buckets(tx, transfer_id, received=False)

    def look(self, transfer_id: str, username: str | None = None) -> tuple[TransferRow, list[int]]:
        """A transfer and its acknowledged buckets. Raises ``UnknownResource``."""
        with self.index.read() as tx:
            transfer = transfers.get(tx, _checked(transfer_id))
            if transfer is None or transfer.state == "discarded" or _foreign(transfer, username):
                raise UnknownResource
            return transfer, transfers.buckets(tx, transfer_id, received=True)

    # --- the end ---------------------------------------------------------------------------
    def commit(self, transfer_id: str, username: str | None = None) -> bool:
        """Make all instances visible, or raise and leave the transfer open. Whether it was this
        call that did it.

        Raises ``CorruptedFile`` or ``BadFileFormat`` naming the first instance that is missing or
        wrong, ``UnknownResource``: also when what was not sent, because it was here, is gone. Again
        after it was committed: nothing happens.
        """
        with self.index.read() as tx:
            transfer = transfers.get(tx, _checked(transfer_id))
        if transfer is None or transfer.state == "discarded" or _foreign(transfer, username):
            raise UnknownResource
        if transfer.state == "committed":
            return False
        self._verify_rest(transfer)
        with self.index.read() as tx:
            batch = [staged_text.from_text(text) for text in transfers.staged(tx, transfer_id)]
            held = transfers.held(tx, transfer_id)
            declared = transfers.manifest(tx, transfer_id)
            strays = transfers.part_files(tx, transfer_id)
        if len(batch) + len(held) == transfer.instance_count:
            visible = self._make_visible(transfer, batch, held, declared)
            if visible and strays.difference(one.attachment.uuid for one in batch):
                self._clear(transfer)  # parts of instances that were kept elsewhere
            return visible
        if not self.is_committed(transfer_id):
            raise UnknownResource  # it ended while we looked
        return False

    def is_committed(self, transfer_id: str) -> bool:
        """Whether the transfer ended well."""
        with self.index.read() as tx:
            transfer = transfers.get(tx, transfer_id)
        return transfer is not None and transfer.state == "committed"

    def discard(self, transfer_id: str, username: str | None = None) -> None:
        """Forget an open transfer and remove its files. Raises ``UnknownResource`` when it is not
        open."""
        with self.index.read() as tx:
            transfer = _open_transfer(tx, transfer_id, username)
        if not self._abort(transfer):
            raise UnknownResource
        self._clear(transfer)

    def expire(self) -> int:
        """Discard what nobody has touched for long, and clear up behind what has ended; to be
        called at start and once a minute. Returns the number of discarded transfers."""
        now = clock.timestamp()
        self.running.drop_paused(limits.PAUSED_BUCKET_S, limits.PAUSED_BUCKETS)
        live = self.running.transfers()
        if live:
            self.index.write(lambda tx: transfers.touch(tx, live, now))
        with self.index.read() as tx:
            idle = transfers.untouched(tx, now - self.quota.idle_s, _PORTION)
        for transfer in idle:
            log.warning("Transfer %s was idle for too long and is discarded", transfer.id)
            self._abort(transfer)
        with self.index.read() as tx:
            over = transfers.ended(tx, _PORTION)
            gone = {one for one in self.running.followed() if not _is_open(tx, one)}
        for transfer_id in gone:
            self.running.end_all(transfer_id)
        for transfer in over:
            self._clear(transfer)
            if transfer.touched_at < now - limits.TRANSFER_GRACE_S:
                self._close(transfer)
        self.index.write(lambda tx: transfers.forget(tx, now - limits.TRANSFER_MEMORY_S))
        return len(idle)

    # --- inside ----------------------------------------------------------------------------
    def _verify_rest(self, transfer: TransferRow) -> None:
        """Verify what no bucket could: very large instances, and what a crash cut short."""
        while True:
            with self.index.read() as tx:
                rest = transfers.unverified(tx, transfer.id, _PORTION)
                absent = next((one for one in rest if _absent(tx, transfer.id, one)), None)
            if absent is not None:
                raise CorruptedFile(f"Instance {absent.orthanc_id}: not all of its bytes were sent")
            for instance in rest:
                keep(self.index, transfer.id, [(instance, self._assembled(transfer, instance))])
            if len(rest) < _PORTION:
                return

    def _assembled(self, transfer: TransferRow, instance: InstanceRow) -> StagedInstance:
        spans = ranges.parse_spans(instance.buckets)
        with self.index.read() as tx:
            parts = transfers.parts(tx, transfer.id, instance, spans)
        return assembled(
            self.storage,
            self.running,
            transfer.id,
            instance,
            parts,
            compress=self._ingest.compress,
        )

    def _make_visible(
        self,
        transfer: TransferRow,
        batch: Sequence[StagedInstance],
        held: Sequence[ManifestInstance],
        declared: Sequence[ManifestInstance],
    ) -> bool:
        self.receipts.prepare()
        root = manifest_root(declared)
        brought: Brought | None = None
        told: dict[str, type_json] = {}
        unused = False

        def also(tx: Transaction) -> None:
            nonlocal brought
            brought = self.extras.load(tx, transfer.id)
            if not transfers.finish(tx, transfer.id, "committed", clock.timestamp()):
                raise _NotOpen

        def then(tx: Transaction, stored: list[Stored]) -> None:
            nonlocal told, unused
            if brought is not None:
                told, unused = self.extras.apply(tx, brought, declared)
            # At the end: to make room for the others, one may have had to go.
            if len(resources.held(tx, held)) < len(held):
                raise UnknownResource("An instance that was not sent is not stored here any more")
            give_receipt(tx, stored)
            if self._announces:
                series = {result.identifiers.series for result in stored}
                here = [(Level.INSTANCE, one.orthanc_id) for one in held]
                series.update(resources.kin(tx, here, Level.SERIES))
                received.announce(tx, series, transfer.id)

        def give_receipt(tx: Transaction, stored: list[Stored]) -> None:
            there = {
                result.identifiers.instance
                for result in stored
                if result.status is not StoreStatus.SUCCESS
            }
            known = [one for one in declared if one.orthanc_id in there]
            other = there - {one.orthanc_id for one in resources.held(tx, known)}
            arrival = Arrival(declared, len(held), other, told)
            self.receipts.keep(tx, self.receipts.make(transfer, arrival, root))

        try:
            stored = self._ingest.commit_block(batch, also, then)
        except _NotOpen:
            if self.is_committed(transfer.id):  # by another request, perhaps another process
                return False
            raise UnknownResource from None
        self.running.end_all(transfer.id)
        log.debug("Transfer %s is committed: %d instances", transfer.id, len(batch))
        for staged, result in zip(batch, stored, strict=True):
            if result.status is not StoreStatus.SUCCESS:
                self.storage.delete(staged.attachment.uuid)
        if unused:  # files of attachments that were here before
            self._clear(transfer)
        return True

    def _abort(self, transfer: TransferRow) -> bool:
        """Whether it was this call that ended it."""
        now = clock.timestamp()
        ended = self.index.write(lambda tx: transfers.finish(tx, transfer.id, "discarded", now))
        self.running.end_all(transfer.id)
        if ended and transfer.kind == "push":
            self.on_abort()
        return ended

    def _clear(self, transfer: TransferRow) -> None:
        """Remove what no instance uses. The names stay journaled: another process may still be
        receiving a bucket, and make a file after we looked."""
        remove_strays(self.index, self.storage, transfer.block)

    def _close(self, transfer: TransferRow) -> None:
        sweep_block(self.index, self.storage, transfer.block)
        self.index.write(lambda tx: transfers.release_block(tx, transfer.id))


# --- looking things up ---------------------------------------------------------------------
def _open_transfer(tx: Transaction, transfer_id: str, username: str | None) -> TransferRow:
    transfer = transfers.get(tx, _checked(transfer_id))
    if transfer is None or transfer.state != "open" or _foreign(transfer, username):
        raise UnknownResource
    return transfer


def _is_open(tx: Transaction, transfer_id: str) -> bool:
    transfer = transfers.get(tx, transfer_id)
    return transfer is not None and transfer.state == "open"


def _checked(transfer_id: str) -> str:
    if not _TRANSFER_ID.fullmatch(transfer_id):
        raise UnknownResource
    return transfer_id


def _foreign(transfer: TransferRow, username: str | None) -> bool:
    """A push belongs to the user who opened it, a pull to its job (None)."""
    return username is not None and (transfer.kind, transfer.username) != ("push", username)


def _absent(tx: Transaction, transfer_id: str, instance: InstanceRow) -> bool:
    """Whether a bucket that is needed for this unverified instance was never acknowledged."""
    if not instance.buckets:  # one that lies whole in a bucket is verified with it
        return True
    return transfers.lacks(tx, transfer_id, ranges.parse_spans(instance.buckets))


def _bucket(tx: Transaction, transfer: TransferRow, position: int) -> BucketRow:
    if position < transfer.bucket_count:  # one beyond may not even fit in a column
        row = transfers.bucket(tx, transfer.id, position)
        if row is not None:
            return row
    raise ParameterOutOfRange(
        f"There is no bucket {position}: the push has {transfer.bucket_count}"
    )


def _pieces(tx: Transaction, transfer_id: str, row: BucketRow) -> list[Piece]:
    """The bucket in terms of instances, held against what was declared."""
    positions = {position for position, _, _ in row.chunks}
    if -1 in positions:
        raise UnknownResource("Unknown instance")
    instances = transfers.instances(tx, transfer_id, positions)
    pieces = [Piece(instances[place], offset, size) for place, offset, size in row.chunks]
    for piece in pieces:
        if piece.offset + piece.size > piece.instance.size:
            raise ParameterOutOfRange(
                f"The bucket reaches beyond instance {piece.instance.orthanc_id}"
            )
    return pieces
