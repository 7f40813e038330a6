"""The receipts of transfers that were committed here, and those that other servers gave us.

A row is written in the transaction that makes the instances visible, and never changed.
"""

from __future__ import annotations

from dataclasses import dataclass

from wherry.index.database import Transaction


@dataclass(frozen=True, slots=True)
class ReceiptRow:
    """One receipt."""

    seq: int
    """Ascends in order of arrival."""
    id: str
    """Of the transfer."""
    document: str
    """JSON, as it is given out."""


def add(tx: Transaction, receipt_id: str, document: str) -> None:
    """Keep a receipt. One that is here already stays as it is."""
    tx.run(
        "INSERT INTO receipts (id, document) VALUES (?, ?) ON CONFLICT (id) DO NOTHING",
        (receipt_id, document),
    )


def get(tx: Transaction, receipt_id: str) -> ReceiptRow | None:
    """One receipt, or None."""
    row = tx.one("SELECT seq, id, document FROM receipts WHERE id = ?", (receipt_id,))
    return ReceiptRow(*row) if row else None


def after(tx: Transaction, seq: int, limit: int) -> list[ReceiptRow]:
    """At most ``limit`` receipts behind number ``seq``, the oldest first."""
    rows = tx.all(
        "SELECT seq, id, document FROM receipts WHERE seq > ? ORDER BY seq LIMIT ?", (seq, limit)
    )
    return [ReceiptRow(*row) for row in rows]
