"""What jobs have brought forth: files of the storage area, one row each.

A file is named in a block that belongs to its job while it is being made (``staging``), and by a
row here from the moment it is whole. Rows that go leave their file to the journal of deletions.

Not here: who makes them, how many are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wherry.index import deletions
from wherry.index.database import Transaction
from wherry.model import JobOutput

_COLUMNS = ("job_id", "key", "uuid", "place", "size", "media_type", "file_name")


def add(tx: Transaction, output: JobOutput, keep: int | None) -> None:
    """A new output; of all with this key, the ``keep`` newest stay, or all (None)."""
    row = (
        output.job_id,
        output.key,
        output.uuid,
        output.place,
        output.size,
        output.media_type,
        output.file_name,
    )
    tx.insert("job_outputs", _COLUMNS, [row])
    if keep is not None:
        newest = "SELECT seq FROM job_outputs WHERE key = ? ORDER BY seq DESC LIMIT ?"
        _forget(tx, f"key = ? AND seq NOT IN ({newest})", [output.key, output.key, keep])


def get(tx: Transaction, job_id: str, key: str) -> JobOutput | None:
    """An output of a job, or None."""
    row = tx.one(
        f"SELECT {', '.join(_COLUMNS)} FROM job_outputs WHERE job_id = ? AND key = ?",
        (job_id, key),
    )
    return JobOutput(*row) if row else None


def remove(tx: Transaction, job_id: str, key: str | None = None) -> bool:
    """Forget an output of a job, or all of them. False = there was none."""
    if key is None:
        return _forget(tx, "job_id = ?", [job_id])
    return _forget(tx, "job_id = ? AND key = ?", [job_id, key])


def remove_lost(tx: Transaction) -> bool:
    """Forget the outputs of jobs that are forgotten themselves."""
    return _forget(tx, "NOT EXISTS (SELECT 1 FROM jobs j WHERE j.id = job_id)", [])


def _forget(tx: Transaction, condition: str, params: Sequence[Any]) -> bool:
    rows = tx.all(f"DELETE FROM job_outputs WHERE {condition} RETURNING uuid, place", params)
    deletions.add(tx, rows)
    return bool(rows)
