"""Patients, studies and series that nothing was added to for a while become *stable*.

The state lives in the index, so a restart forgets nothing and any process may announce it; each
is announced once.
"""

from __future__ import annotations

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
