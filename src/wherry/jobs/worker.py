"""A worker thread: claims a job, lets its handler run, writes down how that ended.

Not here: handlers of single kinds of job, what follows after a failure (``settler``), when the
next attempt comes (``retrying``).
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace

import orjson

from wherry import clock, limits
from wherry.errors import DatabaseUnavailable, Unavailable, WherryError
from wherry.index import job_rows, jobs
from wherry.index.database import Transaction
from wherry.index.jobs import Ending, Postponement
from wherry.jobs.handler import Interrupted, JobControl, JobHandler
from wherry.jobs.retrying import postponement
from wherry.jobs.shop import Shop
from wherry.model import Job, JobState

_log = logging.getLogger(__name__)

RUNTIME = "wherry_jobs_runtime_s"
"""Histogram of the time in state Running of jobs that ended, by type and state."""

TOTAL = "orthanc_jobs_total"
"""Jobs that ended in this process; whether or not history still knows them."""
_TOTALS = {JobState.SUCCESS: "success", JobState.FAILURE: "failed"}

_SUCCESS = Ending(JobState.SUCCESS)


def work(shop: Shop, errand: str = "") -> None:
    """Run one job after the other until the shop stops: those of this errand, or all that are
    none."""
    while not shop.stopping.is_set():
        seen = shop.jobs_wait.seen()
        job = _claim(shop, shop.types_for(errand))
        if job is None:
            shop.jobs_wait.wait(seen)
        else:
            _run(shop, job)


def carry_out(shop: Shop, handler: JobHandler, control: JobControl) -> Ending | Postponement | None:
    """Let the handler run. None = the job is not over, or the index knows why it is.

    An index that is out of reach or overloaded is not the job's fault: the job will go on from
    its checkpoint, after a moment of rest.
    """
    job = control.job
    _log.debug("Job %s (%s) runs", job.id, job.type)
    try:
        control.check()
        handler.run(control)
    except Interrupted:
        return None
    except (DatabaseUnavailable, Unavailable) as error:
        _log.warning("Job %s (%s) goes back to wait: %s", job.id, job.type, error)
        with suppress(Interrupted):
            control.wait(limits.JOB_POLL_S)
        return None
    except WherryError as error:
        error.details = _bounded(error.details)
        policy = shop.rules.retries.policy(job.type)
        again = postponement(policy, job, error, control.standing().progress)
        if again is not None:
            _log.info("Job %s (%s) will be tried again: %s", job.id, job.type, error)
            return again
        return Ending(JobState.FAILURE, error.code, error.details)
    except Exception as error:
        _log.exception("Job %s (%s) met a defect", job.id, job.type)
        cause = f"Unexpected {type(error).__name__}; the server's log has the details"
        return Ending(JobState.FAILURE, WherryError.code, cause)
    _log.debug("Job %s (%s) is done", job.id, job.type)
    return _SUCCESS


def _claim(shop: Shop, types: Collection[str]) -> Job | None:
    busy = [run.job.id for run in shop.runs()]
    now = clock.now()
    try:
        return shop.index.write(lambda tx: jobs.claim(tx, shop.process_id, types, busy, now))
    except WherryError as error:
        _log.warning("Cannot look for jobs: %s", error)
        return None


def _run(shop: Shop, job: Job) -> None:
    control = JobControl(shop.index, job, shop.reported)
    shop.begin(control)
    try:
        _hear_early_request(shop, control)
        outcome = carry_out(shop, shop.handlers[job.type], control)
        written = _write_down(shop, control, outcome)
    finally:
        shop.end(control)
    if outcome is not _SUCCESS:
        shop.jobs_unsettled.give()
    if written and isinstance(outcome, Ending):
        labels = {"type": job.type, "state": outcome.state.value}
        shop.metrics.measure(RUNTIME, control.standing().runtime_s, labels)
        for name in ("completed", _TOTALS[outcome.state]):
            shop.metrics.add(f"{TOTAL}_{name}")
        if (told := shop.listener(job.id)) is not None:
            told(_ended(control, outcome))


def _ended(control: JobControl, ending: Ending) -> Job:
    """The job as its row was when it ended; history may have forgotten it already."""
    return replace(
        control.job,
        state=ending.state,
        content=orjson.loads(control.standing().content),
        error_code=ending.code,
        error_details=ending.details,
        completed_at=clock.now(),
    )


def _hear_early_request(shop: Shop, control: JobControl) -> None:
    """A request between the claim and ``begin`` found no run to interrupt; it is in the row."""
    try:
        with shop.index.read() as tx:
            requested = job_rows.requests(tx, shop.process_id).get(control.job.id, "")
    except WherryError as error:
        _log.warning("Cannot look for requests, the watcher will: %s", error)
    else:
        control.obey(requested)


def _write_down(shop: Shop, control: JobControl, outcome: Ending | Postponement | None) -> bool:
    """Write the end of a run to the index, as often as it takes; whether it was ours to write."""
    job, standing = control.job, control.standing()
    mine = (job.id, job.owner, standing)
    trim = isinstance(outcome, Ending) and shop.trim_due()

    def ended(tx: Transaction) -> tuple[bool, int]:
        """Whether it was ours, and how many jobs history forgot."""
        now = clock.now()
        if outcome is None:
            return jobs.release(tx, *mine, now), 0
        if isinstance(outcome, Postponement):
            return jobs.postpone(tx, *mine, outcome, now), 0
        done = jobs.finish(tx, *mine, outcome, now)
        if done and outcome is _SUCCESS and job.type in shop.rules.errands:
            jobs.remove(tx, job.id)
        return done, jobs.trim(tx, shop.rules.history_size) if trim else 0

    while True:
        try:
            written, forgotten = shop.index.write(ended)
        except WherryError as error:
            _log.warning("Cannot write down how job %s ended: %s", job.id, error)
            if shop.stopping.wait(limits.JOB_POLL_S):
                return False
            continue
        if forgotten:
            shop.removed()
        if not written:
            _log.warning("Job %s (%s) had been lost to another process", job.id, job.type)
        return written


def _bounded(details: str) -> str:
    """At most what a row may keep, and nothing that a database cannot hold."""
    text = details.encode("utf-8", "replace").decode().replace("\0", "")
    return text[: limits.JOB_ERROR_CHARACTERS]
