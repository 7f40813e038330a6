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
from collections.abc import Callable, Mapping, Sequence

from wherry import clock, limits
from wherry.errors import BadSequenceOfCalls, UnknownResource
from wherry.index import transfers
from wherry.index.database import Index
from wherry.index.transfer_rows import TransferRow, type_kind
from wherry.ingest.ingest import Ingest
from wherry.ingest.recovery import sweep_block
from wherry.model import (
    Manifest,
    ManifestInstance,
)
from wherry.storage.base import StorageArea
from wherry.transfers.clearing import clear
from wherry.transfers.committing import Commits
from wherry.transfers.declaring import Declaration, Quota, declare, unsent
from wherry.transfers.extras_reception import ExtrasReception
from wherry.transfers.finding import bucket_of, known_transfer, open_transfer, pieces_of
from wherry.transfers.incoming import Incoming
from wherry.transfers.protocol import AUTO, render_push
from wherry.transfers.receipts import Receipts
from wherry.transfers.running import Running
from wherry.transfers.stages import Stage
from wherry.transfers.turns import Caller, open_push

log = logging.getLogger(__name__)

_PORTION = 100


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
        self.extras = ExtrasReception(index, storage, self.running, ingest, quota)
        """What travels beside the instances."""
        self._commits = Commits(
            index, storage, ingest, self.running, receipts, self.extras, announces=announces
        )

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
        """Those that are stored here, with this size and this digest."""
        return self._ingest.digesting.held(instances)

    def compare(self, instances: Sequence[ManifestInstance], check: Callable[[], None]) -> None:
        """Take the digests that ``held`` needs, of whatever is stored here; ``check`` raises when
        the work is interrupted."""
        self._ingest.digesting.compare(instances, check=check)

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
                transfer = open_transfer(tx, transfer_id, username)
                row = bucket_of(tx, transfer, position)
                pieces = pieces_of(tx, transfer_id, row)
            return Incoming(
                self.index,
                self.storage,
                self.running,
                attempt,
                transfer,
                row,
                pieces,
                encoding if transfer.compression == AUTO else transfer.compression,
                self._ingest,
            )
        except BaseException:
            self.running.done(attempt)
            raise

    def taken(self, transfer_id: str, position: int, username: str | None = None) -> int | None:
        """Bytes of the body of a bucket behind which it may go on; None = it is acknowledged.
        Raises as ``bucket`` does."""
        with self.index.read() as tx:
            transfer = open_transfer(tx, transfer_id, username)
            if bucket_of(tx, transfer, position).received:
                return None
        return self.running.taken(transfer_id, position)

    def resume(
        self, transfer_id: str, position: int, taken: int, username: str | None = None
    ) -> Incoming:
        """Go on with a bucket that was cut off behind ``taken`` bytes. Raises ``UnknownResource``,
        and ``BadSequenceOfCalls`` when that is not where it stopped: it has to begin anew."""
        with self.index.read() as tx:
            open_transfer(tx, transfer_id, username)
        found = self.running.resume(transfer_id, position, taken)
        if found is None:
            raise BadSequenceOfCalls(f"Bucket {position} did not stop behind {taken} bytes")
        return found

    def missing(self, transfer_id: str) -> list[int] | None:
        """Positions of the buckets that are not acknowledged; None when it is not open."""
        with self.index.read() as tx:
            if not transfers.is_open(tx, transfer_id):
                return None
            return transfers.buckets(tx, transfer_id, received=False)

    def look(self, transfer_id: str, username: str | None = None) -> tuple[TransferRow, list[int]]:
        """A transfer and its acknowledged buckets. Raises ``UnknownResource``."""
        with self.index.read() as tx:
            transfer = known_transfer(tx, transfer_id, username)
            return transfer, transfers.buckets(tx, transfer_id, received=True)

    # --- the end ---------------------------------------------------------------------------
    def commit(
        self,
        transfer_id: str,
        username: str | None = None,
        tell: Callable[[Stage], None] = lambda stage: None,
    ) -> bool:
        """Make all instances visible, or raise and leave the transfer open; see ``Commits``."""
        return self._commits.commit(transfer_id, username, tell)

    def stage(self, transfer_id: str) -> Stage | None:
        """How far the commit is that this process is busy with."""
        return self._commits.stage(transfer_id)

    def is_committed(self, transfer_id: str) -> bool:
        """Whether the transfer ended well."""
        with self.index.read() as tx:
            transfer = transfers.get(tx, transfer_id)
        return transfer is not None and transfer.state == "committed"

    def discard(self, transfer_id: str, username: str | None = None) -> None:
        """Forget an open transfer and remove its files. Raises ``UnknownResource`` when it is not
        open."""
        with self.index.read() as tx:
            transfer = open_transfer(tx, transfer_id, username)
        if not self._abort(transfer):
            raise UnknownResource
        clear(self.index, self.storage, transfer)

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
            gone = {one for one in self.running.followed() if not transfers.is_open(tx, one)}
        for transfer_id in gone:
            self.running.end_all(transfer_id)
        for transfer in over:
            clear(self.index, self.storage, transfer)
            if transfer.touched_at < now - limits.TRANSFER_GRACE_S:
                self._close(transfer)
        self.index.write(lambda tx: transfers.forget(tx, now - limits.TRANSFER_MEMORY_S))
        return len(idle)

    # --- inside ----------------------------------------------------------------------------
    def _abort(self, transfer: TransferRow) -> bool:
        """Whether it was this call that ended it."""
        now = clock.timestamp()
        ended = self.index.write(lambda tx: transfers.finish(tx, transfer.id, "discarded", now))
        self.running.end_all(transfer.id)
        if ended and transfer.kind == "push":
            self.on_abort()
        return ended

    def _close(self, transfer: TransferRow) -> None:
        sweep_block(self.index, self.storage, transfer.block)
        self.index.write(lambda tx: transfers.release_block(tx, transfer.id))
