"""Taking resources out of the index, with everything that hangs on them.

Their files go to the journal of deletions in the same transaction. A parent without children goes
too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from wherry.errors import UnknownResource
from wherry.index import totals
from wherry.index.database import Transaction
from wherry.index.totals import Totals
from wherry.model import Level

_ABOVE = {level: [Level(at) for at in range(level - 1, 0, -1)] for level in Level}
_PARENT = {level: "parent" if level > Level.PATIENT else "0" for level in Level}
_SATELLITES = ("attachments", "metadata", "labels", "changes", "activity", "tiers")


def delete(tx: Transaction, level: Level, orthanc_id: str) -> tuple[Level, str] | None:
    """Remove a resource and all below it; the closest ancestor that survives.

    Raises ``UnknownResource``.
    """
    found = tx.one(f"SELECT id FROM {level.plural} WHERE orthanc_id = ?", (orthanc_id,))
    if found is None:
        raise UnknownResource
    counters = totals.load(tx)
    row = found[0]
    parent = _parent(tx, level, row)
    for at, scope in _scopes(level):
        _purge(tx, counters, at, scope, row)
    survivor = None
    for above in _ABOVE[level]:
        child = Level(above + 1).plural
        if tx.one(f"SELECT 1 FROM {child} WHERE parent = ? LIMIT 1", (parent,)):
            found = tx.one(f"SELECT orthanc_id FROM {above.plural} WHERE id = ?", (parent,))
            assert found is not None
            survivor = (above, str(found[0]))
            break
        row, parent = parent, _parent(tx, above, parent)
        _purge(tx, counters, above, " = ?", row)
    totals.save(tx, counters)
    return survivor


def delete_many(tx: Transaction, orthanc_ids: Collection[str]) -> int:
    """Remove resources of any level and all below them; parents that are left without children go
    too. How many were found: unknown identifiers are ignored. The number of statements does not
    depend on theirs."""
    found = 0
    doomed: dict[Level, dict[int, int]] = {}
    """Row → parent. Below a resource that is named, everything is."""
    for level in Level:
        parent = _PARENT[level]
        rows = tx.all(
            f"SELECT id, {parent} FROM {level.plural} WHERE orthanc_id IN ?", (list(orthanc_ids),)
        )
        found += len(rows)
        if level > Level.PATIENT:
            gone = list(doomed[Level(level - 1)])
            rows += tx.all(f"SELECT id, parent FROM {level.plural} WHERE parent IN ?", (gone,))
        doomed[level] = {row[0]: row[1] for row in rows}
    counters = totals.load(tx)
    for level in reversed(Level):
        _purge(tx, counters, level, " IN ?", list(doomed[level]))
        if level > Level.PATIENT:
            above = Level(level - 1)
            emptied = tx.all(
                f"SELECT id, {_PARENT[above]} FROM {above.plural} t WHERE id IN ?"
                f" AND NOT EXISTS (SELECT 1 FROM {level.plural} c WHERE c.parent = t.id)",
                (list(set(doomed[level].values())),),
            )
            doomed[above] |= {row[0]: row[1] for row in emptied}
    totals.save(tx, counters)
    return found


def make_room(tx: Transaction, counters: Totals, replaced: list[int]) -> frozenset[int]:
    """Remove instances (rows) that are about to be stored anew; their parents stay. The parents
    (rows) that have no instance left for the moment."""
    parents = [
        row[0] for row in tx.all("SELECT DISTINCT parent FROM instances WHERE id IN ?", (replaced,))
    ]
    _purge(tx, counters, Level.INSTANCE, " IN ?", replaced)
    empty: list[int] = []
    for level in (Level.SERIES, Level.STUDY, Level.PATIENT):
        rows = tx.all(
            f"SELECT id, {'parent' if level > 1 else 'NULL'} FROM {level.plural} t"
            f" WHERE id IN ? AND NOT EXISTS ({_FILLED[level]})",
            (parents,),
        )
        empty += [row[0] for row in rows]
        parents = list({row[1] for row in rows})
    tx.run("DELETE FROM changes WHERE resource IN ?", (empty,))
    return frozenset(empty)


_FILLED = {
    Level.SERIES: "SELECT 1 FROM instances i WHERE i.parent = t.id",
    Level.STUDY: "SELECT 1 FROM series s JOIN instances i ON i.parent = s.id WHERE s.parent = t.id",
    Level.PATIENT: "SELECT 1 FROM studies d JOIN series s ON s.parent = d.id"
    " JOIN instances i ON i.parent = s.id WHERE d.parent = t.id",
}
"""The instances below a row ``t``."""


def _parent(tx: Transaction, level: Level, row: int) -> int:
    """The row above; 0 above a patient."""
    if level is Level.PATIENT:
        return 0
    found = tx.one(f"SELECT parent FROM {level.plural} WHERE id = ?", (row,))
    assert found is not None
    return int(found[0])


def _scopes(level: Level) -> Iterator[tuple[Level, str]]:
    """Conditions on the ids of each level from the instances up to ``level``, each with one
    parameter, the row at ``level``."""
    for at in range(Level.INSTANCE, level - 1, -1):
        condition = " = ?"
        for between in range(level + 1, at + 1):
            condition = f" IN (SELECT id FROM {Level(between).plural} WHERE parent{condition})"
        yield Level(at), condition


def _purge(
    tx: Transaction, counters: Totals, level: Level, scope: str, param: int | list[int]
) -> None:
    """Remove the rows of one level and what hangs on them."""
    sizes = tx.one(
        "SELECT coalesce(sum(compressed_size), 0), coalesce(sum(uncompressed_size), 0)"
        f" FROM attachments WHERE resource{scope}",
        (param,),
    )
    assert sizes is not None
    tx.run(
        "INSERT INTO deleted_files (uuid, place)"
        f" SELECT uuid, place FROM attachments WHERE resource{scope}",
        (param,),
    )
    for table in _SATELLITES:
        tx.run(f"DELETE FROM {table} WHERE resource{scope}", (param,))
    removed = tx.run(f"DELETE FROM {level.plural} WHERE id{scope}", (param,))
    counters.disk_bytes -= int(sizes[0])
    counters.uncompressed_bytes -= int(sizes[1])
    name = level.plural
    setattr(counters, name, getattr(counters, name) - removed)
