"""Keeping transfers with one peer below the rate that its line may be filled with.

One throttle for all transfers with a peer in this process, in both directions; what one of them
does not use, the others have. Its rate may change with the hour; at rate 0 everybody waits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Final

from wherry import clock
from wherry import limits as bounds
from wherry.config.links import LinkLimits
from wherry.storage.base import type_read

_BURST_S: Final = 0.05
"""A line that was idle for longer has no more saved up."""

type_wait = Callable[[float], None]


class Throttle:
    """From any thread."""

    def __init__(self, limits: LinkLimits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._free_at = 0.0
        """When everything that was let through will have passed."""

    def pass_on(self, size: int, wait: type_wait) -> None:
        """Wait until ``size`` bytes may travel. ``wait`` raises when there is no point."""
        rate = self._open(wait)
        if rate is None:
            return
        with self._lock:
            now = clock.monotonic()
            self._free_at = max(self._free_at, now - _BURST_S) + size / rate
            pause = self._free_at - now
        if pause > 0:
            wait(pause)

    def read(self, read: type_read, wait: type_wait) -> type_read:
        """The same reader, slowed down."""

        def slowly(room: memoryview) -> int:
            size = read(room[: bounds.THROTTLED_BYTES])
            self.pass_on(size, wait)
            return size

        return slowly

    def wait_until_open(self, wait: type_wait) -> None:
        """At hours without transfers: wait for others."""
        self._open(wait)

    def _open(self, wait: type_wait) -> float | None:
        while (rate := self._limits.at(clock.now().astimezone())) == 0:
            wait(bounds.CLOSED_LOOK_S)
        return rate


class Throttled:
    """A transfer that uses a throttle, or none."""

    def __init__(self, throttle: Throttle | None, wait: type_wait) -> None:
        self._throttle = throttle
        self._wait = wait

    @property
    def pass_on(self) -> Callable[[int], None] | None:
        """What ``Request.pass_on`` is to be."""
        throttle, wait = self._throttle, self._wait
        return None if throttle is None else lambda size: throttle.pass_on(size, wait)

    def read(self, read: type_read) -> type_read:
        """The same reader, slowed down."""
        return read if self._throttle is None else self._throttle.read(read, self._wait)

    def wait_until_open(self) -> None:
        """At hours without transfers: wait for others."""
        if self._throttle is not None:
            self._throttle.wait_until_open(self._wait)


class Throttles:
    """Those of all peers."""

    def __init__(self, limits: Mapping[str, LinkLimits]) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._made: dict[str, Throttle] = {}

    def of(self, peer: str, wait: type_wait) -> Throttled:
        """That of a peer, for one transfer. ``wait`` raises when there is no point."""
        if peer not in self._limits:
            return Throttled(None, wait)
        with self._lock:
            return Throttled(self._made.setdefault(peer, Throttle(self._limits[peer])), wait)
