"""Names for new files, journaled before the first byte is written.

A *block* is a UUID prefix of 13 characters (``abcd1234-5678``) that the index knows before any
file bears it. After a crash the block tells which files may be leftovers: those that begin with
it and are no attachment. All files of a block share one folder, so that it is made and synced
once for many files.
"""

from __future__ import annotations

import threading
from functools import partial

from wherry import clock, limits
from wherry.index import staging
from wherry.index.database import Index, Transaction
from wherry.storage.base import StorageArea

PREFIX_LENGTH = 13


def new_prefix() -> str:
    """A fresh block prefix: 48 random bits."""
    digits = clock.random_hex(12)
    return f"{digits[:8]}-{digits[8:]}"


def name_in(prefix: str) -> str:
    """A fresh UUID (RFC 9562 version 4) that begins with ``prefix``: 74 random bits more."""
    digits = clock.random_hex(19)
    variant = "89ab"[int(digits[3], 16) & 3]
    return f"{prefix}-4{digits[:3]}-{variant}{digits[4:7]}-{digits[7:]}"


class NameBlocks:
    """Hands out names of blocks that belong to this process; safe from any thread."""

    def __init__(self, index: Index, storage: StorageArea, owner: str) -> None:
        self._index = index
        self._storage = storage
        self._owner = owner
        self._opening = threading.Lock()
        """Held while a block is journaled; never by ``settle``, which the index writer calls."""
        self._lock = threading.Lock()
        self._prefix = ""
        self._left = 0
        self._open: dict[str, int] = {}
        """Names of each block that are neither committed nor removed yet."""

    def take(self) -> str:
        """A fresh name. Blocks for about a millisecond, once in many names, to journal them."""
        with self._opening:
            if self._left == 0:
                self._start_block()
            with self._lock:
                self._left -= 1
                self._open[self._prefix] += 1
                return name_in(self._prefix)

    def _start_block(self) -> None:
        prefix = new_prefix()
        self._index.write(lambda tx: staging.open_block(tx, prefix, self._owner))
        with self._lock:
            full, self._prefix = self._prefix, prefix
            self._left = limits.STAGING_BLOCK_FILES
            self._open[prefix] = 0
            done = full if self._open.get(full) == 0 else ""
            self._open = {name: count for name, count in self._open.items() if name != done}
        if done:
            self._close_block(done)

    def settle(self, uuid: str) -> None:
        """This name is committed, or its file is gone: it needs no journal any more."""
        prefix = uuid[:PREFIX_LENGTH]
        with self._lock:
            self._open[prefix] -= 1
            done = prefix != self._prefix and self._open[prefix] == 0
            if done:
                del self._open[prefix]
        if done:
            self._close_block(prefix)

    def _close_block(self, prefix: str) -> None:
        self._storage.sync_removals([prefix])
        self._index.submit(partial(_close_blocks, [prefix]), _forget)

    def close(self) -> None:
        """At a clean stop: close every block whose names are settled; a restart sweeps others."""
        with self._lock:
            done = [prefix for prefix, count in self._open.items() if count == 0]
            self._left, self._prefix = 0, ""
            for prefix in done:
                del self._open[prefix]
        if done:
            self._storage.sync_removals(done)
            self._index.write(partial(_close_blocks, done))


def _close_blocks(prefixes: list[str], tx: Transaction) -> None:
    for prefix in prefixes:
        staging.close_block(tx, prefix)


def _forget(_result: object, _error: BaseException | None) -> None:
    """A block that could not be closed is swept at the next start: nothing to do now."""
