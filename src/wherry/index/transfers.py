"""Rows of the transfers that this server receives: pushes of others and pulls of its own.

    create ─▶ open ──finish──▶ committed ─▶ (forgotten after limits.TRANSFER_MEMORY_S)
                └────finish──▶ discarded ─▶ (forgotten with its files)

An open transfer has its manifest in ``transfer_instances`` and ``transfer_buckets``, and what it
brings beside the instances in the tables of ``transfer_extras``; these rows are dropped soon after
its end, in portions, and the row itself stays as the memory of how it ended. Every statement that
changes an open transfer is guarded by ``state = 'open'``, so that of a commit and a discard that
meet one wins, in whatever process they run.

Not here: files, verification, what a commit makes visible (``transfers.reception``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

import orjson

from wherry.index.database import Transaction
from wherry.index.transfer_rows import (
    BucketRow,
    InstanceRow,
    Part,
    TransferRow,
    files_of_text,
    files_to_text,
    parts_of,
    type_files,
    type_kind,
)
from wherry.model import ManifestInstance

_TRANSFER = (
    "id, kind, state, compression, username, created_at, touched_at, block, instance_count,"
    " bucket_count, total_bytes, remote_ip, other_end, origin"
)
_INSTANCE = "position, orthanc_id, size, digest, uuid, buckets, staged IS NOT NULL"
_BY_POSITION = ("transfer_instances", "transfer_buckets", "transfer_attachments")
_STAGED_PORTION = 500
_HELD = "held"
"""Stands for the staged instance of one that was stored here before and is not sent."""


def create(
    tx: Transaction,
    transfer: TransferRow,
    instances: Sequence[InstanceRow],
    buckets: Sequence[BucketRow],
) -> None:
    """Add an open transfer with its manifest."""
    tx.insert(
        "transfers",
        tuple(_TRANSFER.replace(" ", "").split(",")),
        [
            (
                transfer.id,
                transfer.kind,
                transfer.state,
                transfer.compression,
                transfer.username,
                transfer.created_at,
                transfer.touched_at,
                transfer.block,
                transfer.instance_count,
                transfer.bucket_count,
                transfer.total_bytes,
                transfer.remote_ip,
                transfer.other_end,
                transfer.origin,
            )
        ],
    )
    tx.insert(
        "transfer_instances",
        ("transfer_id", "position", "orthanc_id", "size", "digest", "uuid", "buckets", "staged"),
        [
            (
                transfer.id,
                one.position,
                one.orthanc_id,
                one.size,
                one.digest,
                one.uuid,
                one.buckets,
                _HELD if one.held else None,
            )
            for one in instances
        ],
    )
    tx.insert(
        "transfer_buckets",
        ("transfer_id", "position", "chunks", "received"),
        [
            (transfer.id, one.position, orjson.dumps(one.chunks).decode(), int(one.received))
            for one in buckets
        ],
    )


# --- looking -------------------------------------------------------------------------------
def get(tx: Transaction, transfer_id: str) -> TransferRow | None:
    """One transfer, in whatever state."""
    row = tx.one(f"SELECT {_TRANSFER} FROM transfers WHERE id = ?", (transfer_id,))
    return TransferRow(*row) if row else None


def open_of(tx: Transaction, origin: str) -> str | None:
    """The open push of this origin, which is not empty."""
    row = origin and tx.one(
        "SELECT id FROM transfers WHERE state = 'open' AND origin = ?", (origin,)
    )
    return str(row[0]) if row else None


def is_open(tx: Transaction, transfer_id: str) -> bool:
    """Whether it is there and open."""
    transfer = get(tx, transfer_id)
    return transfer is not None and transfer.state == "open"


def count_open(tx: Transaction, kind: type_kind) -> int:
    """Number of open transfers."""
    row = tx.one("SELECT COUNT(*) FROM transfers WHERE state = 'open' AND kind = ?", (kind,))
    assert row is not None
    return int(row[0])


def awaited_bytes(tx: Transaction) -> int:
    """Bytes of the instances and attachments of open transfers that have not arrived whole: they
    have been promised room."""
    return sum(
        int(row[0] or 0)
        for table in ("transfer_instances", "transfer_attachments")
        for row in tx.all(
            f"SELECT sum(i.size) FROM transfers t JOIN {table} i ON i.transfer_id = t.id"
            " WHERE t.state = 'open' AND i.staged IS NULL"
        )
    )


def untouched(
    tx: Transaction, since: float, limit: int, kind: type_kind | None = None
) -> list[TransferRow]:
    """Open transfers that nothing has happened to since that epoch second, longest first."""
    rows = tx.all(
        f"SELECT {_TRANSFER} FROM transfers WHERE state = 'open' AND touched_at < ?"
        + (" AND kind = ?" if kind else "")
        + " ORDER BY touched_at LIMIT ?",
        (since, *([kind] if kind else []), limit),
    )
    return [TransferRow(*row) for row in rows]


def ended(tx: Transaction, limit: int) -> list[TransferRow]:
    """Transfers that are over and whose names may still be borne by stray files."""
    rows = tx.all(
        f"SELECT {_TRANSFER} FROM transfers WHERE state IN ('committed', 'discarded')"
        " AND block <> '' ORDER BY touched_at LIMIT ?",
        (limit,),
    )
    return [TransferRow(*row) for row in rows]


def bucket(tx: Transaction, transfer_id: str, position: int) -> BucketRow | None:
    """One bucket of an open transfer."""
    row = tx.one(
        "SELECT chunks, received, files IS NOT NULL FROM transfer_buckets"
        " WHERE transfer_id = ? AND position = ?",
        (transfer_id, position),
    )
    if row is None:
        return None
    chunks, received, before = row
    return BucketRow(
        position,
        tuple(map(tuple, orjson.loads(chunks))),
        bool(received),
        again=bool(before) and not received,
    )


def instances(
    tx: Transaction, transfer_id: str, positions: Collection[int]
) -> dict[int, InstanceRow]:
    """Declared instances by position."""
    rows = tx.all(
        f"SELECT {_INSTANCE} FROM transfer_instances WHERE transfer_id = ? AND position IN ?",
        (transfer_id, list(positions)),
    )
    return {row[0]: _instance(row) for row in rows}


def unverified(tx: Transaction, transfer_id: str, limit: int) -> list[InstanceRow]:
    """Declared instances that are not verified yet, in order of position."""
    rows = tx.all(
        f"SELECT {_INSTANCE} FROM transfer_instances WHERE transfer_id = ? AND staged IS NULL"
        " ORDER BY position LIMIT ?",
        (transfer_id, limit),
    )
    return [_instance(row) for row in rows]


def count_unverified(tx: Transaction, transfer_id: str) -> int:
    """Number of declared instances that are not verified yet."""
    row = tx.one(
        "SELECT COUNT(*) FROM transfer_instances WHERE transfer_id = ? AND staged IS NULL",
        (transfer_id,),
    )
    assert row is not None
    return int(row[0])


def staged(tx: Transaction, transfer_id: str) -> Iterator[str]:
    """The verified instances, as ``stage`` was given them, in order of position; a portion of them
    at once."""
    last = -1
    while True:
        rows = tx.all(
            "SELECT position, staged FROM transfer_instances"
            " WHERE transfer_id = ? AND staged <> ? AND position > ? ORDER BY position LIMIT ?",
            (transfer_id, _HELD, last, _STAGED_PORTION),
        )
        if not rows:
            return
        yield from (row[1] for row in rows)
        last = rows[-1][0]


def manifest(tx: Transaction, transfer_id: str) -> list[ManifestInstance]:
    """All declared instances of an open transfer, in order of position."""
    rows = tx.all(
        "SELECT orthanc_id, size, digest FROM transfer_instances WHERE transfer_id = ?"
        " ORDER BY position",
        (transfer_id,),
    )
    return [ManifestInstance(*row) for row in rows]


def held(tx: Transaction, transfer_id: str) -> list[ManifestInstance]:
    """The instances that are not sent because they were stored here before."""
    rows = tx.all(
        "SELECT orthanc_id, size, digest FROM transfer_instances"
        " WHERE transfer_id = ? AND staged = ? ORDER BY position",
        (transfer_id, _HELD),
    )
    return [ManifestInstance(*row) for row in rows]


def buckets(tx: Transaction, transfer_id: str, *, received: bool) -> list[int]:
    """Positions of the buckets that are, or are not, acknowledged; ascending."""
    rows = tx.all(
        "SELECT position FROM transfer_buckets WHERE transfer_id = ? AND received = ?"
        " ORDER BY position",
        (transfer_id, int(received)),
    )
    return [row[0] for row in rows]


def lacks(
    tx: Transaction, transfer_id: str, spans: Iterable[tuple[int, int]], besides: int = -1
) -> bool:
    """Whether a bucket of these runs of positions, other than ``besides``, is not acknowledged."""
    return any(
        tx.one(
            "SELECT 1 FROM transfer_buckets WHERE transfer_id = ? AND received = 0"
            " AND position BETWEEN ? AND ? AND position <> ? LIMIT 1",
            (transfer_id, first, last, besides),
        )
        for first, last in spans
    )


def parts(
    tx: Transaction,
    transfer_id: str,
    instance: InstanceRow,
    spans: Iterable[tuple[int, int]],
    besides: int = -1,
) -> list[Part]:
    """Where the parts of an instance lie that the acknowledged buckets of these runs of positions,
    other than ``besides``, have brought; in order of their buckets."""
    found = []
    for first, last in spans:
        for chunks, files in tx.all(
            "SELECT chunks, files FROM transfer_buckets WHERE transfer_id = ? AND received = 1"
            " AND position BETWEEN ? AND ? AND position <> ? ORDER BY position",
            (transfer_id, first, last, besides),
        ):
            found += parts_of(orjson.loads(chunks), files_of_text(files), instance)
    return found


def part_files(tx: Transaction, transfer_id: str) -> set[str]:
    """The files that parts lie in."""
    rows = tx.all(
        "SELECT DISTINCT files FROM transfer_buckets WHERE transfer_id = ? AND files IS NOT NULL",
        (transfer_id,),
    )
    return {file.uuid for (files,) in rows for file in files_of_text(files).values()}


# --- changing ------------------------------------------------------------------------------
def touch(tx: Transaction, transfer_ids: Collection[str], at: float) -> int:
    """These transfers are in use; the number of them that are open."""
    return tx.run(
        "UPDATE transfers SET touched_at = ? WHERE state = 'open' AND id IN ?",
        (at, list(transfer_ids)),
    )


def acknowledge(tx: Transaction, transfer_id: str, position: int, files: type_files) -> None:
    """This bucket is here, and its parts are in these files; of a bucket that is here already, they
    stay where they are."""
    tx.run(
        "UPDATE transfer_buckets SET received = 1, files = ?"
        " WHERE transfer_id = ? AND position = ? AND received = 0",
        (files_to_text(files), transfer_id, position),
    )


def want_again(tx: Transaction, transfer_id: str, spans: Iterable[tuple[int, int]]) -> None:
    """The buckets of these runs of positions are not acknowledged any more."""
    for first, last in spans:
        tx.run(
            "UPDATE transfer_buckets SET received = 0 WHERE transfer_id = ?"
            " AND position BETWEEN ? AND ?",
            (transfer_id, first, last),
        )


def stage(tx: Transaction, transfer_id: str, found: Sequence[tuple[int, str, str]]) -> None:
    """Keep verified instances: position, name of the file, JSON of the ``StagedInstance``."""
    tx.many(
        "UPDATE transfer_instances SET uuid = ?, staged = ?"
        " WHERE transfer_id = ? AND position = ? AND staged IS NULL",
        [(uuid, document, transfer_id, position) for position, uuid, document in found],
    )


def finish(tx: Transaction, transfer_id: str, state: str, at: float) -> bool:
    """Open → ``committed`` or ``discarded``. False when it was not open. Its manifest is to be
    dropped by the caller, afterwards."""
    changed = tx.run(
        "UPDATE transfers SET state = ?, touched_at = ? WHERE id = ? AND state = 'open'",
        (state, at, transfer_id),
    )
    return bool(changed)


def drop_manifest(tx: Transaction, transfer_id: str, portion: int) -> bool:
    """Remove a portion of what was known of an ended transfer; whether there was any. All at once
    would keep other writers waiting."""
    for table in _BY_POSITION:
        first = tx.one(f"SELECT MIN(position) FROM {table} WHERE transfer_id = ?", (transfer_id,))
        if first is not None and first[0] is not None:
            tx.run(
                f"DELETE FROM {table} WHERE transfer_id = ? AND position < ?",
                (transfer_id, first[0] + portion),
            )
            return True
    return bool(tx.run("DELETE FROM transfer_extras WHERE transfer_id = ?", (transfer_id,)))


def release_block(tx: Transaction, transfer_id: str) -> None:
    """The files of an ended transfer are swept for good. A discarded one is forgotten."""
    tx.run("UPDATE transfers SET block = '' WHERE id = ?", (transfer_id,))
    tx.run("DELETE FROM transfers WHERE id = ? AND state = 'discarded'", (transfer_id,))


def forget(tx: Transaction, before: float) -> None:
    """Forget the transfers that were committed before that epoch second."""
    tx.run(
        "DELETE FROM transfers WHERE state = 'committed' AND block = '' AND touched_at < ?",
        (before,),
    )


def _instance(row: tuple[Any, ...]) -> InstanceRow:
    position, orthanc_id, size, digest, uuid, held_by, is_staged = row
    return InstanceRow(position, orthanc_id, size, digest, uuid, held_by, bool(is_staged))
