"""The jobs table as it is read: rows and values, lists and counts.

Not here: what changes a row (``jobs``), what is told of it (``job_events``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from wherry.index.database import Transaction
from wherry.model import Job, JobState, type_json

COLUMNS: Final = (
    "id, type, state, priority, parameters, content, checkpoint, progress, created_at, changed_at,"
    " runtime_s, completed_at, error_code, error_details, owner, requested, username, user_data,"
    " may_retry, attempts, retry_at"
)
"""In the order of the fields of ``Job``."""
VISIBLE: Final = "requested <> 'forget'"
_SHOWN = COLUMNS.replace("parameters", "'{}'").replace("checkpoint", "'{}'")


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs are asked for; empty = all."""

    states: frozenset[JobState] = frozenset()
    types: frozenset[str] = frozenset()

    def sql(self) -> tuple[str, list[Any]]:
        """A condition on rows, and its parameters."""
        condition, params = VISIBLE, list[Any]()
        if self.states:
            condition += " AND state IN ?"
            params.append(sorted(self.states))
        if self.types:
            condition += " AND type IN ?"
            params.append(sorted(self.types))
        return condition, params


ALL_JOBS: Final = JobFilter()


def get(tx: Transaction, job_id: str) -> Job | None:
    """One job, or None."""
    row = tx.one(f"SELECT {COLUMNS} FROM jobs WHERE id = ? AND {VISIBLE}", (job_id,))
    return job_of(row) if row else None


def alive(tx: Transaction, job_id: str) -> bool:
    """Whether the job has still to end, or to be settled."""
    row = tx.one(
        "SELECT 1 FROM jobs WHERE id = ?"
        " AND (state NOT IN ('Success', 'Failure') OR requested <> '')",
        (job_id,),
    )
    return row is not None


def ids(tx: Transaction, wanted: JobFilter = ALL_JOBS) -> list[str]:
    """Identifiers in ascending text order."""
    condition, params = wanted.sql()
    return [row[0] for row in tx.all(f"SELECT id FROM jobs WHERE {condition} ORDER BY id", params)]


def page(tx: Transaction, wanted: JobFilter, after: str, limit: int) -> list[Job]:
    """At most ``limit`` jobs in ascending text order of their identifiers, those behind ``after``.

    As people see them: without parameters and checkpoint, which may be long.
    """
    condition, params = wanted.sql()
    rows = tx.all(
        f"SELECT {_SHOWN} FROM jobs WHERE {condition} AND id > ? ORDER BY id LIMIT ?",
        [*params, after, limit],
    )
    return [job_of(row) for row in rows]


def newest(tx: Transaction, wanted: JobFilter, limit: int) -> list[Job]:
    """At most ``limit`` jobs, the last submission first; as ``page`` shows them."""
    condition, params = wanted.sql()
    rows = tx.all(
        f"SELECT {_SHOWN} FROM jobs WHERE {condition} ORDER BY seq DESC LIMIT ?", [*params, limit]
    )
    return [job_of(row) for row in rows]


def counts(tx: Transaction) -> dict[JobState, int]:
    """Number of jobs in each state, every state present."""
    found = dict(tx.all(f"SELECT state, COUNT(*) FROM jobs WHERE {VISIBLE} GROUP BY state"))
    return {state: int(found.get(state, 0)) for state in JobState}


def pending_at_least(tx: Transaction, count: int) -> bool:
    """Whether ``count`` jobs or more are Pending; looks at no more than so many rows."""
    row = tx.one("SELECT 1 FROM jobs WHERE state = 'Pending' LIMIT 1 OFFSET ?", (count - 1,))
    return row is not None


def requests(tx: Transaction, owner: str) -> dict[str, str]:
    """``requested`` of every job that ``owner`` runs; a job that is missing was lost."""
    rows = tx.all("SELECT id, requested FROM jobs WHERE state = 'Running' AND owner = ?", (owner,))
    return {str(job_id): str(requested) for job_id, requested in rows}


def json_text(value: Mapping[str, type_json]) -> str:
    """``value`` as the JSON text of a column. Raises ``TypeError`` when it is not JSON."""
    return orjson.dumps(dict(value)).decode()


def time_text(moment: datetime) -> str:
    """Fixed width, so that text order is time order in every collation."""
    return moment.isoformat(timespec="microseconds")


def job_of(row: Collection[Any]) -> Job:
    """The job of a row of ``COLUMNS``."""
    job_id, kind, state, priority, parameters, content, checkpoint, progress, *others = row
    created_at, changed_at, runtime_s, completed_at, code, details, *others = others
    owner, requested, username, user_data, may_retry, attempts, retry_at = others
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
        code,
        details,
        owner,
        requested,
        username,
        orjson.loads(user_data),
        bool(may_retry),
        attempts,
        datetime.fromisoformat(retry_at) if retry_at else None,
    )


def values_of(job: Job) -> tuple[Any, ...]:
    """The row of ``COLUMNS`` of a job."""
    return (
        job.id,
        job.type,
        job.state.value,
        job.priority,
        json_text(job.parameters),
        json_text(job.content),
        json_text(job.checkpoint),
        job.progress,
        time_text(job.created_at),
        time_text(job.changed_at),
        job.runtime_s,
        time_text(job.completed_at) if job.completed_at else None,
        job.error_code,
        job.error_details,
        job.owner,
        job.requested,
        job.username,
        orjson.dumps(job.user_data).decode(),
        int(job.may_retry),
        job.attempts,
        time_text(job.retry_at) if job.retry_at else None,
    )
