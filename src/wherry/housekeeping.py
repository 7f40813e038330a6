"""The thread that renews the lease of this process, takes over from the dead, marks what is stable
and does what is due now and then.

Each duty stands by itself: one that fails, or whose storage is out of reach, does not keep the
others, and comes again with the next round. Not here: what the duties are in detail.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from wherry import clock, limits
from wherry.errors import StorageUnavailable
from wherry.index import stability, staging
from wherry.index.database import Index
from wherry.ingest.recovery import give_up_copies, restore, seize, sweep

if TYPE_CHECKING:
    from wherry.http.services import Services
    from wherry.moving.policy import Policy
    from wherry.moving.reads import ReadNotes
    from wherry.presence import Presence

log = logging.getLogger(__name__)

_STABLE_BATCH = 1000
_EXPIRE_EVERY_S = 60.0


class Housekeeping:
    """One thread, a round every ``limits.HEARTBEAT_S``."""

    def __init__(
        self, parts: Services, presence: Presence, reads: ReadNotes, policy: Policy
    ) -> None:
        self._parts = parts
        self._presence = presence
        self._reads = reads
        self._policy = policy
        self._stop = threading.Event()
        self._next_expiry = clock.monotonic() + _EXPIRE_EVERY_S
        self._next_worklist = clock.monotonic()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)

    def start(self) -> None:
        """Begin the rounds."""
        self._thread.start()

    def close(self) -> None:
        """End them."""
        self._stop.set()
        self._thread.join()

    def bury_the_dead(self) -> None:
        """Take over jobs and leftovers of dead processes."""
        index, storage = self._parts.index, self._parts.storage
        logs_left = set(storage.logs())
        dead = self._presence.dead()
        jobs = self._parts.jobs.adopt(dead)
        with index.read() as tx:
            gone = [*dead, *staging.ownerless(tx)]
        if give_up_copies(index, dead):
            self._parts.ingest.wake_janitor()
        seize(index, gone)
        lost = [*dead, *logs_left.difference(self._presence.known())]
        # First what was acknowledged, and needs nobody else; then what is in the way.
        insert = self._parts.ingest.keep_promised
        restored = sum(restore(index, storage, process_id, insert) for process_id in lost)
        removed = sweep(index, storage)
        for process_id in dead:
            self._presence.bury(process_id)
        if not dead:
            return
        log.warning(
            "An earlier process ended without notice: %d unfinished files removed, "
            "%d files restored, %d jobs taken over",
            removed,
            restored,
            jobs,
        )

    def _run(self) -> None:
        while not self._stop.wait(limits.HEARTBEAT_S):
            for duty in (
                self._presence.renew,
                self.bury_the_dead,
                self._mark_stable,
                self._expire_transfers,
                self._expire_worklists,
                self._reads.flush,
                self._policy.look,
            ):
                try:
                    duty()
                except StorageUnavailable as error:
                    log.warning("Housekeeping waits: %s", error)
                except Exception:  # whatever it is, the others depend on the next round
                    log.exception("Housekeeping failed; it tries again")

    def _mark_stable(self) -> None:
        mark_stable(self._parts.index, self._parts.config.stable_age_s)

    def _expire_transfers(self) -> None:
        if clock.monotonic() >= self._next_expiry:
            self._parts.transfers.expire()
            self._next_expiry = clock.monotonic() + _EXPIRE_EVERY_S

    def _expire_worklists(self) -> None:
        worklists = self._parts.config.worklists
        if worklists.enable and clock.monotonic() >= self._next_worklist:
            self._parts.worklists.expire()
            self._next_worklist = clock.monotonic() + worklists.housekeeping_s


def mark_stable(index: Index, stable_age_s: float) -> None:
    """Announce what nothing was added to for so long."""
    before = clock.timestamp() - stable_age_s
    while index.write(lambda tx: stability.mark_stable(tx, before, _STABLE_BATCH)):
        pass


@contextmanager
def left_to_housekeeping() -> Iterator[None]:
    """A storage that is out of reach keeps no server from starting."""
    try:
        yield
    except StorageUnavailable as error:
        log.warning("What an earlier process left is looked at later: %s", error)
