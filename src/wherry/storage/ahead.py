"""Work on files that are far away: several pieces of it at once, the results in order.

Each piece waits for a network most of its time. What lies on a local disk needs none of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Executor, Future
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
