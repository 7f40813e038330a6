"""Items of modality worklists that came over REST.

Not here: what a document holds (``wherry.worklists``), files in a folder.
"""

from __future__ import annotations

from typing import NamedTuple

from wherry.index.database import Transaction
from wherry.index.keys import search_key

_STUDY_INSTANCE_UID = "0020,000d"


class WorklistRow(NamedTuple):
    """One item."""

    seq: int
    """Ascends in order of arrival."""
    id: str
    document: str


def count(tx: Transaction) -> int:
    """How many there are."""
    row = tx.one("SELECT count(*) FROM worklists")
    return int(row[0]) if row else 0


def add(tx: Transaction, item_id: str, study: str, created_at: float, document: str) -> None:
    """A new item. ``study``: its StudyInstanceUID; ``created_at``: seconds since 1970."""
    tx.run(
        "INSERT INTO worklists (id, study_instance_uid, created_at, document) VALUES (?, ?, ?, ?)",
        (item_id, search_key(_STUDY_INSTANCE_UID, study), created_at, document),
    )


def replace(tx: Transaction, item_id: str, study: str, document: str) -> bool:
    """Another content for an item; whether there is one."""
    return bool(
        tx.run(
            "UPDATE worklists SET study_instance_uid = ?, document = ? WHERE id = ?",
            (search_key(_STUDY_INSTANCE_UID, study), document, item_id),
        )
    )


def get(tx: Transaction, item_id: str) -> WorklistRow | None:
    """One item, or None."""
    row = tx.one("SELECT seq, id, document FROM worklists WHERE id = ?", (item_id,))
    return WorklistRow(*row) if row else None


def after(tx: Transaction, seq: int, limit: int) -> list[WorklistRow]:
    """At most ``limit`` items behind number ``seq``, the oldest first."""
    rows = tx.all(
        "SELECT seq, id, document FROM worklists WHERE seq > ? ORDER BY seq LIMIT ?", (seq, limit)
    )
    return [WorklistRow(*row) for row in rows]


def remove(tx: Transaction, item_id: str) -> bool:
    """Forget an item; whether there was one."""
    return bool(tx.run("DELETE FROM worklists WHERE id = ?", (item_id,)))


def remove_older(tx: Transaction, created_before: float) -> int:
    """Forget what came before (seconds since 1970); how many went."""
    return tx.run("DELETE FROM worklists WHERE created_at < ?", (created_before,))


def remove_done(tx: Transaction) -> int:
    """Forget the items whose study is here and stable; how many went."""
    return tx.run(
        "DELETE FROM worklists WHERE study_instance_uid <> '' AND study_instance_uid IN"
        " (SELECT s.study_instance_uid FROM studies s JOIN activity a ON a.resource = s.id"
        " WHERE a.stable = 1 AND s.study_instance_uid IN"
        " (SELECT w.study_instance_uid FROM worklists w))"
    )
