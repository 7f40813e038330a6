"""Names for new files, journaled before the first byte is written.

A *block* is a UUID prefix of 13 characters (``abcd1234-5678``) that the index knows before any
file bears it. After a crash the block tells which files may be leftovers: those that begin with
it and are no attachment. All files of a block share one folder, so that it is made and synced
once for many files.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial

from wherry import clock, limits
from wherry.index import deletions, staging
from wherry.index.database import Index, Transaction
from wherry.index.deletions import type_file
from wherry.index.staging import block_of
from wherry.storage.base import StorageArea


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
    """Hands out names of blocks that belong to this process; safe from any thread.

    Each thread has a block, and so a folder, of its own: the sync of a folder that nobody else is
    changing costs next to nothing after the sync of the file.
    """

    def __init__(self, index: Index, storage: StorageArea, owner: str) -> None:
        self._index = index
        self._storage = storage
        self._owner = owner
        self._mine = threading.local()
        self._lock = threading.Lock()
        """Never held while waiting for the index, whose writer calls ``settle``."""
        self._open: dict[str, int] = {}
        """Names of each block that are neither committed nor removed, and 1 more while its
        thread may take from it."""
        self._generation = 0

    def take(self) -> str:
        """A fresh name. Blocks for about a millisecond, once in many names, to journal them."""
        left: int = getattr(self._mine, "left", 0)
        if not left or self._mine.generation != self._generation:
            self._start_block()
            left = limits.STAGING_BLOCK_FILES
        self._mine.left = left - 1
        prefix: str = self._mine.prefix
        with self._lock:
            self._open[prefix] += 1
        name = name_in(prefix)
        if not self._mine.left:
            self.settle(prefix)
        return name

    def _start_block(self) -> None:
        prefix = new_prefix()
        self._index.write(lambda tx: staging.open_block(tx, prefix, self._owner))
        with self._lock:
            self._open[prefix] = 1
        self._mine.prefix = prefix
        self._mine.generation = self._generation

    def abandon(self) -> None:
        """The blocks were taken away from this process: the next names come from new ones."""
        self._generation += 1

    def settle(self, uuid: str) -> None:
        """This name is committed, or its file is gone: it needs no journal any more."""
        prefix = block_of(uuid)
        with self._lock:
            self._open[prefix] -= 1
            done = not self._open[prefix]
            if done:
                del self._open[prefix]
        if done:
            self._storage.sync_removals([prefix])
            self._index.submit(partial(_close_blocks, [prefix]), _forget)

    def leave(self, files: Sequence[type_file]) -> None:
        """These files will not be committed, may be there, and cannot be removed now, because the
        storage area is out of reach: the janitor does it when it can."""
        self._index.write(lambda tx: deletions.add(tx, files))
        for uuid, _ in files:
            self.settle(uuid)

    def close(self) -> None:
        """At a clean stop: close every block whose names are settled; a restart sweeps others."""
        with self._lock:
            done = [prefix for prefix, count in self._open.items() if count == 1]
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
