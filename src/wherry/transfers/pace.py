"""The pace of one transfer: how its buckets are packed, and how many travel at once.

With ``auto`` both are found while it runs (``tuning``), beginning with what was best for this peer
the last time. With ``none`` or ``gzip`` the packing is what was asked for.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from wherry import clock, limits
from wherry.transfers.encoding import GZIP, LADDER, NONE, Encoding
from wherry.transfers.tuning import Knob, Tuner

_FIRST = 2
"""Where on the ladder a transfer to an unknown peer begins: it packs well, at 500 MB/s or more. One
to a peer on the same machine, which has no line, begins without packing."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """One bucket on its way."""

    encoding: Encoding
    mark: int


class Pace:
    """From any thread."""

    def __init__(self, ladder: Sequence[Encoding], place: int, threads: int, most: int) -> None:
        """``place``: where on the ladder to begin; ``threads``, ``most``: requests at once."""
        counts = sorted({threads, *(n for n in (1, 2, 4, 8, 16, 32) if threads // 2 <= n <= most)})
        self._workers: Knob[object] = Knob(counts, counts.index(threads))
        self._ladder: Knob[object] = Knob(ladder, place)
        self._tuner = Tuner([self._workers, self._ladder])
        self._lock = threading.Lock()
        self.used: Counter[str] = Counter()
        """How many buckets were packed in which way."""

    @property
    def workers(self) -> int:
        """Requests at once."""
        return self._workers.value  # type: ignore[return-value]

    @property
    def encoding(self) -> Encoding:
        """How buckets are packed now."""
        return self._ladder.value  # type: ignore[return-value]

    def begin(self) -> Ticket:
        """A bucket is about to be made."""
        with self._lock:
            return Ticket(self.encoding, self._tuner.mark)

    def arrived(self, ticket: Ticket, size: int) -> None:
        """It is acknowledged: ``size`` plain bytes."""
        with self._lock:
            self.used[str(ticket.encoding)] += 1
            self._tuner.arrived(ticket.mark, size, clock.monotonic(), self.workers)


class Paces:
    """What was best for each peer, while this process lives."""

    def __init__(self, threads: int) -> None:
        """``threads``: requests at once to a peer that is not known."""
        self._threads = threads
        self._most = max(threads, limits.TRANSFER_THREADS)
        self._known: dict[str, tuple[int, Encoding]] = {}

    def pace(self, peer: str, compression: str, *, blocks: bool, near: bool = False) -> Pace:
        """For a transfer to or from a peer; ``blocks``: whether it knows more than stock servers
        do; ``near``: whether it is on this machine."""
        first = NONE if near else LADDER[_FIRST]
        workers, best = self._known.get(peer, (self._threads, first))
        workers = min(max(workers, 1), self._most)
        if compression == "none":
            ladder: Sequence[Encoding] = (NONE,)
        elif compression == "gzip":
            ladder = (GZIP,)
        elif not blocks:
            ladder = (NONE,) if near else (GZIP,)
        else:
            ladder = LADDER
        place = ladder.index(best) if best in ladder and len(ladder) > 1 else 0
        return Pace(ladder, place, workers, self._most)

    def remember(self, peer: str, pace: Pace) -> None:
        """A transfer has ended well."""
        self._known[peer] = (pace.workers, pace.encoding)
