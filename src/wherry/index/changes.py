"""The log of changes: what happened to resources, numbered for ever.

A number is never given twice. The changes of a resource vanish with it, so the numbers of a page
have gaps; those who follow the log keep the last number they saw.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from wherry.index import totals
from wherry.index.database import Transaction
from wherry.index.totals import Totals
from wherry.model import Change, ChangeType, Level

_COLUMNS = ("seq", "change_type", "level", "resource", "date")

_SELECT = (
    "SELECT seq, change_type, level, CASE level"
    + "".join(
        f" WHEN {int(level)} THEN (SELECT orthanc_id FROM {level.plural} WHERE id = resource)"
        for level in Level
    )
    + " END, date FROM changes"
)


def page(tx: Transaction, since: int, limit: int) -> tuple[list[Change], bool, int]:
    """At most ``limit`` changes after number ``since``; whether these are the last there are; and
    the number to go on from: that of the last one, on an empty page the highest ever given."""
    rows = tx.all(f"{_SELECT} WHERE seq > ? ORDER BY seq LIMIT ?", (since, limit + 1))
    found = [_change(row) for row in rows[:limit]]
    reached = found[-1].seq if found else totals.load(tx).change_seq
    return found, len(rows) <= limit, reached


def last(tx: Transaction) -> Change | None:
    """The latest change that is still in the log."""
    row = tx.one(f"{_SELECT} ORDER BY seq DESC LIMIT 1")
    return _change(row) if row else None


def clear(tx: Transaction) -> None:
    """Empty the log; the numbering goes on."""
    tx.run("DELETE FROM changes")


def log(
    tx: Transaction,
    counters: Totals,
    entries: Iterable[tuple[ChangeType, Level, int]],
    date: str,
) -> None:
    """Append changes: type, level and row of the resource. The caller saves ``counters``."""
    rows = []
    seq = counters.change_seq
    for change_type, level, resource in entries:
        seq += 1
        rows.append((seq, int(change_type), int(level), resource, date))
    counters.change_seq = seq
    tx.insert("changes", _COLUMNS, rows)


def _change(row: tuple[Any, ...]) -> Change:
    return Change(row[0], ChangeType(row[1]), Level(row[2]), row[3], row[4])
