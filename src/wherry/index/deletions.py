"""The journal of files to remove: written with the change that makes them useless.

The files go after the commit; a crash between the two leaves the journal, and whoever reads it
next finishes the work. A file is known by its name and its place: one that was moved is removed
where it was.
"""

from __future__ import annotations

from collections.abc import Iterable

from wherry.index.database import Transaction

type_file = tuple[str, str]
"""UUID and place."""


def add(tx: Transaction, files: Iterable[type_file]) -> None:
    """These files are needed no more. One that is in the journal already stays once."""
    tx.many(
        "INSERT INTO deleted_files (uuid, place) VALUES (?, ?) ON CONFLICT DO NOTHING", list(files)
    )


def pending(tx: Transaction, limit: int) -> list[type_file]:
    """At most ``limit`` files that wait for their removal."""
    rows = tx.all("SELECT uuid, place FROM deleted_files ORDER BY uuid, place LIMIT ?", (limit,))
    return [(uuid, place) for uuid, place in rows]


def claim(tx: Transaction, owner: str, after: type_file, limit: int) -> list[type_file]:
    """At most ``limit`` files behind ``after`` that wait for their removal. They are ``owner``'s
    from now on, a process: while it lives nobody else removes them, and so nobody removes what has
    come back to the same place meanwhile."""
    rows = tx.all(
        "SELECT uuid, place, owner FROM deleted_files"
        " WHERE (owner = ? OR owner NOT IN (SELECT id FROM processes))"
        " AND (uuid, place) > (?, ?) ORDER BY uuid, place LIMIT ?",
        (owner, *after, limit),
    )
    new = [(owner, uuid, place) for uuid, place, holder in rows if holder != owner]
    tx.many("UPDATE deleted_files SET owner = ? WHERE uuid = ? AND place = ?", new)
    return [(uuid, place) for uuid, place, _ in rows]


def done(tx: Transaction, owner: str, files: Iterable[type_file]) -> None:
    """These files, of a ``claim`` of this owner, are gone. What others have claimed since, or is to
    be removed once more, stays in the journal."""
    tx.many(
        "DELETE FROM deleted_files WHERE uuid = ? AND place = ? AND owner = ?",
        [(uuid, place, owner) for uuid, place in files],
    )
