"""When a job that met a temporary failure is tried again: exponential back-off with jitter.

The failures in a row are counted in the job's row, and forgotten as soon as a run comes further
than the one before: a line that breaks once an hour does not end a transfer of a day.

Not here: trying a single request again (``peers.patience``), what counts as temporary (``errors``).
"""

from __future__ import annotations

from datetime import timedelta

from wherry import clock
from wherry.config.retries import RetryPolicy
from wherry.errors import WherryError
from wherry.index.jobs import Postponement
from wherry.model import Job


def postponement(
    policy: RetryPolicy, job: Job, error: WherryError, progress: float
) -> Postponement | None:
    """The next attempt after ``error``; None when there is to be none.

    ``job`` as it was when the run began, ``progress`` as it is now. The delay is between half and
    the whole of what is due, so that jobs that failed together do not come back together; never
    sooner than the other side asked for.
    """
    if not (error.temporary and job.may_retry):
        return None
    attempts = 1 if progress > job.progress else job.attempts + 1
    if attempts > policy.attempts:
        return None
    due_s = min(policy.first_delay_s * 2.0 ** min(attempts - 1, 30), policy.longest_delay_s)
    delay_s = max(due_s * (0.5 + clock.random_share() / 2), error.retry_after_s or 0.0)
    return Postponement(
        error.code, error.details, attempts, clock.now() + timedelta(seconds=delay_s)
    )
