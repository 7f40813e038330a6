"""What waits for a worker process of images, for requests: on threads of its own, so that neither a
hundred thumbnails nor a few files that are transcoded hold up anything else.

Not here: the processes (``imaging.pool``), what is asked of them (the faces).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from wherry import limits
from wherry.errors import Unavailable
from wherry.http.threads import Pool

T = TypeVar("T")


class Drawing:
    """As many threads as there are workers, and one that prepares the next task."""

    def __init__(self, workers: int) -> None:
        self._size = workers + 1
        self._threads: Pool | None = None
        self._waiting = 0

    async def make(self, work: Callable[[], T]) -> T:
        """What ``work`` returns. On the event loop. Raises ``Unavailable`` when too many wait, and
        what ``work`` raises."""
        if self._waiting >= limits.IMAGING_WAITING:
            raise Unavailable("Too many images are waiting to be made")
        self._waiting += 1
        try:
            return await self.start(work)
        finally:
            self._waiting -= 1

    def start(self, work: Callable[..., T], *args: object) -> asyncio.Future[T]:
        """The same now, and however many wait: for what has begun. On the event loop."""
        return self._pool().submit(work, args, {})

    def post(self, work: Callable[..., object], *args: object) -> None:
        """As ``threads.post``. On the event loop."""
        self._pool().post(work, args)

    def _pool(self) -> Pool:
        if self._threads is None:
            self._threads = Pool(self._size)
        return self._threads

    def close(self) -> None:
        """End the threads, after what is queued."""
        if self._threads is not None:
            self._threads.stop()
