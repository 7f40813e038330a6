"""Work on files that are far away: several pieces of it at once, the results in order.

Each piece waits for a network most of its time. What lies on a local disk needs none of it. Streams
that read share their threads, and what they hold is bounded together.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from wherry import limits

T = TypeVar("T")


def in_order(
    pool: Executor, works: Iterable[Callable[[], T]], undo: Callable[[T], object]
) -> Generator[T, None, None]:
    """The results of ``works``, of which ``limits.FILES_AHEAD`` are under way at once. When one
    raises, or nobody wants the rest, the results that nobody gets are handed to ``undo``."""
    coming: deque[Future[T]] = deque()
    try:
        for work in works:
            coming.append(pool.submit(work))
            if len(coming) == limits.FILES_AHEAD:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()
    finally:
        for future in coming:
            future.cancel()
        for future in coming:
            if not future.cancelled():
                with suppress(Exception):  # the first error is the one that counts
                    undo(future.result())


class Ahead:
    """``in_order`` for any number of streams, of which all together have at most ``most`` results
    that were not asked for yet. Work must not wait for other work of a stream."""

    def __init__(self, most: int) -> None:
        self._pool = ThreadPoolExecutor(most, "files-ahead")
        self._lock = threading.Lock()
        self._free = most

    def in_order(
        self, works: Iterable[Callable[[], T]], undo: Callable[[T], object]
    ) -> Generator[T, None, None]:
        """The results of ``works``; each counts until the next is asked for. A stream takes no more
        places than it leaves to others; while there is none, it works in the thread of the caller.
        In the end nobody waits for what is under way: ``undo`` gets it when it is there."""
        coming: deque[Future[T]] = deque()
        rest = iter(works)
        work = next(rest, None)
        try:
            while work is not None or coming:
                while work is not None and self._take(len(coming)):
                    coming.append(self._pool.submit(work))
                    work = next(rest, None)
                if coming:
                    future = coming.popleft()
                    try:
                        yield future.result()
                    finally:
                        self._give_back()
                elif work is not None:
                    yield work()
                    work = next(rest, None)
        finally:
            for future in coming:
                future.cancel()
                future.add_done_callback(lambda future: self._drop(future, undo))

    def _drop(self, future: Future[T], undo: Callable[[T], object]) -> None:
        try:
            if not future.cancelled():
                with suppress(Exception):  # nobody asks any more
                    undo(future.result())
        finally:
            self._give_back()

    def _take(self, held: int) -> bool:
        with self._lock:
            if held >= min(limits.FILES_AHEAD, self._free):
                return False
            self._free -= 1
            return True

    def _give_back(self) -> None:
        with self._lock:
            self._free += 1
