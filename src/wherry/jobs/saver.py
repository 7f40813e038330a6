"""One write for all threads that want something durable at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Saver:
    """Writes the checkpoint down, once for all threads that ask for it at the same time."""

    def __init__(self, write: Callable[[], None]) -> None:
        self._write = write
        self._count = threading.Lock()
        self._turn = threading.Lock()
        self._asked = self._written = 0

    def save(self) -> None:
        """Returns when everything that was true before the call is durable."""
        with self._count:
            self._asked += 1
            mine = self._asked
        with self._turn:
            if self._written >= mine:  # a later one was written while we waited
                return
            with self._count:
                newest = self._asked
            self._write()
            self._written = newest
