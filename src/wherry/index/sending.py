"""What is sent somewhere, to a peer or a modality: which files that is, and the log of it.

Not here: the sending (``peers``, ``modalities``), one line of the log (``exports``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

import orjson

from wherry import limits
from wherry.errors import UnknownResource
from wherry.index import exports, resources
from wherry.index.database import Index, Transaction
from wherry.model import Attachment, Level

T = TypeVar("T")

_SOP_UID: Final = "0008,0018"


def files_of(tx: Transaction, ids: Sequence[str]) -> list[tuple[str, Attachment]]:
    """The instances of these resources of any level with their files, sorted by identifier, each
    once. Raises ``UnknownResource``."""
    found: dict[str, Attachment] = {}
    for portion in portions(ids):
        levels = levels_of(tx, portion)
        found |= resources.files_of(tx, [one for one in portion if levels[one] is Level.INSTANCE])
        for orthanc_id in portion:
            if levels[orthanc_id] is not Level.INSTANCE:
                found.update(resources.files_under(tx, levels[orthanc_id], orthanc_id) or ())
    return sorted(found.items())


def encodings_of(tx: Transaction, ids: Sequence[str]) -> dict[str, tuple[str, str]]:
    """SOP class and transfer syntax of these instances; unknown ones are left out, and what the
    index does not know is empty."""
    found: dict[str, tuple[str, str]] = {}
    for portion in portions(ids):
        rows = tx.all(
            "SELECT orthanc_id, sop_class_uid, transfer_syntax FROM instances"
            " WHERE orthanc_id IN ?",
            (list(portion),),
        )
        found |= {row[0]: (row[1] or "", row[2] or "") for row in rows}
    return found


def sop_pairs(tx: Transaction, ids: Sequence[str]) -> list[tuple[str, str]]:
    """SOP class and SOP instance UID of these instances, in this order; unknown ones are left
    out."""
    found: dict[str, tuple[str, str]] = {}
    for portion in portions(ids):
        rows = tx.all(
            "SELECT orthanc_id, sop_class_uid, tags FROM instances WHERE orthanc_id IN ?",
            (list(portion),),
        )
        found |= {row[0]: (row[1] or "", orjson.loads(row[2]).get(_SOP_UID, "")) for row in rows}
    return [found[one] for one in ids if one in found]


def log_exports(index: Index, ids: Sequence[str], remote: str) -> None:
    """Note for ``GET /exports`` what is given to ``remote``, a peer or a modality. Raises
    ``UnknownResource``."""
    for portion in portions(ids):

        def work(tx: Transaction, portion: Sequence[str] = portion) -> None:
            levels = levels_of(tx, portion)
            for orthanc_id in portion:
                exports.add(tx, levels[orthanc_id], orthanc_id, remote)

        index.write(work)


def levels_of(tx: Transaction, ids: Sequence[str]) -> dict[str, Level]:
    """The level of each resource. Raises ``UnknownResource``."""
    levels = resources.locate(tx, ids)
    for orthanc_id in ids:
        if orthanc_id not in levels:
            raise UnknownResource(f"{orthanc_id[:64]} is not stored here")
    return levels


def portions(ids: Sequence[T]) -> Iterator[Sequence[T]]:
    """As many at once as a statement should have."""
    for start in range(0, len(ids), limits.INDEX_ROWS_AT_ONCE):
        yield ids[start : start + limits.INDEX_ROWS_AT_ONCE]
