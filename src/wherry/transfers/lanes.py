"""In which order buckets travel: the parts of an instance one after the other, when there are other
instances to send beside it. Then the receiver can take its digest as they come (``following``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from wherry.model import Bucket


class Lanes:
    """The buckets of one round. Not thread-safe: its users share a lock (``Crew``)."""

    def __init__(self, buckets: Sequence[Bucket], positions: Iterable[int]) -> None:
        """``positions``: of the buckets that are to travel, in order."""
        self._waiting: dict[object, deque[int]] = {}
        """By instance for its parts, by position for other buckets."""
        self._lane_of: dict[int, object] = {}
        self._busy: dict[object, int] = {}
        for position in positions:
            chunks = buckets[position].chunks
            alone = len(chunks) == 1
            lane: object = chunks[0].orthanc_id if alone else position
            self._waiting.setdefault(lane, deque()).append(position)
            self._lane_of[position] = lane
        self._free = deque(self._waiting)

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        """The next bucket: of an instance that nobody is sending, or else of any."""
        lane = self._free.popleft() if self._free else next(iter(self._waiting), None)
        if lane is None:
            raise StopIteration
        waiting = self._waiting[lane]
        position = waiting.popleft()
        if not waiting:
            del self._waiting[lane]
        self._busy[lane] = self._busy.get(lane, 0) + 1
        return position

    def done(self, position: int) -> None:
        """A bucket has arrived, or failed."""
        lane = self._lane_of[position]
        self._busy[lane] -= 1
        if not self._busy[lane]:
            del self._busy[lane]
            if lane in self._waiting:
                self._free.appendleft(lane)
