"""The log of exports: which resources were given to other servers (``LogExportedResources``).

A line says what it is about by itself, so it outlives the resource. Numbers are never given twice.

Not here: who sends (``peers``), and whether the log is wanted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import orjson

from wherry import clock
from wherry.errors import UnknownResource
from wherry.index import totals
from wherry.index.database import Transaction
from wherry.model import Level

COLUMNS = (
    "seq",
    "date",
    "level",
    "orthanc_id",
    "remote_modality",
    "patient_id",
    "study_instance_uid",
    "series_instance_uid",
    "sop_instance_uid",
)
_SELECT = f"SELECT {', '.join(COLUMNS)} FROM exports"
_TAGS: Final = ("0010,0020", "0020,000d", "0020,000e", "0008,0018")
"""What names a resource of each level."""


@dataclass(frozen=True, slots=True)
class Export:
    """One line of the log."""

    seq: int
    date: str
    level: Level
    orthanc_id: str
    remote: str
    """Name of the peer or modality."""
    identifiers: tuple[str, ...]
    """PatientID, Study, Series and SOP Instance UID, down to the level."""


def add(tx: Transaction, level: Level, orthanc_id: str, remote: str) -> None:
    """A resource was handed to ``remote``, a peer or a modality. Raises ``UnknownResource``."""
    names = _names(tx, level, orthanc_id)
    counters = totals.load(tx)
    counters.export_seq += 1
    date = clock.orthanc_date(clock.now())
    row = (counters.export_seq, date, int(level), orthanc_id, remote, *names)
    tx.insert("exports", COLUMNS, [row])
    totals.save(tx, counters)


def page(tx: Transaction, since: int, limit: int) -> tuple[list[Export], bool, int]:
    """At most ``limit`` lines after number ``since``; whether these are the last there are; and
    the number to go on from: that of the last one, on an empty page of the last in the log."""
    rows = tx.all(f"{_SELECT} WHERE seq > ? ORDER BY seq LIMIT ?", (since, limit + 1))
    found = [_export(row) for row in rows[:limit]]
    return found, len(rows) <= limit, found[-1].seq if found else _newest(tx)


def last(tx: Transaction) -> Export | None:
    """The latest line."""
    row = tx.one(f"{_SELECT} ORDER BY seq DESC LIMIT 1")
    return _export(row) if row else None


def clear(tx: Transaction) -> None:
    """Empty the log; the numbering goes on."""
    tx.run("DELETE FROM exports")


def _names(tx: Transaction, level: Level, orthanc_id: str) -> list[str]:
    """The values of ``_TAGS``, empty below ``level``."""
    tables = f"{level.plural} l{level:d}"
    for above in range(level - 1, 0, -1):
        tables += f" JOIN {Level(above).plural} l{above} ON l{above}.id = l{above + 1}.parent"
    tags = ", ".join(f"l{at}.tags" for at in range(1, level + 1))
    row = tx.one(f"SELECT {tags} FROM {tables} WHERE l{level:d}.orthanc_id = ?", (orthanc_id,))
    if row is None:
        raise UnknownResource
    found = [orjson.loads(text).get(tag, "") for text, tag in zip(row, _TAGS, strict=False)]
    return [name.replace("\0", "") for name in found] + [""] * (len(_TAGS) - level)


def _newest(tx: Transaction) -> int:
    row = tx.one("SELECT coalesce(max(seq), 0) FROM exports")
    assert row is not None
    return int(row[0])


def _export(row: tuple[object, ...]) -> Export:
    seq, date, level, orthanc_id, remote, *names = row
    at = Level(level)  # type: ignore[arg-type]
    return Export(seq, date, at, orthanc_id, remote, tuple(names[:at]))  # type: ignore[arg-type]
