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

    def __init__(
        self,
        threads: int | Callable[[], int],
        check: Callable[[], None],
        abort: Callable[[], None],
    ) -> None:
        """``threads``: how many, or a function that says how many there should be now; ``check``
        raises when the work is interrupted; ``abort`` lets requests under way fail.

        When the work will go on later, what is under way has a moment to come to its end before
        that: else it would be done again.
        """
        self._wanted = threads if callable(threads) else lambda: threads
        self._check = check
        self._abort = abort
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._threads: dict[int, threading.Thread] = {}
        self._exhausted = threading.Event()

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

        def run(number: int) -> None:
            while not self._stop.is_set() and number < max(1, self._wanted()):
                try:
                    with self._lock:
                        item = next(waiting, _END)
                    if item is _END:
                        self._exhausted.set()
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

        self._exhausted.clear()
        try:
            while self._man(run):
                for thread in self._alive():
                    thread.join(_LOOK_S)
                    self._check()
                    break
        except BaseException as error:
            if self._end(error):
                if isinstance(error, Interrupted) and error.reason in ("stop", "pause"):
                    _wait(self._alive())
                self._abort()
        for thread in self._alive():
            thread.join()
        if self._error is not None:
            raise self._error

    def _man(self, run: Callable[[int], None]) -> bool:
        """Have as many threads as are wanted, while there is work; whether any is alive."""
        if not self._stop.is_set() and not self._exhausted.is_set():
            for number in range(max(1, self._wanted())):
                thread = self._threads.get(number)
                if thread is None or not thread.is_alive():
                    thread = threading.Thread(
                        target=run, args=(number,), name=f"crew-{number}", daemon=True
                    )
                    self._threads[number] = thread
                    thread.start()
        return bool(self._alive())

    def _alive(self) -> list[threading.Thread]:
        return [thread for thread in self._threads.values() if thread.is_alive()]

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
