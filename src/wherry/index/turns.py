"""Who waits for a slot for a push: since when, and when they asked last.

A row is all that is known of a waiting sender between two of its requests, so that all processes
know of it. Not here: who may go first (``transfers.turns``).
"""

from __future__ import annotations

from wherry.index.database import Transaction


def asked_at(tx: Transaction, holder: str) -> float | None:
    """Since when this one waits; None when it does not."""
    row = tx.one("SELECT asked_at FROM transfer_turns WHERE holder = ?", (holder,))
    return float(row[0]) if row else None


def waiting(tx: Transaction, since: float, holder: str) -> int:
    """Others who have asked since then."""
    row = tx.one(
        "SELECT COUNT(*) FROM transfer_turns WHERE seen_at >= ? AND holder <> ?", (since, holder)
    )
    return int(row[0]) if row else 0


def ahead(tx: Transaction, since: float, holder: str, asked_at: float) -> int:
    """Those of them who began to wait before that epoch second."""
    row = tx.one(
        "SELECT COUNT(*) FROM transfer_turns WHERE seen_at >= ? AND holder <> ?"
        " AND (asked_at < ? OR (asked_at = ? AND holder < ?))",
        (since, holder, asked_at, asked_at, holder),
    )
    return int(row[0]) if row else 0


def keep(tx: Transaction, holder: str, asked_at: float, seen_at: float) -> None:
    """This one waits."""
    remove(tx, holder)
    tx.insert("transfer_turns", ("holder", "asked_at", "seen_at"), [(holder, asked_at, seen_at)])


def remove(tx: Transaction, holder: str) -> None:
    """This one waits no more."""
    tx.run("DELETE FROM transfer_turns WHERE holder = ?", (holder,))


def forget(tx: Transaction, before: float) -> None:
    """Those who have not asked since then have given up."""
    tx.run("DELETE FROM transfer_turns WHERE seen_at < ?", (before,))
