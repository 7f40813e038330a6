"""The log of what became of jobs: a line for each change of state, in the same transaction.

It outlives the jobs, whose history is short, so that who follows it misses nothing between two
looks. Lines have ascending numbers; the last ``limits.JOB_EVENTS`` are kept.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final

from wherry import limits
from wherry.index.database import Transaction
from wherry.index.job_rows import time_text
from wherry.model import JobEvent, JobState

MOVED: Final = "id, type, state, error_code, error_details"
"""Columns of the jobs table that a line is made of."""
_LINE = ("job_id", "type", "state", "error_code", "error_details", "happened_at")


def add(tx: Transaction, moved: Sequence[tuple[Any, ...]], now: datetime) -> None:
    """These jobs (rows of ``MOVED``) are in a new state."""
    if not moved:
        return
    at = time_text(now)
    tx.insert("job_events", _LINE, [(*row, at) for row in moved])
    tx.run("DELETE FROM job_events WHERE seq <= ?", (last(tx) - limits.JOB_EVENTS,))


def last(tx: Transaction) -> int:
    """The number of the newest line; 0 when there was none."""
    row = tx.one("SELECT max(seq) FROM job_events")
    return int(row[0]) if row and row[0] is not None else 0


def after(tx: Transaction, seq: int, limit: int) -> list[JobEvent]:
    """At most ``limit`` lines behind number ``seq``, the oldest first."""
    return _lines(tx, "seq > ? ORDER BY seq LIMIT ?", (seq, limit))


def after_of(
    tx: Transaction, seq: int, limit: int, states: Collection[JobState], but: str
) -> list[JobEvent]:
    """``after``, of what came into one of ``states``; without jobs of type ``but``."""
    return _lines(
        tx,
        "seq > ? AND state IN ? AND type <> ? ORDER BY seq LIMIT ?",
        (seq, [state.value for state in states], but, limit),
    )


def _lines(tx: Transaction, guard: str, params: Sequence[Any]) -> list[JobEvent]:
    rows = tx.all(f"SELECT seq, {', '.join(_LINE)} FROM job_events WHERE {guard}", params)
    return [
        JobEvent(number, job_id, kind, JobState(state), code, details, datetime.fromisoformat(at))
        for number, job_id, kind, state, code, details, at in rows
    ]
