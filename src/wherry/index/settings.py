"""Settings that are changed while the server runs: JSON documents by name."""

from __future__ import annotations

from typing import Final

import orjson

from wherry.index.database import Transaction
from wherry.model import type_json

KEY_RING: Final = "key-ring"
"""An archive that has it holds encrypted files (``wherry.keyring``)."""


def get(tx: Transaction, key: str) -> type_json | None:
    """The document, or None when there is none."""
    row = tx.one("SELECT value FROM settings WHERE key = ?", (key,))
    return orjson.loads(row[0]) if row else None


def put(tx: Transaction, key: str, value: type_json) -> None:
    """Store the document, replacing an earlier one."""
    tx.run(
        "INSERT INTO settings (key, value) VALUES (?, ?)"
        " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (key, orjson.dumps(value).decode()),
    )


def count(tx: Transaction, key: str) -> int:
    """The next number of a counter; the first is 1."""
    number = int(get(tx, key) or 0) + 1
    put(tx, key, number)
    return number


def remove(tx: Transaction, key: str) -> None:
    """Forget the document. No error when there is none."""
    tx.run("DELETE FROM settings WHERE key = ?", (key,))
