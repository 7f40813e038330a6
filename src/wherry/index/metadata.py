"""Metadata of resources: texts by number, at every level (rest-api §7).

The core metadata of instances are columns of their table, and ``LastUpdate`` comes from
``activity``; everything else is a row of ``metadata``. Whoever reads here sees no difference.

Not here: names of metadata (``rest``), entity tags.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Final, NamedTuple

from wherry import clock
from wherry.index.database import Transaction
from wherry.model import Level

LAST_UPDATE: Final = 7

INSTANCE_COLUMNS: Final = {
    1: "index_in_series",
    2: "reception_date",
    3: "remote_aet",
    8: "origin",
    9: "transfer_syntax",
    10: "sop_class_uid",
    11: "remote_ip",
    12: "called_aet",
    13: "username",
    14: "pixel_data_offset",
}
"""Core metadata of instances that are columns, by number."""

SERIES_COLUMNS: Final = {3: "remote_aet", 4: "expected_instances"}
"""The same of series."""

COLUMNS: Final = {Level.INSTANCE: INSTANCE_COLUMNS, Level.SERIES: SERIES_COLUMNS}


class Entry(NamedTuple):
    """One piece of metadata."""

    value: str
    revision: int


def of_many(
    tx: Transaction, level: Level, orthanc_ids: Collection[str]
) -> dict[str, dict[int, Entry]]:
    """All metadata of these resources, by identifier and number; unknown ones are left out."""
    columns = COLUMNS.get(level, {})
    times = level is not Level.INSTANCE
    extra = "".join(f", r.{column}" for column in columns.values())
    extra += ", a.updated_at" if times else ""
    join = " JOIN activity a ON a.resource = r.id" if times else ""
    rows = tx.all(
        f"SELECT r.id, r.orthanc_id{extra} FROM {level.plural} r{join} WHERE r.orthanc_id IN ?",
        (list(orthanc_ids),),
    )
    found: dict[str, dict[int, Entry]] = {}
    by_row: dict[int, dict[int, Entry]] = {}
    for row in rows:
        entries = found[row[1]] = by_row[row[0]] = {}
        for number, value in zip(columns, row[2:], strict=False):
            if value is not None and value != "":
                entries[number] = Entry(str(value), 0)
        if times:
            date = clock.orthanc_date(datetime.fromtimestamp(row[-1], UTC))
            entries[LAST_UPDATE] = Entry(date, 0)
    for row, number, value, revision in tx.all(
        "SELECT resource, type, value, revision FROM metadata WHERE resource IN ?", (list(by_row),)
    ):
        by_row[row][number] = Entry(value, revision)
    return found


def of_one(tx: Transaction, level: Level, orthanc_id: str) -> dict[int, Entry] | None:
    """All metadata of one resource by number; None when it is unknown."""
    return of_many(tx, level, [orthanc_id]).get(orthanc_id)
