"""Transitions of jobs. Each is one guarded statement of this module, and a line in the log.

    insert ─▶ Pending ──claim──▶ Running ──finish──▶ Success
                ▲ ▲ │            ▲ │  └────finish──▶ Failure ──resubmit─▶ Pending
                │ │ │      claim │ └──postpone──▶ Retry
                │ │ │            └────────────────┘ when its time has come
                │ │ └─pause─▶ Paused ◀── release, adopt of a job that is to pause
                │ └──resume──┘
                └── release, adopt

``cancel`` leads from every state but Success and Failure to Failure, ``pause`` from Retry too.

``owner`` is the process that runs a job, or that settles it after a failure; its lease is
that of the process (table ``processes``). ``requested`` is what has still to happen to it:

* ``cancel``, ``pause``: a Running job has not obeyed yet;
* ``settle``: the job ended in Failure and its handler has still to release what it held. The
  checkpoint stays until then, nobody may claim the job, and history does not forget it;
* ``forget``: the same, and somebody removed the job: nobody sees it any more.

A statement names in its WHERE clause the state, and the owner where there is one, from which it
starts; it returns whether it found the row so. Thus of two processes that want the same
transition one wins, and a process that lost its lease changes nothing any more.

Not here: reading (``job_rows``), threads, handlers, when to do what (``jobs.engine``).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from wherry import limits
from wherry.errors import JobCanceled
from wherry.index import job_events, job_outputs
from wherry.index.database import Transaction
from wherry.index.job_rows import COLUMNS, VISIBLE, job_of, time_text, values_of
from wherry.model import Job, JobState

_WAITING = "state = 'Pending' AND requested = '' AND owner = ''"
_DUE = "state = 'Retry' AND requested = '' AND owner = '' AND retry_at <= ?"
_SETTLE = "requested IN ('settle', 'forget')"
_UNSETTLED = f"{_SETTLE} AND owner IN ('', ?)"


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a run has come, as its owner writes it down."""

    content: str
    """JSON text of the public content."""
    progress: float
    """0…1."""
    runtime_s: float
    """Time in state Running since the (re)submission."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended for good."""

    state: JobState
    """Success or Failure."""
    code: int = 0
    details: str = ""


@dataclass(frozen=True, slots=True)
class Postponement:
    """A run met a temporary failure; another one shall begin at ``at``."""

    code: int
    details: str
    attempts: int
    """Such failures in a row, this one counted."""
    at: datetime


# --- Waiting and running -------------------------------------------------------------------


def insert(tx: Transaction, job: Job) -> None:
    """Write a new job down."""
    values = values_of(job)
    tx.run(f"INSERT INTO jobs ({COLUMNS}) VALUES ({', '.join('?' * len(values))})", values)
    told = (job.id, job.type, job.state.value, job.error_code, job.error_details)
    job_events.add(tx, [told], job.created_at)


def claimable(tx: Transaction, types: Collection[str], now: datetime) -> bool:
    """Whether ``claim`` would find a job."""
    due = tx.one(f"SELECT 1 FROM jobs WHERE {_DUE} AND type IN ?", (time_text(now), list(types)))
    return due is not None or _first(tx, _WAITING, (), types, ()) is not None


def claim(
    tx: Transaction, owner: str, types: Collection[str], busy: Collection[str], now: datetime
) -> Job | None:
    """Make the first waiting job Running under ``owner``: highest priority, then oldest.

    Only jobs of ``types`` count, and none of ``busy``: those that a thread of this process still
    works at although it lost them. Jobs in Retry whose time has come are Pending from here on.
    """
    at = time_text(now)
    _move(tx, "state = 'Pending', retry_at = NULL, changed_at = ?", _DUE, (at, at), now)
    job_id = _first(tx, _WAITING, (), types, busy)
    if job_id is None:
        return None
    _move(
        tx,
        "state = 'Running', owner = ?, changed_at = ?, error_code = 0, error_details = ''",
        f"id = ? AND {_WAITING}",
        (owner, at, job_id),
        now,
    )
    row = tx.one(f"SELECT {COLUMNS} FROM jobs WHERE id = ?", (job_id,))
    return job_of(row) if row else None


def save(
    tx: Transaction,
    job_id: str,
    owner: str,
    standing: Standing,
    now: datetime,
    checkpoint: str | None = None,
) -> bool:
    """Write down how far ``owner`` has come; ``checkpoint`` (JSON text) None leaves the old one."""
    columns = "content = ?, progress = ?, runtime_s = ?, changed_at = ?"
    values: list[Any] = [standing.content, standing.progress, standing.runtime_s, time_text(now)]
    if checkpoint is not None:
        columns += ", checkpoint = ?"
        values.append(checkpoint)
    return (
        tx.run(
            f"UPDATE jobs SET {columns} WHERE id = ? AND state = 'Running' AND owner = ?",
            (*values, job_id, owner),
        )
        > 0
    )


def finish(
    tx: Transaction, job_id: str, owner: str, standing: Standing, ending: Ending, now: datetime
) -> bool:
    """Running → Success or Failure, with what the run last reported."""
    if not save(tx, job_id, owner, standing, now):
        return False
    columns = (
        "progress = 1, checkpoint = '{}', requested = ''"
        if ending.state is JobState.SUCCESS
        else "requested = 'settle'"
    )
    moved = _move(
        tx,
        "state = ?, error_code = ?, error_details = ?, completed_at = ?, attempts = 0, owner = '',"
        f" {columns}",
        "id = ? AND state = 'Running' AND owner = ?",
        (ending.state.value, ending.code, ending.details, time_text(now), job_id, owner),
        now,
    )
    return bool(moved)


def postpone(
    tx: Transaction,
    job_id: str,
    owner: str,
    standing: Standing,
    postponement: Postponement,
    now: datetime,
) -> bool:
    """Running → Retry; Failure or Paused where that was requested meanwhile."""
    if not save(tx, job_id, owner, standing, now):
        return False
    mine = ("id = ? AND owner = ?", (job_id, owner))
    if _obey(tx, *mine, now):
        return True
    why = postponement
    moved = _move(
        tx,
        "state = 'Retry', error_code = ?, error_details = ?, attempts = ?, retry_at = ?,"
        " changed_at = ?, owner = ''",
        f"state = 'Running' AND {mine[0]}",
        (why.code, why.details, why.attempts, time_text(why.at), time_text(now), *mine[1]),
        now,
    )
    return bool(moved)


def release(tx: Transaction, job_id: str, owner: str, standing: Standing, now: datetime) -> bool:
    """An interrupted run ends: Failure or Paused where that was requested, else Pending."""
    if not save(tx, job_id, owner, standing, now):
        return False
    return _let_go(tx, "id = ? AND owner = ?", (job_id, owner), now) > 0


def adopt(tx: Transaction, dead: Collection[str], living: str, now: datetime) -> int:
    """Let go of all jobs whose owner is among ``dead`` or not registered as a process any more.

    ``living`` is the caller, registered or not. Returns how many were Running.
    """
    guard = (
        "owner <> '' AND (owner IN ? OR (owner <> ? AND owner NOT IN (SELECT id FROM processes)))"
    )
    params = (list(dead), living)
    tx.run(f"UPDATE jobs SET owner = '' WHERE {_SETTLE} AND {guard}", params)
    return _let_go(tx, guard, params, now)


# --- What people ask for -------------------------------------------------------------------


def cancel(tx: Transaction, job_id: str, now: datetime) -> bool:
    """The job is to end in Failure; at once, or when its run obeys. False = no such job."""
    if _give_up(tx, "id = ?", (job_id,), "", now):
        return True
    tx.run("UPDATE jobs SET requested = 'cancel' WHERE id = ? AND state = 'Running'", (job_id,))
    return _exists(tx, job_id)


def give_up_waiting(
    tx: Transaction, details: str, now: datetime, but: Collection[str] = ()
) -> bool:
    """Cancel every job that is not Running and has not ended, but those of types ``but``; whether
    there was one."""
    return _give_up(tx, "owner = '' AND NOT type IN ?", (list(but),), details, now)


def pause(tx: Transaction, job_id: str, now: datetime) -> bool:
    """The job is to wait for ``resume``; a cancel that is under way wins. False = no such job."""
    waiting = _move(
        tx,
        "state = 'Paused', retry_at = NULL, changed_at = ?",
        "id = ? AND state IN ('Pending', 'Retry')",
        (time_text(now), job_id),
        now,
    )
    if waiting:
        return True
    tx.run(
        "UPDATE jobs SET requested = 'pause'"
        " WHERE id = ? AND state = 'Running' AND requested <> 'cancel'",
        (job_id,),
    )
    return _exists(tx, job_id)


def resume(tx: Transaction, job_id: str, now: datetime) -> bool:
    """Paused → Pending, at its old place in the queue."""
    columns, at = "state = 'Pending', attempts = 0, changed_at = ?", time_text(now)
    return bool(_move(tx, columns, "id = ? AND state = 'Paused'", (at, job_id), now))


def resubmit(tx: Transaction, job_id: str, now: datetime) -> bool:
    """Failure → Pending, from zero. What it says of itself, and its error, stay visible until the
    job runs again."""
    moved = _move(
        tx,
        "state = 'Pending', progress = 0, runtime_s = 0,"
        " completed_at = NULL, changed_at = ?,"
        " checkpoint = CASE WHEN requested = 'settle' THEN checkpoint ELSE '{}' END",
        f"id = ? AND state = 'Failure' AND {VISIBLE}",
        (time_text(now), job_id),
        now,
    )
    return bool(moved)


def remove(tx: Transaction, job_id: str) -> bool:
    """Forget a job that has ended, and its outputs; the row of one that is not settled goes when it
    is."""
    ended = f"id = ? AND state IN ('Success', 'Failure') AND {VISIBLE}"
    later = f"UPDATE jobs SET requested = 'forget' WHERE requested = 'settle' AND {ended}"
    at_once = f"DELETE FROM jobs WHERE {ended}"
    found = tx.run(later, (job_id,)) > 0 or tx.run(at_once, (job_id,)) > 0
    if found:
        job_outputs.remove(tx, job_id)
    return found


# --- After the end -------------------------------------------------------------------------


def unsettled(tx: Transaction, owner: str, types: Collection[str]) -> bool:
    """Whether ``claim_unsettled`` would find a job."""
    return _first(tx, _UNSETTLED, (owner,), types, ()) is not None


def claim_unsettled(tx: Transaction, owner: str, types: Collection[str]) -> Job | None:
    """Take a job that has still to be settled, whatever its state is by now.

    One that ``owner`` has already is handed out again: a process settles one job at a time, so
    its last attempt must have failed.
    """
    job_id = _first(tx, _UNSETTLED, (owner,), types, ())
    if job_id is None:
        return None
    found = tx.run(
        f"UPDATE jobs SET owner = ? WHERE id = ? AND {_UNSETTLED}", (owner, job_id, owner)
    )
    row = tx.one(f"SELECT {COLUMNS} FROM jobs WHERE id = ?", (job_id,)) if found else None
    return job_of(row) if row else None


def settled(tx: Transaction, job_id: str, owner: str) -> bool:
    """The job holds nothing any more; its checkpoint is of no further use."""
    tx.run("DELETE FROM jobs WHERE id = ? AND requested = 'forget' AND owner = ?", (job_id, owner))
    return (
        tx.run(
            "UPDATE jobs SET requested = '', owner = '', checkpoint = '{}'"
            " WHERE id = ? AND requested = 'settle' AND owner = ?",
            (job_id, owner),
        )
        > 0
    )


def trim(tx: Transaction, keep: int) -> int:
    """Forget the oldest completions beyond ``keep`` with their outputs, except those not settled
    yet."""
    forgotten = tx.run(
        "DELETE FROM jobs WHERE requested = '' AND id IN (SELECT id FROM jobs"
        " WHERE completed_at IS NOT NULL ORDER BY completed_at DESC, seq DESC LIMIT ? OFFSET ?)",
        (limits.JOBS_TRIMMED, keep),
    )
    if forgotten:
        job_outputs.remove_lost(tx)
    return forgotten


# --- Inside --------------------------------------------------------------------------------


def _move(
    tx: Transaction, columns: str, guard: str, params: Sequence[Any], now: datetime
) -> list[tuple[Any, ...]]:
    """Bring the jobs of ``guard`` into another state, and log it; their rows of ``MOVED``."""
    sql = f"UPDATE jobs SET {columns} WHERE {guard} RETURNING {job_events.MOVED}"
    moved = tx.all(sql, params)
    job_events.add(tx, moved, now)
    return moved


def _first(
    tx: Transaction,
    guard: str,
    params: Sequence[Any],
    types: Collection[str],
    busy: Collection[str],
) -> str | None:
    """The job whose turn it is among those that ``guard`` lets through."""
    row = tx.one(
        f"SELECT id FROM jobs WHERE {guard} AND type IN ? AND NOT id IN ?"
        " ORDER BY priority DESC, seq LIMIT 1",
        (*params, list(types), list(busy)),
    )
    return str(row[0]) if row else None


def _let_go(tx: Transaction, guard: str, params: Sequence[Any], now: datetime) -> int:
    """Running → Failure, Paused or Pending, by what was requested; the number of jobs."""
    return _obey(tx, guard, params, now) + len(
        _move(
            tx,
            "state = 'Pending', changed_at = ?, owner = '', requested = ''",
            f"state = 'Running' AND {guard}",
            (time_text(now), *params),
            now,
        )
    )


def _obey(tx: Transaction, guard: str, params: Sequence[Any], now: datetime) -> int:
    """Running → Failure or Paused where that was requested; the number of jobs."""
    at = time_text(now)
    running = f"state = 'Running' AND {guard}"
    cancelled = _move(
        tx,
        "state = 'Failure', error_code = ?, error_details = '', completed_at = ?,"
        " changed_at = ?, owner = '', requested = 'settle'",
        f"requested = 'cancel' AND {running}",
        (JobCanceled.code, at, at, *params),
        now,
    )
    paused = _move(
        tx,
        "state = 'Paused', changed_at = ?, owner = '', requested = ''",
        f"requested = 'pause' AND {running}",
        (at, *params),
        now,
    )
    return len(cancelled) + len(paused)


def _give_up(
    tx: Transaction, guard: str, params: Sequence[Any], details: str, now: datetime
) -> bool:
    """Pending, Paused, Retry → Failure, as cancelled; whether there was such a job."""
    at = time_text(now)
    moved = _move(
        tx,
        "state = 'Failure', error_code = ?, error_details = ?, completed_at = ?, changed_at = ?,"
        " retry_at = NULL, requested = 'settle'",
        f"state IN ('Pending', 'Paused', 'Retry') AND {guard}",
        (JobCanceled.code, details, at, at, *params),
        now,
    )
    return bool(moved)


def _exists(tx: Transaction, job_id: str) -> bool:
    return tx.one(f"SELECT 1 FROM jobs WHERE id = ? AND {VISIBLE}", (job_id,)) is not None
