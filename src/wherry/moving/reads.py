"""Which studies are read: noted in memory, written down by the day.

To read must not write. So a reader only leaves the name of a file in a set; every few seconds the
names become studies, and a study becomes a row when it was not read yet today. After a crash the
last seconds are not known, which at worst moves a study a day early: it is read from there then.
"""

from __future__ import annotations

from functools import partial

from wherry import clock, limits
from wherry.index import tiers
from wherry.index.database import Index

_DAY_S = 24 * 3600


class ReadNotes:
    """The notes of one process. ``note`` from any thread, ``flush`` from one."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._names: set[str] = set()
        self._studies: set[int] = set()
        """Rows that were written down today."""
        self._today = 0

    def note(self, uuid: str) -> None:
        """A file is read. What is too much for the moment is forgotten."""
        if len(self._names) < limits.NOTED_READS:
            self._names.add(uuid)

    def flush(self) -> None:
        """Write down what was noted since the last time."""
        names, self._names = self._names, set()
        now = clock.timestamp()
        if now // _DAY_S != self._today:
            self._today = int(now // _DAY_S)
            self._studies.clear()
        waiting = list(names)
        for start in range(0, len(waiting), limits.INDEX_ROWS_AT_ONCE):
            with self._index.read() as tx:
                found = tiers.studies_of_files(
                    tx, waiting[start : start + limits.INDEX_ROWS_AT_ONCE]
                )
            fresh = found - self._studies
            if fresh:
                self._index.write(partial(tiers.read, studies=fresh, at=now))
                self._studies |= fresh
