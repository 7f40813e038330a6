"""What the threads of one engine share: the index, the handlers, the runs, the wake-up signals.

Not here: what the threads do (``worker``, ``settler``, ``watcher``).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, KeysView, Mapping, Sequence
from dataclasses import dataclass, field

from wherry import limits
from wherry.config.retries import JobRetries
from wherry.index.database import Index
from wherry.jobs.handler import JobControl, JobHandler
from wherry.jobs.signal import Signal
from wherry.metrics import Metrics
from wherry.model import Job

type_ended = Callable[[Job], None]
"""Is told a job that has ended."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator wants of the jobs."""

    concurrency: int = 2
    """Jobs that run at once in this process; 0 = one for each processor."""
    history_size: int = 10
    """Ended jobs that are kept."""
    pending: int = limits.PENDING_JOBS
    """Jobs that may wait at once."""
    retries: JobRetries = field(default_factory=JobRetries)
    errands: Mapping[str, int] = field(default_factory=dict)
    """Types of job that the server gives itself → threads of their own: people's jobs do not make
    them wait. Those that succeed are forgotten at once, lest they push people's jobs out of
    history; and they are the server's, whatever people want of jobs that are left from before."""


class Shop:
    """One process's share in the jobs."""

    def __init__(
        self,
        index: Index,
        handlers: Sequence[JobHandler],
        process_id: str,
        rules: Rules,
        removed: Callable[[], None],
        metrics: Metrics,
    ) -> None:
        self.index = index
        self.handlers = {handler.type: handler for handler in handlers}
        self.process_id = process_id
        self.rules = rules
        self.removed = removed
        """To be called when files may have become useless: outputs of jobs that went."""
        self.metrics = metrics
        self.stopping = threading.Event()
        self.jobs_wait = Signal()
        """Given when a job may be there to claim."""
        self.jobs_unsettled = Signal()
        """Given when a job may be there to settle."""
        self.attention = Signal()
        """Given when the watcher has something to do before its time."""
        self._lock = threading.Lock()
        self._runs: dict[str, JobControl] = {}
        self._reports: set[JobControl] = set()
        self._listeners: dict[str, type_ended] = {}
        self._untrimmed = 0

    @property
    def types(self) -> KeysView[str]:
        """The kinds of job this process can run."""
        return self.handlers.keys()

    def types_for(self, errand: str) -> Collection[str]:
        """The kinds of job for a worker: its errand, or all that are none."""
        return [errand] if errand else self.types - self.rules.errands.keys()

    def stop(self) -> None:
        """Interrupt all runs and let all threads end."""
        self.stopping.set()
        for run in self.runs():
            run.interrupt("stop")
        for signal in (self.jobs_wait, self.jobs_unsettled, self.attention):
            signal.give()

    def trim_due(self) -> bool:
        """Called for each job that ends: whether history is to be trimmed now. To look for the
        oldest of a long one takes time, so that it may be a hundredth longer for a moment."""
        with self._lock:
            self._untrimmed += 1
            due = self._untrimmed > self.rules.history_size // 100
            if due:
                self._untrimmed = 0
        return due

    # --- runs ---

    def begin(self, run: JobControl) -> None:
        """From now on ``run`` can be interrupted."""
        with self._lock:
            self._runs[run.job.id] = run
        if self.stopping.is_set():
            run.interrupt("stop")

    def end(self, run: JobControl) -> None:
        """``run`` is over."""
        with self._lock:
            del self._runs[run.job.id]
            self._reports.discard(run)

    def run_of(self, job_id: str) -> JobControl | None:
        """The run of a job in this process."""
        with self._lock:
            return self._runs.get(job_id)

    def runs(self) -> list[JobControl]:
        """All runs of this process."""
        with self._lock:
            return list(self._runs.values())

    # --- those who wait ---

    def listen(self, job_id: str, ended: type_ended) -> None:
        """``ended`` wants to know when a run of this process ends the job."""
        with self._lock:
            self._listeners[job_id] = ended

    def ignore(self, job_id: str) -> None:
        """Nobody listens any more."""
        with self._lock:
            self._listeners.pop(job_id, None)

    def listener(self, job_id: str) -> type_ended | None:
        """Who wants to be told, once."""
        with self._lock:
            return self._listeners.pop(job_id, None)

    # --- reports ---

    def reported(self, run: JobControl) -> None:
        """``run`` has something to show that is not in the index yet."""
        with self._lock:
            first = not self._reports
            if run.job.id in self._runs:
                self._reports.add(run)
        if first:
            self.attention.give()

    def any_reports(self) -> bool:
        """Whether ``take_reports`` would bring something."""
        with self._lock:
            return bool(self._reports)

    def take_reports(self) -> list[JobControl]:
        """The runs that have something to show; each is handed out once."""
        with self._lock:
            taken, self._reports = list(self._reports), set()
        return taken
