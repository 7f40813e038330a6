"""Patients, studies and series that nothing was added to for a while become *stable*; at once, when
a sender has said that this was all.

The state lives in the index, so a restart forgets nothing and any process may announce it; each
is announced once.
"""

from __future__ import annotations

from collections.abc import Collection

from wherry import clock
from wherry.index import changes, totals
from wherry.index.database import Transaction
from wherry.model import ChangeType, Level

_ANNOUNCED = (
    (Level.SERIES, ChangeType.StableSeries),
    (Level.STUDY, ChangeType.StableStudy),
    (Level.PATIENT, ChangeType.StablePatient),
)


def mark_stable(tx: Transaction, older_than: float, limit: int) -> int:
    """Announce at most ``limit`` resources that did not change since ``older_than`` (seconds
    since 1970); how many there were."""
    found: list[tuple[ChangeType, Level, int]] = []
    for level, change in _ANNOUNCED:
        rows = tx.all(
            "SELECT resource FROM activity WHERE stable = 0 AND level = ? AND updated_at < ?"
            " ORDER BY updated_at, resource LIMIT ?",
            (int(level), older_than, limit - len(found)),
        )
        found += [(change, level, row[0]) for row in rows]
    if found:
        tx.run("UPDATE activity SET stable = 1 WHERE resource IN ?", ([row for *_, row in found],))
        counters = totals.load(tx)
        changes.log(tx, counters, found, clock.orthanc_date(clock.now()))
        totals.save(tx, counters)
    return len(found)


def stable_at_once(tx: Transaction, series: Collection[int]) -> list[tuple[ChangeType, Level, int]]:
    """Nothing more is to come for these series (rows): they are stable, and so is each study and
    patient above of which nothing else is arriving. The changes that announce it, to be logged;
    what was stable already is not announced again."""
    found: list[tuple[ChangeType, Level, int]] = []
    rows: Collection[int] = series
    for level, change in _ANNOUNCED:
        if level is not Level.SERIES:
            rows = _all_quiet(tx, level, rows)
        became = tx.all(
            "UPDATE activity SET stable = 1 WHERE resource IN ? AND stable = 0 RETURNING resource",
            (list(rows),),
        )
        found += [(change, level, row) for (row,) in sorted(became)]
    return found


def _all_quiet(tx: Transaction, level: Level, below: Collection[int]) -> list[int]:
    """The parents at ``level`` of these rows, all of whose children are stable."""
    children = Level(level + 1).plural
    parents = {
        row[0] for row in tx.all(f"SELECT parent FROM {children} WHERE id IN ?", (list(below),))
    }
    busy = tx.all(
        f"SELECT c.parent FROM {children} c JOIN activity a ON a.resource = c.id"
        " WHERE c.parent IN ? AND a.stable = 0",
        (list(parents),),
    )
    return sorted(parents.difference(row[0] for row in busy))
