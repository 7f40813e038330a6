"""Taking over an Orthanc's index whole: its rows become ours, in one transaction.

Numbers are kept: those of resources ascend in order of arrival in both, and whoever follows the log
of changes goes on where he was. What was there is stable, and nobody is told anything. A crash
leaves nothing of it.

Not here: reading (``orthanc``), one row of it (``adopted_rows``), where the files lie, and what the
operator is told (``replication.adoption``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from wherry.errors import Conflict
from wherry.index import exports, rows, settings, totals
from wherry.index.adopted_rows import COLUMNS, Recycling, other_metadata, row, updated_at
from wherry.index.database import Transaction
from wherry.index.orthanc.reading import OrthancFile, OrthancIndex, OrthancResource
from wherry.index.totals import Totals
from wherry.model import ChangeType, Level

KNOWN_CHANGES: Final = frozenset(
    int(kind) for kind in ChangeType if kind is not ChangeType.StudyReceived
)
"""Types of changes that are taken over: all that Orthanc writes down."""

_SETTING: Final = "adopted"
_ACTIVITY: Final = ("resource", "level", "updated_at", "stable")
_METADATA: Final = ("resource", "type", "value", "revision")
_CHANGES: Final = ("seq", "change_type", "level", "resource", "date")

type_place = Callable[[OrthancFile], str]
"""Where a file lies, and in which form."""
type_tell = Callable[[int], None]
"""So many more resources are written."""
type_declared = Mapping[str, Mapping[str, Any]]
"""Peers and modalities that REST has declared: name of the setting → entries by name."""


def adopt(
    tx: Transaction,
    source: OrthancIndex,
    place_of: type_place,
    declared: type_declared,
    mark: Mapping[str, Any],
    tell: type_tell,
) -> None:
    """Write everything; ``mark`` is what ``adopted`` answers from now on. Raises ``Conflict`` when
    the index holds something already."""
    check_empty(tx)
    counters = totals.load(tx)
    recycling = Recycling(source.recycling_order())
    for level in Level:
        for portion in source.resources(level):
            _write(tx, level, portion, recycling)
            setattr(counters, level.plural, getattr(counters, level.plural) + len(portion))
            tell(len(portion))
    for files in source.files():
        _attach(tx, counters, [one for one in files if not one.problem], place_of)
    for labels in source.labels():
        tx.insert("labels", ("resource", "label"), labels)
    for log in source.changes():
        tx.insert("changes", _CHANGES, [one for one in log if one.change_type in KNOWN_CHANGES])
    for lines in source.exports():
        tx.insert("exports", exports.COLUMNS, lines)
    counters.next_id = max(counters.next_id, source.highest("Resources", "internalId") + 1)
    counters.change_seq = max(counters.change_seq, source.highest("Changes", "seq"))
    counters.export_seq = max(counters.export_seq, source.highest("ExportedResources", "seq"))
    totals.save(tx, counters)
    for key, entries in declared.items():
        if entries:
            settings.put(tx, key, {**entries, **(settings.get(tx, key) or {})})
    settings.put(tx, _SETTING, dict(mark))


def adopted(tx: Transaction) -> dict[str, Any] | None:
    """The ``mark`` of what was adopted; None when nothing was."""
    found = settings.get(tx, _SETTING)
    return found if isinstance(found, dict) else None


def is_empty(tx: Transaction) -> bool:
    """Whether no patient is stored."""
    return not totals.load(tx).patients


def check_empty(tx: Transaction) -> None:
    """Raises ``Conflict`` when the index holds something: nothing can be adopted into it."""
    if not is_empty(tx) or any(
        tx.one(f"SELECT 1 FROM {table} LIMIT 1") for table in ("changes", "exports")
    ):
        raise Conflict("Wherry's index holds something already: adopting begins with an empty one")


def _write(
    tx: Transaction, level: Level, portion: list[OrthancResource], recycling: Recycling
) -> None:
    tx.insert(level.plural, COLUMNS[level], [row(level, one, recycling) for one in portion])
    if level is not Level.INSTANCE:
        tx.insert(
            "activity", _ACTIVITY, [(one.row, int(level), updated_at(one), 1) for one in portion]
        )
    tx.insert(
        "metadata", _METADATA, [line for one in portion for line in other_metadata(level, one)]
    )


def _attach(
    tx: Transaction, counters: Totals, files: list[OrthancFile], place_of: type_place
) -> None:
    tx.insert(
        "attachments",
        rows.ATTACHMENT,
        [
            rows.attachment(replace(one.attachment, place=place_of(one)), one.resource)
            for one in files
        ],
    )
    counters.disk_bytes += sum(one.attachment.compressed_size for one in files)
    counters.uncompressed_bytes += sum(one.attachment.uncompressed_size for one in files)
