"""The instances below any resources, with their files and with the series that they are in.

For whoever takes a part of the store out whole: archives.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import orjson

from wherry.index.database import Transaction
from wherry.index.related import FILE, chain
from wherry.model import Attachment, Level


class HeldSeries(NamedTuple):
    """A series, and what is above it."""

    row: int
    ids: tuple[str, str, str]
    """Orthanc identifiers of patient, study, series."""
    tags: tuple[dict[str, str], dict[str, str], dict[str, str]]
    """Their main DICOM tags."""


class HeldInstance(NamedTuple):
    """An instance and its file."""

    row: int
    """Its number in the index, which ascends in order of arrival."""
    series: int
    """Row of its series."""
    orthanc_id: str
    transfer_syntax: str
    number: str
    """InstanceNumber as the index searches for it; empty when it is not there."""
    attachment: Attachment


def count_below(tx: Transaction, level: Level, ids: Collection[str]) -> int:
    """How many instances there are below these resources of one level."""
    row = tx.one(
        f"SELECT count(*) FROM {chain(level, Level.INSTANCE)} WHERE l{level:d}.orthanc_id IN ?",
        (list(ids),),
    )
    return int(row[0]) if row else 0


def instances_below(tx: Transaction, level: Level, ids: Collection[str]) -> list[HeldInstance]:
    """The instances below these resources of one level, themselves if they are instances."""
    rows = tx.all(
        f"SELECT l4.id, l4.parent, l4.orthanc_id, l4.transfer_syntax,"
        f" coalesce(l4.instance_number, ''), {FILE}"
        f" FROM {chain(level, Level.INSTANCE)}"
        " JOIN attachments a ON a.resource = l4.id AND a.content_type = 1"
        f" WHERE l{level:d}.orthanc_id IN ?",
        (list(ids),),
    )
    return [
        HeldInstance(row, series, orthanc_id, syntax, number, Attachment(*file))
        for row, series, orthanc_id, syntax, number, *file in rows
    ]


def series_of(tx: Transaction, rows: Collection[int]) -> list[HeldSeries]:
    """These series (rows) with what is above them."""
    found = tx.all(
        "SELECT l3.id, l1.orthanc_id, l2.orthanc_id, l3.orthanc_id, l1.tags, l2.tags, l3.tags"
        f" FROM {chain(Level.PATIENT, Level.SERIES)} WHERE l3.id IN ?",
        (list(rows),),
    )
    return [
        HeldSeries(
            row,
            (patient, study, series),
            (orjson.loads(first), orjson.loads(second), orjson.loads(third)),
        )
        for row, patient, study, series, first, second, third in found
    ]
