"""The jobs of one process, and of all processes that share its index.

The engine owns threads, never jobs: those are rows. Anything it is asked goes to the index
first; only then a run in this process is told, so that the answer is true for every process.
The transition table is in ``index.jobs`` and ``docs/decisions/jobs.md``.

Not here: kinds of job (``handler``), leases of processes (``ingest.recovery``), JSON.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial

from wherry import clock, limits
from wherry.errors import ParameterOutOfRange, Unavailable
from wherry.index import job_events, job_outputs, job_rows, jobs
from wherry.index.database import Index, Transaction
from wherry.index.job_rows import ALL_JOBS, JobFilter
from wherry.jobs.handler import JobHandler
from wherry.jobs.settler import settle
from wherry.jobs.shop import Rules, Shop, type_ended
from wherry.jobs.watcher import watch
from wherry.jobs.worker import work
from wherry.metrics import Metrics
from wherry.model import Job, JobEvent, JobOutput, JobState, type_json

_log = logging.getLogger(__name__)

_PRIORITY = 2**31


class JobEngine:
    """Submits, shows and steers jobs; runs them between ``start`` and ``stop``.

    All methods may be called from any thread, and before ``start`` too. They are blocking.
    """

    def __init__(
        self,
        index: Index,
        handlers: Sequence[JobHandler],
        rules: Rules | None = None,
        *,
        process_id: str,
        removed: Callable[[], None] = lambda: None,
        metrics: Metrics | None = None,
    ) -> None:
        """``process_id`` must be registered in the table of processes. ``removed`` is called when
        files may have become useless, so that somebody looks into the journal of deletions."""
        self._index = index
        self._rules = rules or Rules()
        self._removed = removed
        self._shop = Shop(index, handlers, process_id, self._rules, removed, metrics or Metrics())
        workers = self._rules.concurrency or os.cpu_count() or 1
        errands = self._rules.errands
        tasks = [partial(work, self._shop)] * workers
        for errand, threads in errands.items():
            tasks += [partial(work, self._shop, errand)] * threads
        tasks += [partial(settle, self._shop), partial(watch, self._shop)]
        self._threads = [
            threading.Thread(target=task, name=f"jobs-{task.func.__name__}-{n}", daemon=True)
            for n, task in enumerate(tasks)
        ]

    # --- life ---

    def start(self) -> None:
        """Begin to run jobs. Once in the life of an engine."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Interrupt what runs, put it back to Pending with its checkpoint, end all threads.

        A job that does not obey within ``limits.JOB_STOP_S`` is left behind as Running; who
        calls ``adopt`` after this process is no longer registered takes it up.
        """
        self._shop.stop()
        until = clock.monotonic() + limits.JOB_STOP_S
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, until - clock.monotonic()))
        for run in self._shop.runs():
            _log.warning("Job %s (%s) did not stop in time", run.job.id, run.job.type)

    def adopt(self, dead: Collection[str]) -> int:
        """Take back the jobs of processes that died: those in ``dead``, and any process that is
        not registered. They wait again (or obey what was requested of them). How many there were.
        """
        now = clock.now()
        found = self._index.write(lambda tx: jobs.adopt(tx, dead, self._shop.process_id, now))
        self._shop.jobs_wait.give()
        self._shop.jobs_unsettled.give()
        return found

    def give_up_waiting(self, details: str) -> None:
        """Cancel what an earlier life of the server left waiting, whoever submitted it; but not
        its errands."""
        now = clock.now()
        errands = self._rules.errands
        self._index.write(lambda tx: jobs.give_up_waiting(tx, details, now, errands))

    # --- jobs ---

    def submit(
        self,
        type: str,
        parameters: Mapping[str, type_json],
        *,
        priority: int = 0,
        username: str = "",
        content: Mapping[str, type_json] | None = None,
        user_data: type_json = None,
        may_retry: bool = True,
        ended: type_ended | None = None,
        also: Callable[[Transaction, str], None] = lambda tx, job_id: None,
    ) -> str:
        """Write a new job down and return its identifier; durable when this returns.

        ``content``: what REST shows until the job says something itself. ``may_retry``: whether a
        temporary failure makes it wait for another attempt. ``ended`` is called once
        from some thread when a run in this process ended the job, even if history forgets it at
        once; who waits must look at the index besides, for other processes run jobs too. ``also``
        runs in the transaction that writes the job down; what it raises undoes that.

        Raises ``ParameterOutOfRange`` (unknown type, priority not of 32 bits), ``Unavailable``
        (``Rules.pending`` are waiting already).
        """
        if type not in self._shop.handlers:
            raise ParameterOutOfRange(f"Unknown type of job: {type}")
        if not -_PRIORITY <= priority < _PRIORITY:
            raise ParameterOutOfRange("The priority of a job has 32 bits")
        now = clock.now()
        job = Job(
            id=clock.new_uuid(),
            type=type,
            state=JobState.PENDING,
            priority=priority,
            parameters=dict(parameters),
            content=dict(content or {}),
            checkpoint={},
            progress=0.0,
            created_at=now,
            changed_at=now,
            runtime_s=0.0,
            username=username,
            user_data=user_data,
            may_retry=may_retry,
        )

        def submitted(tx: Transaction) -> bool:
            if job_rows.pending_at_least(tx, self._rules.pending):
                return False
            jobs.insert(tx, job)
            also(tx, job.id)
            return True

        if ended is not None:
            self._shop.listen(job.id, ended)
        accepted = False
        try:
            accepted = self._index.write(submitted)
        finally:
            if not accepted:
                self._shop.ignore(job.id)
        if not accepted:
            raise Unavailable("Too many jobs are waiting", limits.JOBS_FULL_S)
        self._shop.jobs_wait.give()
        return job.id

    def ignore(self, job_id: str) -> None:
        """Nobody waits any more to be told that the job ended."""
        self._shop.ignore(job_id)

    def get(self, job_id: str) -> Job | None:
        """One job, or None."""
        with self._index.read() as tx:
            return job_rows.get(tx, job_id)

    def ids(self, wanted: JobFilter = ALL_JOBS) -> list[str]:
        """Identifiers in ascending text order: ``GET /jobs``."""
        with self._index.read() as tx:
            return job_rows.ids(tx, wanted)

    def pages(self, wanted: JobFilter = ALL_JOBS) -> Iterator[list[Job]]:
        """Jobs in ascending text order of their identifiers, as people see them (``job_rows``)."""
        after = ""
        while True:
            with self._index.read() as tx:
                page = job_rows.page(tx, wanted, after, limits.EXPANDED_PAGE)
            yield page
            if len(page) < limits.EXPANDED_PAGE:
                return
            after = page[-1].id

    def newest(self, wanted: JobFilter, limit: int) -> list[Job]:
        """At most ``limit`` jobs, the last submission first, as people see them."""
        with self._index.read() as tx:
            return job_rows.newest(tx, wanted, limit)

    def counts(self) -> dict[JobState, int]:
        """Number of jobs in each state."""
        with self._index.read() as tx:
            return job_rows.counts(tx)

    def last_event(self) -> int:
        """The number of the newest event; 0 when there was none."""
        with self._index.read() as tx:
            return job_events.last(tx)

    def events(self, after: int) -> list[JobEvent]:
        """Changes of state behind number ``after``, the oldest first; a page of them."""
        with self._index.read() as tx:
            return job_events.after(tx, after, limits.JOB_EVENTS_PAGE)

    def output(self, job_id: str, key: str) -> JobOutput | None:
        """What a job that ended in Success has brought forth under this name, if it still is
        there."""
        with self._index.read() as tx:
            job = job_rows.get(tx, job_id)
            if job is None or job.state is not JobState.SUCCESS:
                return None
            return job_outputs.get(tx, job_id, key)

    def remove_output(self, job_id: str, key: str) -> bool:
        """Give back the space of an output. False = there is none."""
        if self.output(job_id, key) is None:
            return False
        removed = self._index.write(lambda tx: job_outputs.remove(tx, job_id, key))
        self._removed()
        return removed

    # --- actions: True = accepted (perhaps without effect), False = unknown job or not allowed ---

    def cancel(self, job_id: str) -> bool:
        """End the job with ``JobCanceled``; a running one between two steps."""
        accepted = self._ask(jobs.cancel, job_id)
        if accepted and (run := self._shop.run_of(job_id)):
            run.interrupt("cancel")
        self._shop.jobs_unsettled.give()
        return accepted

    def pause(self, job_id: str) -> bool:
        """Stop the job where it is; a running one between two steps. It frees its worker."""
        accepted = self._ask(jobs.pause, job_id)
        if accepted and (run := self._shop.run_of(job_id)):
            run.interrupt("pause")
        return accepted

    def resume(self, job_id: str) -> bool:
        """Let a paused job go on from its checkpoint."""
        accepted = self._ask(jobs.resume, job_id)
        self._shop.jobs_wait.give()
        return accepted

    def resubmit(self, job_id: str) -> bool:
        """Run a failed job again from zero."""
        accepted = self._ask(jobs.resubmit, job_id)
        self._shop.jobs_wait.give()
        return accepted

    def remove(self, job_id: str) -> bool:
        """Forget a job that has ended, and what it has brought forth."""
        found = self._index.write(lambda tx: jobs.remove(tx, job_id))
        self._removed()
        return found

    def _ask(self, action: Callable[[Transaction, str, datetime], bool], job_id: str) -> bool:
        now = clock.now()
        return self._index.write(lambda tx: action(tx, job_id, now))
