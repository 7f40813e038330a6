"""Several threads that work through a list, for work that may be interrupted at any moment."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar, cast

from wherry import clock, limits
from wherry.jobs.handler import Interrupted

T = TypeVar("T")

_END: Final = object()
_LOOK_S: Final = 0.2
"""How often an interruption is looked for: it takes effect in the middle of a long request."""


class Stopped(Exception):
    """This thread shall end: another one failed, or the work was interrupted."""


class Crew:
    """Threads of one phase of the work."""

    def __init__(self, threads: int, check: Callable[[], None], abort: Callable[[], None]) -> None:
        """``check`` raises when the work is interrupted; ``abort`` lets requests under way fail.

        When the work will go on later, what is under way has a moment to come to its end before
        that: else it would be done again.
        """
        self._threads = threads
        self._check = check
        self._abort = abort
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._error: BaseException | None = None

    def work(
        self,
        items: Iterable[T],
        do: Callable[[T], None],
        done: Callable[[T], None] = lambda _: None,
    ) -> None:
        """Call ``do`` for each item, in about this order, and return when all is done.

        ``items`` and ``done``, which is told when ``do`` has returned, are called by one thread at
        a time. Raises the first error of ``do``, or what ``check`` raises; no thread is left.
        """
        waiting: Iterator[T | object] = iter(items)

        def run() -> None:
            while not self._stop.is_set():
                try:
                    with self._lock:
                        item = next(waiting, _END)
                    if item is _END:
                        return
                    do(cast("T", item))
                    with self._lock:
                        done(cast("T", item))
                except Stopped:
                    return
                except BaseException as error:
                    if self._end(error):
                        self._abort()
                    return

        threads = [
            threading.Thread(target=run, name=f"crew-{number}", daemon=True)
            for number in range(self._threads)
        ]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                while thread.is_alive():
                    thread.join(_LOOK_S)
                    self._check()
        except BaseException as error:
            if self._end(error):
                if isinstance(error, Interrupted) and error.reason in ("stop", "pause"):
                    _wait(threads)
                self._abort()
        for thread in threads:
            thread.join()
        if self._error is not None:
            raise self._error

    def pause(self, seconds: float) -> None:
        """Wait inside ``do``. Raises ``Stopped`` when there is no point in going on."""
        if self._stop.wait(seconds):
            raise Stopped

    def _end(self, error: BaseException) -> bool:
        """Nothing new is begun; whether ``error`` is the first reason for that."""
        with self._lock:
            first = self._error is None
            if first:
                self._error = error
        self._stop.set()
        return first


def _wait(threads: Iterable[threading.Thread]) -> None:
    until = clock.monotonic() + limits.JOB_UNDER_WAY_S
    for thread in threads:
        thread.join(max(0.0, until - clock.monotonic()))
