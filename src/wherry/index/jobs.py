"""Rows of the jobs table. Every transition of a job is one guarded statement of this module.

    insert ─▶ Pending ──claim──▶ Running ──finish──▶ Success
                ▲ ▲ │              │  └────finish──▶ Failure ──resubmit─▶ Pending
                │ │ └─pause─▶ Paused ◀─┤ release, adopt
                │ └──resume──┘     │
                └──────────────────┘ release, adopt

``cancel`` leads from every state but Success and Failure to Failure. ``Retry`` waits like
Pending and Paused do; nothing enters it yet.

Two columns say who may touch a row. ``owner`` is the process that works for the job; its lease
is that of the process (table ``processes``). ``requested`` is what has still to happen to it:

* ``cancel``, ``pause``: a Running job has not obeyed yet;
* ``settle``: the job ended in Failure and its handler has still to release what it held. The
  checkpoint stays until then, nobody may claim the job, and history does not forget it;
* ``forget``: the same, and somebody removed the job: nobody sees it any more.

A statement names in its WHERE clause the state, and the owner where there is one, from which it
starts; it returns whether it found the row so. Thus of two processes that want the same
transition one wins, and a process that lost its lease changes nothing any more.

Not here: threads, handlers, when to do what (see ``jobs.engine``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from wherry import limits
from wherry.errors import JobCanceled
from wherry.index.database import Transaction
from wherry.model import Job, JobState, type_json

_COLUMNS = (
    "id, type, state, priority, parameters, content, checkpoint, progress, created_at, changed_at,"
    " runtime_s, completed_at, error_code, error_details, owner, requested, username"
)
_WAITING = "state = 'Pending' AND requested = '' AND owner = ''"
_SETTLE = "requested IN ('settle', 'forget')"
_UNSETTLED = f"{_SETTLE} AND owner IN ('', ?)"
_VISIBLE = "requested <> 'forget'"


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


def json_text(value: Mapping[str, type_json]) -> str:
    """``value`` as the JSON text of a column. Raises ``TypeError`` when it is not JSON."""
    return orjson.dumps(dict(value)).decode()


# --- Reading -------------------------------------------------------------------------------


def get(tx: Transaction, job_id: str) -> Job | None:
    """One job, or None."""
    row = tx.one(f"SELECT {_COLUMNS} FROM jobs WHERE id = ? AND {_VISIBLE}", (job_id,))
    return _job(row) if row else None


def in_order_of_submission(tx: Transaction) -> list[Job]:
    """All jobs, oldest submission first."""
    rows = tx.all(f"SELECT {_COLUMNS} FROM jobs WHERE {_VISIBLE} ORDER BY seq")
    return [_job(row) for row in rows]


def in_order_of_id(tx: Transaction) -> list[Job]:
    """All jobs, in ascending text order of their identifiers (no database's collation)."""
    return sorted(in_order_of_submission(tx), key=lambda job: job.id)


def ids(tx: Transaction) -> list[str]:
    """All identifiers in ascending text order."""
    return sorted(str(row[0]) for row in tx.all(f"SELECT id FROM jobs WHERE {_VISIBLE}"))


def counts(tx: Transaction) -> dict[JobState, int]:
    """Number of jobs in each state, every state present."""
    found = dict(tx.all(f"SELECT state, COUNT(*) FROM jobs WHERE {_VISIBLE} GROUP BY state"))
    return {state: int(found.get(state, 0)) for state in JobState}


def pending_at_least(tx: Transaction, count: int) -> bool:
    """Whether ``count`` jobs or more are Pending; looks at no more than so many rows."""
    found = tx.one(
        "SELECT COUNT(*) FROM (SELECT 1 FROM jobs WHERE state = 'Pending' LIMIT ?) AS waiting",
        (count,),
    )
    return found is not None and int(found[0]) >= count


def requests(tx: Transaction, owner: str) -> dict[str, str]:
    """``requested`` of every job that ``owner`` runs; a job that is missing was lost."""
    rows = tx.all("SELECT id, requested FROM jobs WHERE state = 'Running' AND owner = ?", (owner,))
    return {str(job_id): str(requested) for job_id, requested in rows}


# --- Waiting and running -------------------------------------------------------------------


def insert(tx: Transaction, job: Job) -> None:
    """Write a new job down."""
    tx.run(
        f"INSERT INTO jobs ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            job.id,
            job.type,
            job.state.value,
            job.priority,
            json_text(job.parameters),
            json_text(job.content),
            json_text(job.checkpoint),
            job.progress,
            _text(job.created_at),
            _text(job.changed_at),
            job.runtime_s,
            _text(job.completed_at) if job.completed_at else None,
            job.error_code,
            job.error_details,
            job.owner,
            job.requested,
            job.username,
        ),
    )


def claimable(tx: Transaction, types: Collection[str]) -> bool:
    """Whether ``claim`` would find a job."""
    return _first(tx, _WAITING, (), types, ()) is not None


def claim(
    tx: Transaction, owner: str, types: Collection[str], busy: Collection[str], now: datetime
) -> Job | None:
    """Make the first waiting job Running under ``owner``: highest priority, then oldest.

    Only jobs of ``types`` count, and none of ``busy``: those that a thread of this process still
    works at although it lost them.
    """
    job_id = _first(tx, _WAITING, (), types, busy)
    if job_id is None:
        return None
    found = tx.run(
        "UPDATE jobs SET state = 'Running', owner = ?, changed_at = ?, error_code = 0,"
        f" error_details = '' WHERE id = ? AND {_WAITING}",
        (owner, _text(now), job_id),
    )
    return get(tx, job_id) if found else None


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
    values: list[Any] = [standing.content, standing.progress, standing.runtime_s, _text(now)]
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
    if ending.state is JobState.SUCCESS:
        columns = "progress = 1, checkpoint = '{}', requested = ''"
    else:
        columns = "requested = 'settle'"
    return (
        tx.run(
            f"UPDATE jobs SET state = ?, error_code = ?, error_details = ?, completed_at = ?,"
            f" owner = '', {columns} WHERE id = ? AND state = 'Running' AND owner = ?",
            (ending.state.value, ending.code, ending.details, _text(now), job_id, owner),
        )
        > 0
    )


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
    waiting = tx.run(
        "UPDATE jobs SET state = 'Failure', error_code = ?, error_details = '', completed_at = ?,"
        " changed_at = ?, requested = 'settle'"
        " WHERE id = ? AND state IN ('Pending', 'Paused', 'Retry')",
        (JobCanceled.code, _text(now), _text(now), job_id),
    )
    if waiting:
        return True
    tx.run("UPDATE jobs SET requested = 'cancel' WHERE id = ? AND state = 'Running'", (job_id,))
    return _exists(tx, job_id)


def pause(tx: Transaction, job_id: str, now: datetime) -> bool:
    """The job is to wait for ``resume``; a cancel that is under way wins. False = no such job."""
    waiting = tx.run(
        "UPDATE jobs SET state = 'Paused', changed_at = ?"
        " WHERE id = ? AND state IN ('Pending', 'Retry')",
        (_text(now), job_id),
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
    return (
        tx.run(
            "UPDATE jobs SET state = 'Pending', changed_at = ? WHERE id = ? AND state = 'Paused'",
            (_text(now), job_id),
        )
        > 0
    )


def resubmit(tx: Transaction, job_id: str, now: datetime) -> bool:
    """Failure → Pending, from zero. The error stays visible until the job runs again."""
    return (
        tx.run(
            "UPDATE jobs SET state = 'Pending', content = '{}', progress = 0, runtime_s = 0,"
            " completed_at = NULL, changed_at = ?,"
            " checkpoint = CASE WHEN requested = 'settle' THEN checkpoint ELSE '{}' END"
            f" WHERE id = ? AND state = 'Failure' AND {_VISIBLE}",
            (_text(now), job_id),
        )
        > 0
    )


def remove(tx: Transaction, job_id: str) -> bool:
    """Forget a job that has ended; the row of one that is not settled goes when it is."""
    ended = f"id = ? AND state IN ('Success', 'Failure') AND {_VISIBLE}"
    later = f"UPDATE jobs SET requested = 'forget' WHERE requested = 'settle' AND {ended}"
    at_once = f"DELETE FROM jobs WHERE {ended}"
    return tx.run(later, (job_id,)) > 0 or tx.run(at_once, (job_id,)) > 0


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
    row = tx.one(f"SELECT {_COLUMNS} FROM jobs WHERE id = ?", (job_id,)) if found else None
    return _job(row) if row else None


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
    """Forget the oldest completions beyond ``keep``, except those not settled yet."""
    return tx.run(
        "DELETE FROM jobs WHERE requested = '' AND id IN (SELECT id FROM jobs"
        " WHERE completed_at IS NOT NULL ORDER BY completed_at DESC, seq DESC LIMIT ? OFFSET ?)",
        (limits.JOBS_TRIMMED, keep),
    )


# --- Inside --------------------------------------------------------------------------------


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
    at = _text(now)
    running = f"state = 'Running' AND {guard}"
    cancelled = tx.run(
        "UPDATE jobs SET state = 'Failure', error_code = ?, error_details = '', completed_at = ?,"
        " changed_at = ?, owner = '', requested = 'settle'"
        f" WHERE requested = 'cancel' AND {running}",
        (JobCanceled.code, at, at, *params),
    )
    paused = tx.run(
        "UPDATE jobs SET state = 'Paused', changed_at = ?, owner = '', requested = ''"
        f" WHERE requested = 'pause' AND {running}",
        (at, *params),
    )
    waiting = tx.run(
        "UPDATE jobs SET state = 'Pending', changed_at = ?, owner = '', requested = ''"
        f" WHERE {running}",
        (at, *params),
    )
    return cancelled + paused + waiting


def _exists(tx: Transaction, job_id: str) -> bool:
    return tx.one(f"SELECT 1 FROM jobs WHERE id = ? AND {_VISIBLE}", (job_id,)) is not None


def _text(moment: datetime) -> str:
    """Fixed width, so that text order is time order in every collation."""
    return moment.isoformat(timespec="microseconds")


def _job(row: tuple[Any, ...]) -> Job:
    """``_COLUMNS`` are in the order of the fields of ``Job``."""
    job_id, kind, state, priority, parameters, content, checkpoint, progress, *others = row
    created_at, changed_at, runtime_s, completed_at, *ending = others
    return Job(
        job_id,
        kind,
        JobState(state),
        priority,
        orjson.loads(parameters),
        orjson.loads(content),
        orjson.loads(checkpoint),
        progress,
        datetime.fromisoformat(created_at),
        datetime.fromisoformat(changed_at),
        runtime_s,
        datetime.fromisoformat(completed_at) if completed_at else None,
        *ending,
    )
