"""A wake-up that cannot be lost between looking for work and going to sleep.

    seen = signal.seen()
    if not look_for_work():
        signal.wait(seen)

``wait`` returns at once when somebody gave the signal after ``seen`` was called.
"""

from __future__ import annotations

import threading


class Signal:
    """A counter that threads can wait for."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._given = 0

    def give(self) -> None:
        """Wake everybody who waits, and everybody who was about to."""
        with self._changed:
            self._given += 1
            self._changed.notify_all()

    def seen(self) -> int:
        """The count to hand to ``wait``."""
        with self._changed:
            return self._given

    def wait(self, seen: int, timeout_s: float | None = None) -> None:
        """Sleep until a signal after ``seen``, or until the timeout."""
        with self._changed:
            self._changed.wait_for(lambda: self._given != seen, timeout_s)
