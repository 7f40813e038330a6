"""What a kind of job provides (``JobHandler``) and what it is given to run with (``JobControl``).

A handler works in steps. Between them it calls ``check`` and obeys by letting ``Interrupted``
pass; after a step worth keeping it calls ``save``. Run again after an interruption or a crash,
it goes on from ``control.job.checkpoint``. What a step did between two saves may be done twice,
never skipped, so a step must bear repetition.

Not here: states and threads (``jobs.engine``), the table (``index.jobs``).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Literal, Protocol

from wherry import clock
from wherry.index import jobs
from wherry.index.database import Index, Transaction
from wherry.index.job_rows import json_text
from wherry.model import Job, type_json

type_reason = Literal["stop", "pause", "cancel", "lost"]
_RANK: dict[type_reason, int] = {"stop": 1, "pause": 2, "cancel": 3, "lost": 4}

type_also = Callable[[Transaction], None]


class Interrupted(Exception):
    """The run has to end now; a handler lets it pass.

    ``reason``: ``stop`` the process ends and the job will go on elsewhere or later, ``pause`` and
    ``cancel`` somebody asked for it, ``lost`` the lease ended and another process runs the job.
    """

    def __init__(self, reason: type_reason) -> None:
        super().__init__(reason)
        self.reason: type_reason = reason


class JobHandler(Protocol):
    """One kind of job. One handler serves all its jobs, from several threads."""

    @property
    def type(self) -> str:
        """``Type`` in REST, the same for ever: rows of the index name it."""

    def run(self, control: JobControl) -> None:
        """Do the work, from the checkpoint if there is one; blocking.

        Return = Success. A ``WherryError`` = Failure with its code and details, or Retry when it is
        temporary and the job may wait. ``Interrupted`` passes through. Anything else is a defect:
        Failure -1, with a traceback in the log.
        """

    def settle(self, job: Job) -> None:
        """The job failed or was cancelled: release what it holds elsewhere; blocking.

        Called at least once after each Failure, in whatever process, also for a job that never
        ran (empty checkpoint), so it must bear repetition. Best effort: an error is logged and
        forgotten. A resubmitted job does not start before this is done.
        """


class JobControl:
    """One run of a job, as its handler sees it. All methods may be called from any thread.

    ``job`` is the job as it was when this run began.
    """

    def __init__(self, index: Index, job: Job, reported: Callable[[JobControl], None]) -> None:
        self.job = job
        self._index = index
        self._reported = reported
        self._began = clock.monotonic()
        self._lock = threading.Lock()
        self._content = json_text(job.content)
        self._progress = job.progress
        self._reason: type_reason | None = None
        self._interrupted = threading.Event()

    # --- for handlers ---

    def check(self) -> None:
        """Raise ``Interrupted`` when the run has to end. Costs nothing; call it often."""
        reason = self._reason
        if reason is not None:
            raise Interrupted(reason)

    def wait(self, seconds: float) -> None:
        """Sleep, but not longer than until an interruption, which it raises."""
        self._interrupted.wait(seconds)
        self.check()

    def report(self, content: Mapping[str, type_json] | None, progress: float | None) -> None:
        """Show ``Content`` and progress (0…1) in REST soon; None leaves what was there.

        The engine writes it to the index at most every ``limits.JOB_REPORT_S``.
        """
        self._note(content, progress)
        self._reported(self)

    def save(
        self,
        checkpoint: Mapping[str, type_json],
        content: Mapping[str, type_json] | None = None,
        progress: float | None = None,
        also: type_also | None = None,
    ) -> None:
        """Make ``checkpoint`` durable before returning, in one transaction with ``also``.

        Raises ``Interrupted("lost")``, and writes nothing, when another process has the job.
        """

        self._note(content, progress)
        text = json_text(checkpoint)

        def work(tx: Transaction) -> None:
            self._keep(tx, text)
            if also is not None:
                also(tx)

        self._index.write(work)

    def save_within(
        self,
        tx: Transaction,
        checkpoint: Mapping[str, type_json],
        content: Mapping[str, type_json] | None = None,
        progress: float | None = None,
    ) -> None:
        """``save`` as a part of somebody else's transaction, such as that of ``Ingest.commit``.

        Raises ``Interrupted("lost")``, so that the transaction is undone, when another process
        has the job.
        """
        self._note(content, progress)
        self._keep(tx, json_text(checkpoint))

    # --- for the engine ---

    def interrupt(self, reason: type_reason) -> None:
        """From now on ``check`` raises; the gravest reason stays."""
        with self._lock:
            if self._reason is None or _RANK[reason] > _RANK[self._reason]:
                self._reason = reason
        self._interrupted.set()

    def obey(self, requested: str) -> None:
        """Interrupt the run when column ``requested`` says so."""
        if requested == "cancel":
            self.interrupt("cancel")
        elif requested == "pause":
            self.interrupt("pause")

    def standing(self) -> jobs.Standing:
        """What was last reported or saved, and the time this job has run."""
        with self._lock:
            runtime_s = self.job.runtime_s + clock.monotonic() - self._began
            return jobs.Standing(self._content, self._progress, runtime_s)

    def _keep(self, tx: Transaction, checkpoint: str) -> None:
        job = self.job
        if not jobs.save(tx, job.id, job.owner, self.standing(), clock.now(), checkpoint):
            self.interrupt("lost")
            raise Interrupted("lost")

    def _note(self, content: Mapping[str, type_json] | None, progress: float | None) -> None:
        text = None if content is None else json_text(content)
        with self._lock:
            if text is not None:
                self._content = text
            if progress is not None:
                self._progress = min(max(float(progress), 0.0), 1.0)
