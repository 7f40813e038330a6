"""Files of one bucket that are written while its next bytes come.

Where files are not shared, storing each is a conversation over the network, which waits most of the
time: several go on at once, so that a bucket of many instances does not wait for one after the
other. How many is bounded, because each holds a buffer.

Not here: local files, which are written at once and synced together.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait

from wherry import limits


class Storing:
    """One thread at a time may call; ``abandon`` it or ``finish`` it."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._under_way: deque[Future[None]] = deque()

    def begin(self, work: Callable[[], None]) -> None:
        """Do this too, when there is room for it. Raises what an earlier one raised."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(limits.BUCKET_STORES, "bucket-store")
        while len(self._under_way) >= limits.BUCKET_STORES:
            self._under_way.popleft().result()
        self._under_way.append(self._pool.submit(work))

    def finish(self) -> None:
        """Wait until all is done. Raises what one of them raised."""
        while self._under_way:
            self._under_way.popleft().result()
        self.abandon()

    def abandon(self) -> None:
        """Nothing more is done when this returns. Repeatable."""
        wait(self._under_way)
        self._under_way.clear()
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
