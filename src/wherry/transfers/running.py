"""The buckets that are being received in this process right now.

A sender whose connection broke sends the bucket again, perhaps before we noticed: the later
attempt takes the place of the earlier one, which writes no byte any more. So a file that several
buckets share has one writer for each range, and none once this process has acknowledged the bucket.
The end of a transfer ends its attempts in the same way.

This holds within one process, and need not hold beyond: another one that receives the same bucket
writes to a file of its own (``following``), and what was acknowledged first counts.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wherry import clock, limits
from wherry.errors import Unavailable
from wherry.index.transfer_rows import InstanceRow, TransferRow
from wherry.storage.base import StorageArea
from wherry.transfers.following import Followers

if TYPE_CHECKING:
    from wherry.transfers.incoming import Incoming

type_key = tuple[str, int]
"""Transfer, position of the bucket."""


class Attempt:
    """One attempt to bring a bucket. ``alive()`` guards every step that touches files."""

    def __init__(self, key: type_key) -> None:
        self.key = key
        self.let_go: Callable[[], None] | None = None
        """Makes whoever waits for its next bytes stop waiting."""
        self.rests = threading.Event()
        """Set when nothing more comes, for now or for good."""
        self._lock = threading.Lock()
        self._over = False

    @contextmanager
    def alive(self) -> Iterator[None]:
        """While inside, nobody takes our place. Raises ``Unavailable`` when somebody has."""
        with self._lock:
            if self._over:
                raise Unavailable("The bucket is being sent again, or the transfer has ended")
            yield

    def end(self) -> None:
        """From now on ``alive`` raises; returns when nobody is inside."""
        with self._lock:
            self._over = True


@dataclass(frozen=True, slots=True)
class _Paused:
    bucket: Incoming
    since: float


class Running:
    """All attempts of this process, and the digests that follow them."""

    def __init__(self, storage: StorageArea) -> None:
        self._storage = storage
        self._lock = threading.Lock()
        self._attempts: dict[type_key, Attempt] = {}
        self._paused: dict[type_key, _Paused] = {}
        self._followers: dict[str, Followers] = {}

    def followers(self, transfer: TransferRow) -> Followers:
        """The digests of the instances of a transfer that come in parts."""
        with self._lock:
            found = self._followers.get(transfer.id)
            if found is None:
                found = self._followers[transfer.id] = Followers(self._storage, transfer.block)
            return found

    def digest(self, transfer_id: str, instance: InstanceRow, uuid: str) -> str | None:
        """The digest of an instance all of whose parts came through this process to one file."""
        with self._lock:
            found = self._followers.get(transfer_id)
        return None if found is None else found.digest(instance, uuid)

    def followed(self) -> set[str]:
        """The transfers that ``followers`` knows."""
        with self._lock:
            return set(self._followers)

    def begin(self, transfer_id: str, position: int) -> Attempt:
        """A new attempt; an earlier one for the same bucket is over when this returns."""
        attempt = Attempt((transfer_id, position))
        with self._lock:
            earlier = self._attempts.get(attempt.key)
            self._attempts[attempt.key] = attempt
            paused = self._paused.pop(attempt.key, None)
        if earlier is not None:
            earlier.end()
        if paused is not None:
            paused.bucket.forget()
        return attempt

    # --- buckets that were cut off ----------------------------------------------------------
    def pause(self, attempt: Attempt, bucket: Incoming) -> bool:
        """Keep what came of a bucket; False when another attempt has begun meanwhile."""
        with self._lock:
            if self._attempts.get(attempt.key) is not attempt:
                return False
            self._paused[attempt.key] = _Paused(bucket, clock.monotonic())
        attempt.rests.set()
        self.drop_paused(limits.PAUSED_BUCKET_S, limits.PAUSED_BUCKETS)
        return True

    def taken(self, transfer_id: str, position: int) -> int:
        """Bytes from which a bucket may go on. A connection on which more of it was expected is
        given up; if that takes too long, the bucket begins anew: 0."""
        key = (transfer_id, position)
        with self._lock:
            attempt = self._attempts.get(key)
        if attempt is not None and attempt.let_go is not None:
            attempt.let_go()
            attempt.rests.wait(limits.LET_GO_S)
        with self._lock:
            paused = self._paused.get(key)
        return 0 if paused is None else paused.bucket.taken

    def resume(self, transfer_id: str, position: int, taken: int) -> Incoming | None:
        """The bucket that stopped exactly there."""
        key = (transfer_id, position)
        with self._lock:
            paused = self._paused.get(key)
            if paused is None or paused.bucket.taken != taken:
                return None
            del self._paused[key]
            self._attempts[key].rests.clear()
        return paused.bucket.go_on()

    def drop_paused(self, older_than_s: float, most: int) -> None:
        """Abort what will not go on: what is old, and the oldest of too many."""
        now = clock.monotonic()
        with self._lock:
            by_age = sorted(self._paused, key=lambda key: self._paused[key].since)
            gone = [key for key in by_age if now - self._paused[key].since > older_than_s]
            gone += [key for key in by_age[: max(0, len(by_age) - most)] if key not in gone]
            buckets = [self._paused.pop(key).bucket for key in gone]
        for bucket in buckets:
            bucket.forget()

    # --- ends --------------------------------------------------------------------------------

    def done(self, attempt: Attempt) -> None:
        """This attempt does nothing more. Repeatable."""
        attempt.rests.set()
        with self._lock:
            if self._attempts.get(attempt.key) is attempt:
                del self._attempts[attempt.key]

    def end_all(self, transfer_id: str) -> None:
        """End every attempt of a transfer."""
        with self._lock:
            attempts = [one for key, one in self._attempts.items() if key[0] == transfer_id]
            self._followers.pop(transfer_id, None)
            keys = [key for key in self._paused if key[0] == transfer_id]
            paused = [self._paused.pop(key).bucket for key in keys]
        for attempt in attempts:
            attempt.end()
        for bucket in paused:
            bucket.forget()

    def transfers(self) -> set[str]:
        """The transfers that something is arriving for."""
        with self._lock:
            return {transfer_id for transfer_id, _ in self._attempts.keys() - self._paused.keys()}
