"""The watching thread: carries reports to the index, and what the index says to the other threads.

Once a second it asks what other processes want of the jobs that run here, and whether there is
work that this process was not told of. Reports of all runs go out together, at most every
``limits.JOB_REPORT_S``, the first at once.

Not here: requests made in this process; those reach the run directly (``engine``).
"""

from __future__ import annotations

import logging

from wherry import clock, limits
from wherry.errors import WherryError
from wherry.index import job_rows, jobs
from wherry.index.database import Transaction
from wherry.jobs.handler import JobControl
from wherry.jobs.shop import Shop

_log = logging.getLogger(__name__)


def watch(shop: Shop) -> None:
    """Look after the shop until it stops."""
    watcher = Watcher(shop)
    while not shop.stopping.is_set():
        seen = shop.attention.seen()
        shop.attention.wait(seen, watcher.step(clock.monotonic()))


class Watcher:
    """Knows what was done when."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._polled_at = self._reported_at = float("-inf")

    def step(self, now: float) -> float:
        """Do what is due at ``now`` (monotonic); the seconds until something will be."""
        shop = self._shop
        try:
            if now - self._polled_at >= limits.JOB_POLL_S:
                self._polled_at = now
                poll(shop)
            if shop.any_reports() and now - self._reported_at >= limits.JOB_REPORT_S:
                self._reported_at = now
                write_reports(shop)
        except WherryError as error:
            _log.warning("Cannot look after jobs: %s", error)
        due = self._polled_at + limits.JOB_POLL_S
        if shop.any_reports():
            due = min(due, self._reported_at + limits.JOB_REPORT_S)
        return max(0.0, due - now)


def poll(shop: Shop) -> None:
    """Look once for requests, lost jobs and new work."""
    runs = shop.runs()
    with shop.index.read() as tx:
        requests = job_rows.requests(tx, shop.process_id) if runs else {}
        claimable = jobs.claimable(tx, shop.types, clock.now())
        unsettled = jobs.unsettled(tx, shop.process_id, shop.types)
    for run in runs:
        if run.job.id in requests:
            run.obey(requests[run.job.id])
        else:
            run.interrupt("lost")
    if claimable:
        shop.jobs_wait.give()
    if unsettled:
        shop.jobs_unsettled.give()


def write_reports(shop: Shop) -> None:
    """Write what was reported last by each run that reported."""
    runs = shop.take_reports()

    def work(tx: Transaction) -> list[JobControl]:
        now = clock.now()
        return [
            run for run in runs if not jobs.save(tx, run.job.id, run.job.owner, run.standing(), now)
        ]

    try:
        lost = shop.index.write(work)
    except WherryError:
        for run in runs:
            shop.reported(run)
        raise
    for run in lost:
        run.interrupt("lost")
