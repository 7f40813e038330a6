"""From a manifest to the rows that remember it, after it was held against the quotas."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import orjson

from wherry import clock, limits
from wherry.errors import NoRoom, StorageFull, TooLarge, Unavailable
from wherry.index import staging, transfers
from wherry.index.database import Transaction
from wherry.index.transfer_rows import BucketRow, InstanceRow, TransferRow, type_kind
from wherry.ingest.names import new_prefix
from wherry.jobs import ranges
from wherry.model import Manifest, ManifestInstance


@dataclass(frozen=True, slots=True)
class Quota:
    """What the configuration allows one transfer, and how many pushes at once."""

    instances: int = limits.TRANSFER_INSTANCES
    total_bytes: int = limits.TRANSFER_BYTES
    instance_bytes: int = limits.INSTANCE_BYTES
    pushes: int = 4
    store_bytes: int = 0
    """What the whole store may hold, where that can be compared with what is declared; 0 = all."""
    idle_s: float = limits.TRANSFER_IDLE_S
    """A transfer that nobody has touched for this long is discarded."""

    def check(self, manifest: Manifest, room_bytes: int, held_bytes: int = 0) -> None:
        """Raises ``TooLarge``, or ``StorageFull`` when the disk has no room for it.

        ``held_bytes`` of it are stored here already.
        """
        if len(manifest.instances) > self.instances:
            raise TooLarge(f"A transfer may have at most {self.instances} instances")
        total = sum(instance.size for instance in manifest.instances)
        if total > self.total_bytes:
            raise TooLarge(f"A transfer may have at most {self.total_bytes} bytes")
        if any(instance.size > self.instance_bytes for instance in manifest.instances):
            raise TooLarge(f"An instance may have at most {self.instance_bytes} bytes")
        if any(bucket.size > limits.BUCKET_BYTES for bucket in manifest.buckets):
            raise TooLarge(f"A bucket may have at most {limits.BUCKET_BYTES} bytes")
        if self.store_bytes and total > self.store_bytes:
            raise NoRoom("The store may not grow so large (MaximumStorageSize)")
        if total - held_bytes > room_bytes:
            raise StorageFull("The storage area has no room for this transfer")


@dataclass(frozen=True, slots=True)
class Declaration:
    """A transfer about to be opened."""

    transfer: TransferRow
    instances: list[InstanceRow]
    buckets: list[BucketRow]
    room_bytes: int
    """What the disk had room for."""

    def fits(self, tx: Transaction) -> bool:
        """Whether there is room beside what open transfers have still to bring."""
        wanted = sum(one.size for one in self.instances if not one.held)
        return not wanted or wanted + transfers.awaited_bytes(tx) <= self.room_bytes

    def write(self, tx: Transaction) -> None:
        """Add it, and journal the block of its file names, in the caller's transaction.

        Raises ``Unavailable`` when the room is promised to transfers that are open already.
        """
        if not self.fits(tx):
            raise Unavailable(
                "The room for this transfer is promised to others that are under way",
                retry_after_s=limits.TRANSFER_BUSY_S,
            )
        staging.open_block(tx, self.transfer.block, owner_of(self.transfer.id))
        transfers.create(tx, self.transfer, self.instances, self.buckets)


def take_room(tx: Transaction, declaration: Declaration, now: float) -> list[str]:
    """Discard pushes that have been silent for so long that their sender must be dead, until the
    new one fits or none is left; the identifiers of those discarded."""
    gone = []
    while not declaration.fits(tx):
        silent = transfers.untouched(tx, now - limits.TRANSFER_SLOT_IDLE_S, 1, "push")
        if not silent:
            break
        transfers.finish(tx, silent[0].id, "discarded", now)
        gone.append(silent[0].id)
    return gone


def unsent(manifest: Manifest) -> list[ManifestInstance]:
    """The instances that no bucket holds a byte of."""
    sent = {chunk.orthanc_id for bucket in manifest.buckets for chunk in bucket.chunks}
    return [one for one in manifest.instances if one.orthanc_id not in sent]


def declare(
    manifest: Manifest,
    held: Collection[ManifestInstance] = (),
    *,
    kind: type_kind,
    room_bytes: int,
    username: str = "",
    remote_ip: str = "",
    other_end: Mapping[str, str] | None = None,
    origin: str = "",
) -> Declaration:
    """Rows of a manifest. An instance that lies whole in one bucket gets a file for each attempt
    to bring it; one that is cut over several, one in each process that receives parts of it. Those
    in ``held`` are stored here already and lie in no bucket. ``other_end``: what is known of the
    other server."""
    now = clock.timestamp()
    block = new_prefix()
    places = {one.orthanc_id: position for position, one in enumerate(manifest.instances)}
    buckets, holders = _buckets(manifest, places)
    instances = []
    for position, one in enumerate(manifest.instances):
        cut = "" if holders[position] == [] else ranges.to_text(holders[position])
        here = one in held
        row = InstanceRow(position, one.orthanc_id, one.size, one.digest, "", cut, here, here)
        instances.append(row)
    transfer = TransferRow(
        id=clock.new_uuid(),
        kind=kind,
        state="open",
        compression=manifest.compression,
        username=username,
        created_at=now,
        touched_at=now,
        block=block,
        instance_count=len(instances),
        bucket_count=len(buckets),
        total_bytes=sum(one.size for one in manifest.instances),
        remote_ip=remote_ip,
        other_end=orjson.dumps(dict(other_end or {})).decode(),
        origin=origin,
    )
    return Declaration(transfer, instances, buckets, room_bytes)


def _buckets(
    manifest: Manifest, places: dict[str, int]
) -> tuple[list[BucketRow], dict[int, list[int]]]:
    """Rows of the buckets, and for each instance that is cut, the buckets that hold parts."""
    rows: list[BucketRow] = []
    holders: dict[int, list[int]] = defaultdict(list)
    whole: set[int] = set()
    for position, bucket in enumerate(manifest.buckets):
        chunks = []
        for chunk in bucket.chunks:
            place = places.get(chunk.orthanc_id, -1)
            chunks.append((place, chunk.offset, chunk.size))
            holders[place].append(position)
            if place >= 0 and (chunk.offset, chunk.size) == (0, manifest.instances[place].size):
                whole.add(place)
        rows.append(BucketRow(position, tuple(chunks), received=False))
    for place in whole:
        if len(holders[place]) == 1:
            holders[place] = []
    return rows, holders


def owner_of(transfer_id: str) -> str:
    """The owner of the block of a transfer's file names."""
    return f"transfer:{transfer_id}"
