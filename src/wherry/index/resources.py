"""Resources of the four levels: what the faces ask about them.

What lives in ``adding``, ``describing`` and ``removing`` is offered here too. All questions about
many resources take a fixed number of statements.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from wherry import limits
from wherry.digests import is_digest
from wherry.index import totals
from wherry.index.adding import add_instances
from wherry.index.database import Transaction
from wherry.index.describing import following, get, get_many
from wherry.index.related import BETWEEN, FILE, JOINED, chain
from wherry.index.removing import delete, delete_many
from wherry.model import Attachment, Level, ManifestInstance, Statistics

_NO_LIMIT = 2**62


def list_ids(tx: Transaction, level: Level, since: int = 0, limit: int | None = None) -> list[str]:
    """Identifiers in order of arrival, after the first ``since``."""
    return _joined(
        tx,
        f"SELECT orthanc_id FROM {level.plural} ORDER BY id LIMIT ? OFFSET ?",
        (_NO_LIMIT if limit is None else limit, since),
    )


def descendants(tx: Transaction, level: Level, orthanc_id: str, at: Level) -> list[str] | None:
    """Identifiers at the lower level ``at``, in order of arrival; None when unknown."""
    row = _row(tx, level, orthanc_id)
    if row is None:
        return None
    return _joined(
        tx,
        f"SELECT l{at:d}.orthanc_id FROM {chain(level, at)} WHERE l{level:d}.id = ?"
        f" ORDER BY l{at:d}.id",
        (row,),
    )


def _joined(tx: Transaction, sql: str, params: Sequence[object]) -> list[str]:
    """The identifiers that ``sql`` finds, in its order."""
    row = tx.one(f"SELECT {JOINED[tx.dialect]}(f.orthanc_id, '{BETWEEN}') FROM ({sql}) f", params)
    return row[0].split(BETWEEN) if row and row[0] else []


def kin(tx: Transaction, named: Collection[tuple[Level, str]], at: Level) -> list[str]:
    """Identifiers at level ``at``, above or below these resources or they themselves, each once
    and sorted."""
    found: set[str] = set()
    for level in {level for level, _ in named}:
        top, bottom = min(level, at), max(level, at)
        ids = [orthanc_id for one, orthanc_id in named if one is level]
        rows = tx.all(
            f"SELECT DISTINCT l{at:d}.orthanc_id FROM {chain(top, bottom)}"
            f" WHERE l{level:d}.orthanc_id IN ?",
            (ids,),
        )
        found.update(row[0] for row in rows)
    return sorted(found)


def ancestor(tx: Transaction, level: Level, orthanc_id: str, at: Level) -> str | None:
    """The identifier at the upper level ``at``; None when the resource is unknown."""
    row = tx.one(
        f"SELECT l{at:d}.orthanc_id FROM {chain(at, level)} WHERE l{level:d}.orthanc_id = ?",
        (orthanc_id,),
    )
    return row[0] if row else None


def attachment(
    tx: Transaction, level: Level, orthanc_id: str, content_type: int = 1
) -> Attachment | None:
    """One file of a resource; None when the file or the resource is unknown."""
    row = tx.one(
        f"SELECT {FILE} FROM {level.plural} r JOIN attachments a ON a.resource = r.id"
        " WHERE r.orthanc_id = ? AND a.content_type = ?",
        (orthanc_id, content_type),
    )
    return Attachment(*row) if row else None


def files_under(
    tx: Transaction, level: Level, orthanc_id: str
) -> list[tuple[str, Attachment]] | None:
    """Instances under a resource with their DICOM files, sorted by identifier; None when the
    resource is unknown."""
    row = _row(tx, level, orthanc_id)
    if row is None:
        return None
    rows = tx.all(
        f"SELECT l4.orthanc_id, {FILE} FROM {chain(level, Level.INSTANCE)}"
        f" JOIN attachments a ON a.resource = l4.id AND a.content_type = 1"
        f" WHERE l{level:d}.id = ? ORDER BY l4.orthanc_id",
        (row,),
    )
    return [(found[0], Attachment(*found[1:])) for found in rows]


def first_file(tx: Transaction, level: Level, orthanc_id: str) -> Attachment | None:
    """The DICOM file of the instance below a resource that arrived first; None when unknown."""
    row = tx.one(
        f"SELECT {FILE} FROM {chain(level, Level.INSTANCE)}"
        f" JOIN attachments a ON a.resource = l4.id AND a.content_type = 1"
        f" WHERE l{level:d}.orthanc_id = ? ORDER BY l4.id LIMIT 1",
        (orthanc_id,),
    )
    return Attachment(*row) if row else None


def files_of(tx: Transaction, instance_ids: Collection[str]) -> dict[str, Attachment]:
    """DICOM files of these instances; unknown ones are left out."""
    rows = tx.all(
        f"SELECT r.orthanc_id, {FILE} FROM instances r JOIN attachments a"
        " ON a.resource = r.id AND a.content_type = 1 WHERE r.orthanc_id IN ?",
        (list(instance_ids),),
    )
    return {row[0]: Attachment(*row[1:]) for row in rows}


def held(tx: Transaction, instances: Sequence[ManifestInstance]) -> set[ManifestInstance]:
    """Those that are stored here, with this size, and known to have this digest."""
    found: set[ManifestInstance] = set()
    for start in range(0, len(instances), limits.INDEX_ROWS_AT_ONCE):
        portion = instances[start : start + limits.INDEX_ROWS_AT_ONCE]
        files = files_of(tx, [one.orthanc_id for one in portion])
        for one in portion:
            file = files.get(one.orthanc_id)
            if file and file.uncompressed_size == one.size and file.has_digest(one.digest):
                found.add(one)
    return found


def undecided(
    tx: Transaction, instances: Sequence[ManifestInstance]
) -> list[tuple[ManifestInstance, Attachment]]:
    """Those that are stored here with this size, and with a digest that cannot be compared; and
    their files."""
    found: list[tuple[ManifestInstance, Attachment]] = []
    for start in range(0, len(instances), limits.INDEX_ROWS_AT_ONCE):
        portion = instances[start : start + limits.INDEX_ROWS_AT_ONCE]
        files = files_of(tx, [one.orthanc_id for one in portion])
        for one in portion:
            file = files.get(one.orthanc_id)
            if file and file.uncompressed_size == one.size and _differ_in_kind(file, one.digest):
                found.append((one, file))
    return found


def _differ_in_kind(file: Attachment, digest: str) -> bool:
    """Whether a digest is one, of a kind that is not known of this file."""
    known = (file.uncompressed_blake3, file.uncompressed_md5)
    return is_digest(digest) and all(len(one) != len(digest) for one in known)


def statistics(tx: Transaction) -> Statistics:
    """Totals of the whole store, in constant time."""
    now = totals.load(tx)
    return Statistics(
        now.patients,
        now.studies,
        now.series,
        now.instances,
        now.disk_bytes,
        now.uncompressed_bytes,
    )


def statistics_of(tx: Transaction, level: Level, orthanc_id: str) -> Statistics | None:
    """Totals of one resource and all below it, itself counted; None when it is unknown."""
    below = [Level(at) for at in range(level, Level.INSTANCE + 1)]
    family = " UNION ALL ".join(
        f"SELECT {at:d} AS level, l{at:d}.id AS id FROM {chain(level, at)}"
        f" WHERE l{level:d}.orthanc_id = ?"
        for at in below
    )
    counts = [0, 0, 0, 0]
    sizes = [0, 0, 0, 0]
    for found in tx.all(
        "SELECT f.level, count(DISTINCT f.id),"
        " coalesce(sum(a.compressed_size), 0), coalesce(sum(a.uncompressed_size), 0),"
        " coalesce(sum(CASE a.content_type WHEN 1 THEN a.compressed_size END), 0),"
        " coalesce(sum(CASE a.content_type WHEN 1 THEN a.uncompressed_size END), 0)"
        f" FROM ({family}) f LEFT JOIN attachments a ON a.resource = f.id GROUP BY f.level",
        (orthanc_id,) * len(below),
    ):
        counts[found[0] - 1] = found[1]
        sizes = [have + int(more) for have, more in zip(sizes, found[2:], strict=True)]
    if not any(counts):
        return None
    return Statistics(*counts, *sizes)


def locate(tx: Transaction, ids: Collection[str]) -> dict[str, Level]:
    """The levels of these identifiers; unknown ones are left out."""
    found: dict[str, Level] = {}
    for level in Level:
        rows = tx.all(f"SELECT orthanc_id FROM {level.plural} WHERE orthanc_id IN ?", (list(ids),))
        found |= dict.fromkeys((row[0] for row in rows), level)
    return found


def _row(tx: Transaction, level: Level, orthanc_id: str) -> int | None:
    row = tx.one(f"SELECT id FROM {level.plural} WHERE orthanc_id = ?", (orthanc_id,))
    return row[0] if row else None


__all__ = [
    "add_instances",
    "ancestor",
    "attachment",
    "delete",
    "delete_many",
    "descendants",
    "files_of",
    "files_under",
    "first_file",
    "following",
    "get",
    "get_many",
    "held",
    "kin",
    "list_ids",
    "locate",
    "statistics",
    "statistics_of",
]
