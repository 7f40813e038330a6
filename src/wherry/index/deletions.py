"""The journal of files to remove: written with the change that makes them useless.

The files go after the commit; a crash between the two leaves the journal, and whoever reads it
next finishes the work.
"""

from __future__ import annotations

from collections.abc import Iterable

from wherry.index.database import Transaction


def add(tx: Transaction, uuids: Iterable[str]) -> None:
    """These files are needed no more. A name that is in the journal already stays once."""
    tx.many(
        "INSERT INTO deleted_files (uuid) VALUES (?) ON CONFLICT DO NOTHING",
        [(uuid,) for uuid in uuids],
    )


def pending(tx: Transaction, limit: int) -> list[str]:
    """At most ``limit`` files that wait for their removal."""
    rows = tx.all("SELECT uuid FROM deleted_files ORDER BY uuid LIMIT ?", (limit,))
    return [row[0] for row in rows]


def done(tx: Transaction, uuids: Iterable[str]) -> None:
    """These files are gone."""
    tx.run("DELETE FROM deleted_files WHERE uuid IN ?", (list(uuids),))
