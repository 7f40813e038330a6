"""Stored instances by the names that DICOM has for them, with their files.

A SOP Instance UID is unique in the world, yet two patients of a store may have it: then there are
several resources of that name.

Not here: searching (``search``), everything else about resources (``resources``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Final, NamedTuple

import orjson

from wherry import limits
from wherry.index.database import Transaction
from wherry.index.keys import search_key
from wherry.index.related import FILE
from wherry.model import Attachment

_SOP_INSTANCE: Final = "0008,0018"
_SELECT: Final = (
    f"SELECT r.id, r.orthanc_id, r.sop_class_uid, r.tags, {FILE} FROM instances r"
    " JOIN attachments a ON a.resource = r.id AND a.content_type = 1"
)


class SopInstance(NamedTuple):
    """One of them."""

    row: int
    orthanc_id: str
    sop_class: str
    sop_instance: str
    file: Attachment


def named(tx: Transaction, uids: Collection[str]) -> list[SopInstance]:
    """Those with one of these SOP Instance UIDs, in order of arrival."""
    keys = {search_key(_SOP_INSTANCE, uid) for uid in uids}
    found = _find(tx, "r.sop_instance_uid", sorted(keys))
    wanted = set(uids)
    return [one for one in found if one.sop_instance in wanted]


def of_resources(tx: Transaction, instance_ids: Collection[str]) -> list[SopInstance]:
    """Those with one of these Orthanc identifiers, in order of arrival."""
    return _find(tx, "r.orthanc_id", list(instance_ids))


def _find(tx: Transaction, column: str, values: Sequence[str]) -> list[SopInstance]:
    found = [
        SopInstance(
            row, orthanc_id, sop_class, orjson.loads(tags)[_SOP_INSTANCE], Attachment(*file)
        )
        for portion in _portions(values)
        for row, orthanc_id, sop_class, tags, *file in tx.all(
            f"{_SELECT} WHERE {column} IN ?", (portion,)
        )
    ]
    return sorted(found)


def _portions(values: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(values), limits.INDEX_ROWS_AT_ONCE):
        yield list(values[start : start + limits.INDEX_ROWS_AT_ONCE])
