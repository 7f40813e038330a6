"""Which processes work on this index, and which of them are dead.

A process writes a row when it starts and renews it while it lives. Everything a process holds
(jobs, blocks of file names) names the process, so one lease stands for all. On the same host a
dead process is known at once, by its process id and start time; elsewhere by a row that has not
changed for ``limits.LEASE_S`` of *our* clock, so that clocks need not agree. An embedded index is
for one machine: who was last seen before the machine began is dead. (Containers of one machine may
say that they began at different times.)
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from wherry import clock, limits
from wherry.index import processes
from wherry.index.database import Index
from wherry.index.processes import ProcessRow

log = logging.getLogger(__name__)


_ABOUT_S = 60.0
"""What the clock of a machine may have been set by when it began."""


class Presence:
    """The lease of this process, and its view of the others."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self.id = clock.new_uuid()
        self._seen: dict[str, tuple[float, float]] = {}
        """Per process: last heartbeat read, and when (monotonic) it was first read."""

    def register(self) -> None:
        """Write the row of this process."""
        row = ProcessRow(
            id=self.id,
            host=_host(),
            pid=os.getpid(),
            started=_started(os.getpid()) or "",
            heartbeat_at=clock.timestamp(),
        )
        self._index.write(lambda tx: processes.register(tx, row))

    def renew(self) -> None:
        """Show that this process lives; one that was taken for dead announces itself again."""
        at = clock.timestamp()
        if not self._index.write(lambda tx: processes.renew(tx, self.id, at)):
            log.warning("Other processes took this one for dead; what it held is theirs now")
            self.register()

    def leave(self) -> None:
        """A clean stop: nothing is left that another process would have to take over."""
        self._index.write(lambda tx: processes.forget(tx, self.id))

    def dead(self) -> list[str]:
        """Identifiers of processes that are known to be dead now."""
        with self._index.read() as tx:
            rows = processes.everyone(tx)
        self._seen = {row.id: self._seen[row.id] for row in rows if row.id in self._seen}
        return [row.id for row in rows if row.id != self.id and self._is_dead(row)]

    def known(self) -> set[str]:
        """Identifiers of all processes that are announced, this one among them."""
        with self._index.read() as tx:
            return {row.id for row in processes.everyone(tx)}

    def bury(self, process_id: str) -> None:
        """All that a dead process held has been taken over."""
        self._index.write(lambda tx: processes.forget(tx, process_id))

    def _is_dead(self, row: ProcessRow) -> bool:
        if row.host == _host():
            return _started(row.pid) != row.started
        another_boot = self._index.embedded and not row.host.startswith(_boot())
        if another_boot and row.heartbeat_at < _booted_at() + _ABOUT_S:
            return True
        now = clock.monotonic()
        heartbeat, since = self._seen.get(row.id, (None, now))
        if heartbeat != row.heartbeat_at:
            self._seen[row.id] = (row.heartbeat_at, now)
            return False
        return now - since > limits.LEASE_S


def _host() -> str:
    """This boot of this machine, and this process namespace: where a process id means something."""
    return f"{_boot()}{Path('/proc/self/ns/pid').readlink()}"


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip() + "/"


def _booted_at() -> float:
    """When this machine began, in seconds since 1970."""
    return clock.timestamp() - clock.awake_or_not()


def _started(pid: int) -> str | None:
    """Start time of a process in clock ticks since boot (proc(5), field 22); None: no process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]
