"""The end of a transfer: all of it becomes visible, or the transfer stays open."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress

from wherry import clock
from wherry.errors import CorruptedFile, StorageUnavailable, UnknownResource
from wherry.index import received, resources, transfers
from wherry.index.database import Index, Transaction
from wherry.index.transfer_rows import InstanceRow, TransferRow
from wherry.ingest.ingest import Ingest
from wherry.ingest.recovery import remove_strays
from wherry.jobs import ranges
from wherry.model import (
    Level,
    ManifestInstance,
    StagedInstance,
    Stored,
    StoreStatus,
    type_json,
)
from wherry.receipts.document import manifest_root
from wherry.storage.base import StorageArea
from wherry.transfers.assembling import assembled
from wherry.transfers.extras_reception import Brought, ExtrasReception
from wherry.transfers.finding import known_transfer
from wherry.transfers.incoming import keep
from wherry.transfers.receipts import Arrival, Receipts
from wherry.transfers.running import Running
from wherry.transfers.staged import Shared
from wherry.transfers.stages import Stage

log = logging.getLogger(__name__)

_PORTION = 100
type_reach = Callable[[Stage], None]


class _NotOpen(Exception):
    """Undoes a commit: the transfer is not open any more."""


class Commits:
    """Blocking; from any thread."""

    def __init__(
        self,
        index: Index,
        storage: StorageArea,
        ingest: Ingest,
        running: Running,
        receipts: Receipts,
        extras: ExtrasReception,
        *,
        announces: bool,
    ) -> None:
        """``announces``: a commit tells that its studies are received, and makes them stable."""
        self._index = index
        self._storage = storage
        self._ingest = ingest
        self._running = running
        self._receipts = receipts
        self._extras = extras
        self._announces = announces
        self._stages: dict[str, Stage] = {}

    def stage(self, transfer_id: str) -> Stage | None:
        """How far the commit is that this process is busy with."""
        return self._stages.get(transfer_id)

    def commit(
        self,
        transfer_id: str,
        username: str | None = None,
        tell: Callable[[Stage], None] = lambda stage: None,
    ) -> bool:
        """Make all instances visible, or raise and leave the transfer open. Whether it was this
        call that did it.

        The rows of its manifest go with the next ``Reception.expire``: nobody waits for that.
        Raises ``CorruptedFile`` or ``BadFileFormat`` naming the first instance that is missing or
        wrong, ``UnknownResource``: also when what was not sent, because it was here, is gone. Again
        after it was committed: nothing happens.
        """
        with self._index.read() as tx:
            transfer = known_transfer(tx, transfer_id, username)
        if transfer.state == "committed":
            return False

        def reach(stage: Stage) -> None:
            self._stages[transfer_id] = stage
            tell(stage)

        try:
            return self._commit(transfer, reach)
        finally:
            self._stages.pop(transfer_id, None)

    def _commit(self, transfer: TransferRow, reach: type_reach) -> bool:
        transfer_id = transfer.id
        self._verify_rest(transfer, reach)
        with self._index.read() as tx:
            batch = list(Shared().instances(transfers.staged(tx, transfer_id)))
            held = transfers.held(tx, transfer_id)
            declared = transfers.manifest(tx, transfer_id)
            strays = transfers.part_files(tx, transfer_id)
        if len(batch) + len(held) == transfer.instance_count:
            visible = self._make_visible(transfer, batch, held, declared, reach)
            if visible and strays.difference(one.attachment.uuid for one in batch):
                self._remove_strays(transfer)  # parts of instances that are kept elsewhere
            return visible
        self._check_committed(transfer_id)  # it ended while we looked
        return False

    def _verify_rest(self, transfer: TransferRow, reach: type_reach) -> None:
        """Verify what no bucket could: very large instances, and what a crash cut short."""
        done = total = 0
        while True:
            with self._index.read() as tx:
                total = total or transfers.count_unverified(tx, transfer.id)
                rest = transfers.unverified(tx, transfer.id, _PORTION)
                absent = next((one for one in rest if _absent(tx, transfer.id, one)), None)
            if absent is not None:
                raise CorruptedFile(f"Instance {absent.orthanc_id}: not all of its bytes were sent")
            for instance in rest:
                reach(Stage("Verifying", done, total))
                done += 1
                keep(self._index, transfer.id, [(instance, self._assembled(transfer, instance))])
            if len(rest) < _PORTION:
                return

    def _assembled(self, transfer: TransferRow, instance: InstanceRow) -> StagedInstance:
        spans = ranges.parse_spans(instance.buckets)
        with self._index.read() as tx:
            parts = transfers.parts(tx, transfer.id, instance, spans)
        return assembled(
            self._storage,
            self._running,
            transfer.id,
            instance,
            parts,
            compression=self._ingest.compression,
        )

    def _make_visible(
        self,
        transfer: TransferRow,
        batch: Sequence[StagedInstance],
        held: Sequence[ManifestInstance],
        declared: Sequence[ManifestInstance],
        reach: type_reach,
    ) -> bool:
        count = len(batch)
        reach(Stage("Committing", 0, count))
        self._receipts.prepare()
        root = manifest_root(declared)
        brought: Brought | None = None
        told: dict[str, type_json] = {}
        unused = False

        def also(tx: Transaction) -> None:
            nonlocal brought
            brought = self._extras.load(tx, transfer.id)
            if not transfers.finish(tx, transfer.id, "committed", clock.timestamp()):
                raise _NotOpen

        def then(tx: Transaction, stored: list[Stored]) -> None:
            nonlocal told, unused
            if brought is not None:
                told, unused = self._extras.apply(tx, brought, declared)
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
            unknown = {one.orthanc_id for one, _ in resources.undecided(tx, known)}
            other = there - unknown - {one.orthanc_id for one in resources.held(tx, known)}
            arrival = Arrival(declared, len(held), other, len(unknown), told)
            self._receipts.keep(tx, self._receipts.make(transfer, arrival, root))

        try:
            stored = self._ingest.commit_block(
                batch, also, then, lambda done: reach(Stage("Committing", done, count))
            )
        except _NotOpen:
            self._check_committed(transfer.id)  # by another request, perhaps another process
            return False
        self._running.end_all(transfer.id)
        log.debug("Transfer %s is committed: %d instances", transfer.id, len(batch))
        with suppress(StorageUnavailable):  # they go with the block
            for staged, result in zip(batch, stored, strict=True):
                if result.status is not StoreStatus.SUCCESS:
                    self._storage.delete(staged.attachment.uuid, staged.attachment.place)
        if unused:  # files of attachments that were here before
            self._remove_strays(transfer)
        return True

    def _remove_strays(self, transfer: TransferRow) -> None:
        """After the commit, which is none the worse for a storage that is out of reach."""
        with suppress(StorageUnavailable):
            remove_strays(self._index, self._storage, transfer.block)

    def _check_committed(self, transfer_id: str) -> None:
        """Raises ``UnknownResource`` when the transfer ended in another way."""
        with self._index.read() as tx:
            transfer = transfers.get(tx, transfer_id)
        if transfer is None or transfer.state != "committed":
            raise UnknownResource


def _absent(tx: Transaction, transfer_id: str, instance: InstanceRow) -> bool:
    """Whether a bucket that is needed for this unverified instance was never acknowledged."""
    if not instance.buckets:  # one that lies whole in a bucket is verified with it
        return True
    return transfers.lacks(tx, transfer_id, ranges.parse_spans(instance.buckets))
