"""Metadata of resources: texts by number, at every level (rest-api §7).

The core metadata of instances are columns of their table, and ``LastUpdate`` comes from
``activity``; everything else is a row of ``metadata``. Whoever reads here sees no difference.

Not here: names of metadata (``rest.names``), and which of them users may set.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from hashlib import md5
from typing import Final, NamedTuple

import orjson

from wherry import clock, limits
from wherry.errors import TooLarge, UnknownResource
from wherry.index import revisions
from wherry.index.database import Transaction
from wherry.index.rooted import log_change, row_of
from wherry.model import ChangeType, Level, Revision

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


_INDEX_IN_SERIES: Final = 1
_REMOTE_AET: Final = 3
_ORIGIN: Final = 8
_USERNAME: Final = 13

_INSTANCE_NUMBER, _IMAGE_INDEX = "0020,0013", "0054,1330"
_TAGS_WITHOUT_INDEX: Final = ", CASE WHEN r.index_in_series IS NULL THEN r.tags END"


class Entry(NamedTuple):
    """One piece of metadata."""

    value: str
    revision: int

    @property
    def state(self) -> Revision:
        """What its entity tag says."""
        return Revision(self.revision, md5(self.value.encode(), usedforsecurity=False).hexdigest())


def of_many(
    tx: Transaction, level: Level, orthanc_ids: Collection[str]
) -> dict[str, dict[int, Entry]]:
    """All metadata of these resources, by identifier and number; unknown ones are left out."""
    columns = COLUMNS.get(level, {})
    times = level is not Level.INSTANCE
    extra = "".join(f", r.{column}" for column in columns.values())
    extra += ", a.updated_at" if times else _TAGS_WITHOUT_INDEX
    join = " JOIN activity a ON a.resource = r.id" if times else ""
    rows = tx.all(
        f"SELECT r.id, r.orthanc_id{extra} FROM {level.plural} r{join} WHERE r.orthanc_id IN ?",
        (list(orthanc_ids),),
    )
    found: dict[str, dict[int, Entry]] = {}
    by_row: dict[int, dict[int, Entry]] = {}
    for row in rows:
        values = dict(zip(columns, row[2:], strict=False))
        entries = of_columns(level, values, None if times else row[-1])
        found[row[1]] = by_row[row[0]] = entries
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


def of_columns(level: Level, values: Mapping[int, object], tags: str | None) -> dict[int, Entry]:
    """What the columns of ``COLUMNS[level]`` say; ``tags`` of an instance without an index."""
    entries = {
        number: Entry(str(value), 0)
        for number, value in values.items()
        if value is not None and value != ""
    }
    for number in _shown_empty(level, entries):
        entries.setdefault(number, Entry("", 0))
    if tags is not None:
        _add_index_that_is_no_number(entries, tags)
    return entries


def _shown_empty(level: Level, entries: dict[int, Entry]) -> tuple[int, ...]:
    """What Orthanc writes down although there is nothing to write."""
    if level is Level.INSTANCE and entries.get(_ORIGIN, ("",))[0] == "RestApi":
        return (_REMOTE_AET, _USERNAME)
    return (_REMOTE_AET,) if level >= Level.SERIES else ()


def _add_index_that_is_no_number(entries: dict[int, Entry], tags: str) -> None:
    """``IndexInSeries`` is the text of a tag, whatever it is; the column knows numbers only."""
    values = orjson.loads(tags)
    text = values.get(_INSTANCE_NUMBER, values.get(_IMAGE_INDEX))
    if text is not None:
        entries[_INDEX_IN_SERIES] = Entry(text.strip(), 0)


def put(
    tx: Transaction,
    level: Level,
    orthanc_id: str,
    number: int,
    value: str,
    *,
    claimed: Revision | None = None,
    required: bool = False,
) -> Revision:
    """Set metadata that is not a column; its new state. See ``revisions`` for the last two.

    Raises ``UnknownResource``, ``BadRevision``, ``TooLarge``.
    """
    row = row_of(tx, level, orthanc_id)
    current = _entry(tx, row, number)
    if current is not None:
        revisions.check(current.state, claimed, required=required)
    _check_room(tx, row, number, value)
    entry = Entry(value, 0 if current is None else current.revision + 1)
    tx.run(
        "INSERT INTO metadata (resource, type, value, revision) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (resource, type) DO UPDATE"
        " SET value = excluded.value, revision = excluded.revision",
        (row, number, entry.value, entry.revision),
    )
    log_change(tx, ChangeType.UpdatedMetadata, level, row)
    return entry.state


def remove(
    tx: Transaction,
    level: Level,
    orthanc_id: str,
    number: int,
    *,
    claimed: Revision | None = None,
    required: bool = False,
) -> None:
    """Forget metadata that is not a column. Raises ``UnknownResource`` when the resource or the
    metadata is unknown, ``BadRevision``."""
    row = row_of(tx, level, orthanc_id)
    current = _entry(tx, row, number)
    if current is None:
        raise UnknownResource
    revisions.check(current.state, claimed, required=required)
    tx.run("DELETE FROM metadata WHERE resource = ? AND type = ?", (row, number))
    log_change(tx, ChangeType.UpdatedMetadata, level, row)


def _entry(tx: Transaction, row: int, number: int) -> Entry | None:
    found = tx.one(
        "SELECT value, revision FROM metadata WHERE resource = ? AND type = ?", (row, number)
    )
    return Entry(*found) if found else None


def _check_room(tx: Transaction, row: int, number: int, value: str) -> None:
    others = tx.one(
        "SELECT count(*), coalesce(sum(length(value)), 0) FROM metadata"
        " WHERE resource = ? AND type <> ?",
        (row, number),
    )
    assert others is not None
    if others[0] >= limits.METADATA_OF_RESOURCE:
        raise TooLarge(f"A resource has at most {limits.METADATA_OF_RESOURCE} metadata")
    if others[1] + len(value) > limits.METADATA_OF_RESOURCE_CHARACTERS:
        raise TooLarge(
            "The metadata of one resource have at most"
            f" {limits.METADATA_OF_RESOURCE_CHARACTERS} characters"
        )
