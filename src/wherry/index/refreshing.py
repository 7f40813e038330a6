"""Describing instances anew from what their files hold: tags, search keys and what follows.

Identifiers, metadata of users, labels, attachments and the log of changes stay as they are.

Not here: reading the files, and their identity (``ingest.reconstruction``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from wherry.index import completeness, signing
from wherry.index.database import Transaction
from wherry.index.keys import COLUMNS, STUDY_PATIENT_COLUMNS, column_keys, level_keys
from wherry.index.rows import tags_text
from wherry.model import Level, Summary


@dataclass(frozen=True, slots=True)
class Read:
    """What a file said, and which file that was."""

    uuid: str
    summary: Summary


def refresh(
    tx: Transaction,
    read: Sequence[Read],
    levels: Iterable[Level],
    signatures: Mapping[Level, str],
    described: Collection[int] = (),
) -> set[int]:
    """Write what was read to the rows of ``levels``, but not to those that are ``described``
    already; the rows written.

    Of several instances below a resource, the first describes it. An instance that is gone, or
    has another file by now, is left out.
    """
    written: set[int] = set()
    places = _places(tx, [one.summary.identifiers.instance for one in read])
    current = [
        (one.summary, place.rows)
        for one in read
        if (place := places.get(one.summary.identifiers.instance)) and place.uuid == one.uuid
    ]
    for level in levels:
        new: dict[int, Summary] = {}
        for summary, rows in current:
            if rows[level - 1] not in described:
                new.setdefault(rows[level - 1], summary)
        columns = _COLUMNS[level]
        assignments = ", ".join(f"{column} = ?" for column in columns)
        tx.many(
            f"UPDATE {level.plural} SET {assignments} WHERE id = ?",
            [(*_values(level, summary), row) for row, summary in new.items()],
        )
        signing.unsign(tx, new)
        signing.sign(tx, signatures, level, new)
        written.update(new)
    return written


class _Place(NamedTuple):
    uuid: str
    rows: tuple[int, int, int, int]


def _places(tx: Transaction, instances: list[str]) -> dict[str, _Place]:
    """File and rows of the four levels, by identifier of the instance."""
    found = tx.all(
        "SELECT i.orthanc_id, a.uuid, st.parent, se.parent, i.parent, i.id FROM instances i"
        " JOIN series se ON se.id = i.parent JOIN studies st ON st.id = se.parent"
        " JOIN attachments a ON a.resource = i.id AND a.content_type = 1 WHERE i.orthanc_id IN ?",
        (instances,),
    )
    return {row[0]: _Place(row[1], row[2:6]) for row in found}


_COLUMNS = {
    Level.PATIENT: ("tags", *COLUMNS[Level.PATIENT].values()),
    Level.STUDY: (
        "tags",
        "patient_tags",
        *COLUMNS[Level.STUDY].values(),
        *STUDY_PATIENT_COLUMNS.values(),
    ),
    Level.SERIES: ("tags", "expected_instances", *COLUMNS[Level.SERIES].values()),
    Level.INSTANCE: (
        "tags",
        "transfer_syntax",
        "sop_class_uid",
        "pixel_data_offset",
        "index_in_series",
        *COLUMNS[Level.INSTANCE].values(),
    ),
}


def _values(level: Level, summary: Summary) -> tuple[object, ...]:
    """The values of ``_COLUMNS[level]``."""
    tags = summary.tags_at(level)
    text, keys = tags_text(tags), level_keys(level, tags)
    if level is Level.PATIENT:
        return (text, *keys)
    if level is Level.STUDY:
        of_patient = summary.tags_at(Level.PATIENT)
        more = column_keys(STUDY_PATIENT_COLUMNS, of_patient)
        return (text, tags_text(of_patient), *keys, *more)
    if level is Level.SERIES:
        return (text, completeness.expected_instances(summary.tags), *keys)
    return (
        text,
        summary.transfer_syntax,
        summary.sop_class_uid,
        summary.pixel_data_offset,
        completeness.index_in_series(tags),
        *keys,
    )
