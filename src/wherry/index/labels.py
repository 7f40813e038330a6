"""Labels: words that users put on resources, to find them again. A resource has each once.

A label consists of at most 64 letters and digits of ASCII, ``-`` and ``_``: so it is inert
wherever it is shown.

Not here: searching by labels (``search``).
"""

from __future__ import annotations

import re
from typing import Final

from wherry import limits
from wherry.errors import TooLarge
from wherry.index.database import Transaction
from wherry.index.rooted import row_of
from wherry.model import Level

_LABEL: Final = re.compile(rf"[A-Za-z0-9_-]{{1,{limits.LABEL_CHARACTERS}}}")


def is_label(text: str) -> bool:
    """Whether this may be a label."""
    return _LABEL.fullmatch(text) is not None


def of_one(tx: Transaction, level: Level, orthanc_id: str) -> list[str]:
    """The labels of a resource, in order. Raises ``UnknownResource``."""
    rows = tx.all(
        "SELECT label FROM labels WHERE resource = ? ORDER BY label",
        (row_of(tx, level, orthanc_id),),
    )
    return [row[0] for row in rows]


def has(tx: Transaction, level: Level, orthanc_id: str, label: str) -> bool:
    """Whether a resource has a label. Raises ``UnknownResource``."""
    row = row_of(tx, level, orthanc_id)
    return tx.one("SELECT 1 FROM labels WHERE resource = ? AND label = ?", (row, label)) is not None


def put(tx: Transaction, level: Level, orthanc_id: str, label: str) -> None:
    """Put a label on a resource, which may have it. Raises ``UnknownResource``, ``TooLarge``."""
    row = row_of(tx, level, orthanc_id)
    count = tx.one("SELECT count(*) FROM labels WHERE resource = ? AND label <> ?", (row, label))
    assert count is not None
    if count[0] >= limits.LABELS_OF_RESOURCE:
        raise TooLarge(f"A resource has at most {limits.LABELS_OF_RESOURCE} labels")
    tx.run(
        "INSERT INTO labels (resource, label) VALUES (?, ?) ON CONFLICT DO NOTHING", (row, label)
    )


def remove(tx: Transaction, level: Level, orthanc_id: str, label: str) -> None:
    """Take a label off a resource, which may be without it. Raises ``UnknownResource``."""
    row = row_of(tx, level, orthanc_id)
    tx.run("DELETE FROM labels WHERE resource = ? AND label = ?", (row, label))


def all_labels(tx: Transaction) -> list[str]:
    """Every label that a resource has, once, in order."""
    return [row[0] for row in tx.all("SELECT DISTINCT label FROM labels ORDER BY label")]
