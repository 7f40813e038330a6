"""When studies were read last, and which are wholly in the object storage already.

Rows are written by the day, not at each read; a study without one was not read since it came.

Not here: who notes a read (``moving.reads``), what follows from it (``moving.policy``).
"""

from __future__ import annotations

from collections.abc import Collection

from wherry.index.database import Transaction
from wherry.index.related import chain
from wherry.model import Level

_COLUMNS = ("resource", "read_at", "away_at")


def studies_of_files(tx: Transaction, uuids: Collection[str]) -> set[int]:
    """The rows of the studies that these files of instances are in; others are left out."""
    return {
        row[0]
        for row in tx.all(
            f"SELECT DISTINCT l2.id FROM {chain(Level.STUDY, Level.INSTANCE)}"
            " JOIN attachments a ON a.resource = l4.id WHERE a.uuid IN ?",
            (list(uuids),),
        )
    }


def read(tx: Transaction, studies: Collection[int], at: float) -> None:
    """These studies (rows) were read. Those that are gone are left out."""
    _note(tx, studies, "read_at", at)


def came_back(tx: Transaction, studies: Collection[int], at: float) -> None:
    """Files of these studies come to the file system, where they are wanted."""
    _note(tx, studies, "read_at", at)
    tx.run("UPDATE tiers SET away_at = 0 WHERE resource IN ?", (list(studies),))


def went_away(tx: Transaction, studies: Collection[int], at: float) -> None:
    """All files that these studies had then are in the object storage."""
    _note(tx, studies, "away_at", at)


def _note(tx: Transaction, studies: Collection[int], column: str, at: float) -> None:
    rows = list(studies)
    known = {
        row[0]
        for row in tx.all(
            f"UPDATE tiers SET {column} = ? WHERE resource IN ? RETURNING resource", (at, rows)
        )
    }
    alive = tx.all("SELECT id FROM studies WHERE id IN ?", (rows,))
    new = {"read_at": 0.0, "away_at": 0.0, column: at}
    tx.insert(
        "tiers",
        _COLUMNS,
        [(row, new["read_at"], new["away_at"]) for (row,) in alive if row not in known],
    )
