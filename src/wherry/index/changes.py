"""The log of changes: what happened to resources, numbered for ever.

A number is never given twice. The changes of a resource vanish with it, so the numbers of a page
have gaps; those who follow the log keep the last number they saw.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from wherry import clock
from wherry.index import totals
from wherry.index.database import Transaction
from wherry.index.totals import Totals
from wherry.model import Change, ChangeType, Level

_COLUMNS = ("seq", "change_type", "level", "resource", "date")
_CAUSED = (*_COLUMNS, "cause")

_SELECT = (
    "SELECT seq, change_type, level, CASE level"
    + "".join(
        f" WHEN {int(level)} THEN (SELECT orthanc_id FROM {level.plural} WHERE id = resource)"
        for level in Level
    )
    + " END, date FROM changes"
)

_NOT_INSTANCES: Final = f" AND change_type <> {int(ChangeType.NewInstance)}"
"""The words of a partial index: nearly all changes are new instances."""

type_row = tuple[int, int, int, str, str]
"""Number, type, level, identifier of the resource, date."""


@dataclass(frozen=True, slots=True)
class Page:
    """A part of the log."""

    rows: list[type_row]
    """Oldest first. Plain, because a page is asked for again and again."""
    done: bool
    """Nothing lies beyond this page, in the direction that was asked for."""
    last: int
    """Where to go on: the number of the last row, on an empty page the highest ever given."""

    @property
    def changes(self) -> list[Change]:
        """The rows as values."""
        return [_change(row) for row in self.rows]


def page(
    tx: Transaction,
    since: int | None,
    limit: int,
    *,
    to: int | None = None,
    types: Collection[ChangeType] = (),
) -> Page:
    """At most ``limit`` changes of ``types`` (none: of all) after number ``since``, up to and with
    number ``to``.

    The first ones of these; with ``to`` alone, the last ones: so the log can be read backwards.
    """
    backwards = since is None and to is not None
    condition, params = " WHERE seq > ?", [since or 0]
    if to is not None:
        condition, params = f"{condition} AND seq <= ?", [*params, to]
    rest: list[object] = [*params]
    if types:
        condition += " AND change_type IN ?"
        rest.append([int(kind) for kind in types])
        if ChangeType.NewInstance not in types:
            condition += _NOT_INSTANCES
    order = f" ORDER BY seq{' DESC' if backwards else ''} LIMIT ?"
    rows: list[type_row] = tx.all(_SELECT + condition + order, (*rest, limit + 1))
    done = len(rows) <= limit
    if not done:
        rows.pop()
    if backwards:
        rows.reverse()
    return Page(rows, done, rows[-1][0] if rows else totals.load(tx).change_seq)


def nothing(tx: Transaction) -> Page:
    """An empty page at the end of the log."""
    return Page([], True, totals.load(tx).change_seq)


def last(tx: Transaction) -> Page:
    """The latest change that is still in the log."""
    rows: list[type_row] = tx.all(f"{_SELECT} ORDER BY seq DESC LIMIT 1")
    return Page(rows, True, rows[0][0] if rows else totals.load(tx).change_seq)


def clear(tx: Transaction) -> None:
    """Empty the log; the numbering goes on."""
    tx.run("DELETE FROM changes")


def causes(tx: Transaction, numbers: Collection[int]) -> dict[int, str]:
    """Of the changes with these numbers that are about a transfer: which one."""
    return dict(
        tx.all(
            "SELECT seq, cause FROM changes WHERE seq IN ? AND cause IS NOT NULL", (list(numbers),)
        )
    )


def log(
    tx: Transaction,
    counters: Totals,
    entries: Iterable[tuple[ChangeType, Level, int]],
    date: str,
    cause: str = "",
) -> None:
    """Append changes: type, level and row of the resource. The caller saves ``counters``.

    ``cause``: the transfer that they are about, if they are about one.
    """
    rows = []
    seq = counters.change_seq
    for change_type, level, resource in entries:
        seq += 1
        rows.append((seq, int(change_type), int(level), resource, date))
    counters.change_seq = seq
    if cause:
        tx.insert("changes", _CAUSED, [(*row, cause) for row in rows])
    else:
        tx.insert("changes", _COLUMNS, rows)


def log_one(tx: Transaction, change_type: ChangeType, level: Level, resource: int) -> None:
    """Append one change of the resource with this row, dated now."""
    counters = totals.load(tx)
    log(tx, counters, [(change_type, level, resource)], clock.orthanc_date(clock.now()))
    totals.save(tx, counters)


def _change(row: type_row) -> Change:
    return Change(row[0], ChangeType(row[1]), Level(row[2]), row[3], row[4])
