"""A job as the REST API shows it: one pure function, for every face.

Where the original differs and why: ``docs/decisions/jobs.md``.

Not here: where jobs come from, how the dictionary is written out.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from wherry import clock
from wherry.errors import WherryError
from wherry.model import Job, JobState, type_json

_ENDED = (JobState.SUCCESS, JobState.FAILURE)


def describe(job: Job, now: datetime) -> dict[str, type_json]:
    """The job object of ``GET /jobs/{id}`` as of ``now``."""
    runtime_s = effective_runtime_s(job, now)
    described: dict[str, type_json] = {
        "Content": job.content,
        "CreationTime": clock.orthanc_date_precise(job.created_at),
        "EffectiveRuntime": round(runtime_s, 3),
        "ErrorCode": job.error_code,
        "ErrorDescription": error_description(job.error_code),
        "ErrorDetails": job.error_details,
        "ID": job.id,
        "Priority": job.priority,
        "Progress": int(100 * job.progress + 0.5),
        "State": job.state.value,
        "Timestamp": clock.orthanc_date_precise(now),
        "Type": job.type,
    }
    if job.user_data is not None:
        described["UserData"] = job.user_data
    if job.completed_at is not None and job.state in _ENDED:
        described["CompletionTime"] = clock.orthanc_date_precise(job.completed_at)
    if job.state is JobState.RETRY and job.retry_at is not None:
        described["Attempts"] = job.attempts
        described["NextAttempt"] = clock.orthanc_date_precise(job.retry_at)
    if job.state is JobState.RUNNING and job.progress > 0.01 and runtime_s > 0:
        left = timedelta(seconds=runtime_s * (1 - job.progress) / job.progress)
        described["EstimatedTimeOfArrival"] = clock.orthanc_date_precise(now + left)
    return described


def effective_runtime_s(job: Job, now: datetime) -> float:
    """Seconds in state Running so far; the index knows those up to the last report."""
    since_s = (now - job.changed_at).total_seconds() if job.state is JobState.RUNNING else 0.0
    return job.runtime_s + max(since_s, 0.0)


def error_of(job: Job) -> WherryError:
    """The error that a failed job ended with, to be raised."""
    kind = _KINDS.get(job.error_code)
    if kind is None:
        return WherryError(job.error_details)
    return kind(job.error_details)


def error_description(code: int) -> str:
    """The fixed text of an error code; the first class of the tree that bears it decides."""
    return _TEXTS.get(code, "Unknown error code")


def _tree(root: type[WherryError]) -> Iterator[type[WherryError]]:
    yield root
    for branch in root.__subclasses__():
        yield from _tree(branch)


_KINDS: dict[int, type[WherryError]] = {}
for _error in _tree(WherryError):
    _KINDS.setdefault(_error.code, _error)
_TEXTS = {0: "Success"} | {code: kind.text for code, kind in _KINDS.items()}
