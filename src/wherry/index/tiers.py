"""When studies were read last, and which are wholly in the object storage already.

Rows are written by the day, not at each read; a study without one was not read since it came.
``away_at`` below zero is minus the time at which a study was brought back.

Not here: who notes a read (``moving.reads``), what follows from it (``moving.policy``).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

from wherry.index.database import Transaction
from wherry.index.related import chain
from wherry.model import Level

_COLUMNS = ("resource", "read_at", "away_at")

_LOCAL: Final = "(a.place = '' OR a.place LIKE 'file-system:%')"
_AWAY: Final = "a.place LIKE 'object-storage:%'"
_USED: Final = "CASE WHEN t.read_at > c.updated_at THEN t.read_at ELSE c.updated_at END"
"""When a study was read last, or added to."""
_NEAR: Final = (
    "FROM studies s JOIN activity c ON c.resource = s.id LEFT JOIN tiers t ON t.resource = s.id"
    " WHERE coalesce(t.away_at, 0) <= c.updated_at"
)
"""Studies of which files may be in the file system."""


class Candidate(NamedTuple):
    """A study that may have to go."""

    used_at: float
    """Seconds since 1970."""
    row: int
    orthanc_id: str


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
    tx.run("UPDATE tiers SET away_at = ? WHERE resource IN ?", (-at, list(studies)))


def went_away(tx: Transaction, studies: Collection[int], at: float) -> None:
    """All files that these studies had then are in the object storage."""
    _note(tx, studies, "away_at", at)


def used_least(
    tx: Transaction, before: float, after: tuple[float, int], limit: int
) -> list[Candidate]:
    """Studies of which files may be in the file system, those that were used longest ago first:
    behind ``after`` (time and row of the last one), and not used since ``before``."""
    rows = tx.all(
        f"SELECT u.used_at, u.id, u.orthanc_id"
        f" FROM (SELECT {_USED} AS used_at, s.id AS id, s.orthanc_id AS orthanc_id {_NEAR}) u"
        " WHERE u.used_at < ? AND (u.used_at, u.id) > (?, ?) ORDER BY u.used_at, u.id LIMIT ?",
        (before, *after, limit),
    )
    return [Candidate(*row) for row in rows]


def stable(tx: Transaction, limit: int, among: Collection[str] | None = None) -> list[str]:
    """Stable studies of which files may be in the file system, and were not brought there: of all,
    which means a look at each of them, or of these."""
    narrow, params = ("", []) if among is None else (" AND s.orthanc_id IN ?", [list(among)])
    rows = tx.all(
        f"SELECT s.orthanc_id {_NEAR} AND c.stable <> 0 AND -coalesce(t.away_at, 0) < c.updated_at"
        f"{narrow} ORDER BY s.id LIMIT ?",
        (*params, limit),
    )
    return [row[0] for row in rows]


def local_bytes(tx: Transaction) -> int:
    """Stored bytes in the file system. Looks at every file, so not to be asked all the time."""
    row = tx.one(f"SELECT coalesce(sum(a.compressed_size), 0) FROM attachments a WHERE {_LOCAL}")
    return int(row[0]) if row else 0


def local_bytes_of(tx: Transaction, studies: Collection[int]) -> dict[int, int]:
    """... of the instances of each of these studies (rows)."""
    rows = tx.all(
        f"SELECT l2.id, sum(a.compressed_size) FROM {chain(Level.STUDY, Level.INSTANCE)}"
        f" JOIN attachments a ON a.resource = l4.id WHERE l2.id IN ? AND {_LOCAL} GROUP BY l2.id",
        (list(studies),),
    )
    return {row: int(size) for row, size in rows}


def older_and_away(tx: Transaction, studies: Collection[str]) -> list[str]:
    """The other studies of the same patients of which files are in the object storage."""
    rows = tx.all(
        "SELECT DISTINCT o.orthanc_id FROM studies n JOIN studies o ON o.parent = n.parent"
        " JOIN series e ON e.parent = o.id JOIN instances i ON i.parent = e.id"
        f" JOIN attachments a ON a.resource = i.id AND {_AWAY}"
        " WHERE n.orthanc_id IN ? AND o.id < n.id ORDER BY o.orthanc_id",
        (list(studies),),
    )
    return [row[0] for row in rows if row[0] not in studies]


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
