"""The thread that looks whether a webhook has something to hear, and gives it a job.

What there is to tell stands in the logs, and how far a webhook is in the index. So nothing has to
be handed from who makes an event to who tells of it, and nothing is lost when a process dies in
between: this process, or another one, finds it at its next look.

Not here: what is told (``events``), how (``job``).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from wherry import clock, limits
from wherry.config.webhooks import Webhook
from wherry.errors import WherryError
from wherry.index import job_rows, webhooks
from wherry.index.database import Index, Transaction
from wherry.index.webhooks import Position
from wherry.jobs.engine import JobEngine
from wherry.model import JobState
from wherry.webhooks import events

_log = logging.getLogger(__name__)


class _Taken(Exception):
    """Undoes a submission: another process was quicker."""


@dataclass(frozen=True, slots=True)
class _Due:
    """A webhook that has something to hear, and no job."""

    webhook: Webhook
    failed_job: str
    """One that gave up earlier and can go on; or empty."""


class Lookout:
    """Looks, in one process, between ``start`` and ``close``."""

    def __init__(self, index: Index, jobs: JobEngine, webhooks: Sequence[Webhook]) -> None:
        self._index = index
        self._jobs = jobs
        self._webhooks = webhooks
        self._seen: dict[str, Position] = {}
        """Up to where there was nothing to hear, so that it need not be looked at again."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)

    def start(self) -> None:
        """Let each webhook begin here, if it is new, and look from now on."""
        if self._webhooks:
            self._index.write(self._begin)
            self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def look(self) -> int:
        """Look once; the number of webhooks that were given a job."""
        with self._index.read() as tx:
            found = [self._due(tx, webhook) for webhook in self._webhooks]
        due = [one for one in found if one is not None]
        for one in due:
            self._give_job(one)
        return len(due)

    def _run(self) -> None:
        while not self._stop.wait(limits.WEBHOOK_POLL_S):
            try:
                self.look()
            except WherryError as error:
                _log.warning("Cannot look after webhooks: %s", error)

    def _begin(self, tx: Transaction) -> None:
        for webhook in self._webhooks:
            webhooks.begin(tx, webhook.name)

    def _due(self, tx: Transaction, webhook: Webhook) -> _Due | None:
        row = webhooks.get(tx, webhook.name)
        if row is None or job_rows.alive(tx, row.job) or clock.timestamp() < row.rest_until:
            return None
        if row.delivery is None:
            seen = max(row.position, self._seen.get(webhook.name, row.position))
            waiting, end = events.behind(tx, webhook, seen, 1)
            if not waiting:
                self._seen[webhook.name] = end
                return None
        job = job_rows.get(tx, row.job)
        failed = job is not None and job.state is JobState.FAILURE
        return _Due(webhook, row.job if failed else "")

    def _give_job(self, due: _Due) -> None:
        """The job that failed, so that history holds one of a webhook, not hundreds; or a new one.
        Of several processes one succeeds."""
        if due.failed_job and self._jobs.resubmit(due.failed_job):
            return
        name = due.webhook.name

        def take(tx: Transaction, job_id: str) -> None:
            if not webhooks.take(tx, name, job_id):
                raise _Taken

        try:
            told = {"Webhook": name}
            self._jobs.submit(events.JOB_TYPE, told, content=told, also=take)
        except _Taken:
            _log.debug("Another process looks after webhook %s", name)
