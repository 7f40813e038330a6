"""The memory that buckets on their way in share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from wherry import limits
from wherry.errors import Unavailable


class Room:
    """For so many buckets at once. For the event loop."""

    def __init__(self, buckets: int) -> None:
        self._free = buckets

    @contextmanager
    def taken(self) -> Iterator[None]:
        """While one bucket is received. Raises ``Unavailable``."""
        if not self._free:
            raise Unavailable(
                "As many buckets are arriving as fit in memory (TransferMemory)",
                retry_after_s=limits.TRANSFER_SOON_S,
            )
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1
