"""Group commit: single instances that arrive at the same time share one sync and one transaction.

The order that carries the promise: files synced, then their folders, then ONE index transaction,
then the answer. One thread does it for all, so the wait of an instance is the commit before its
own; nobody waits for a timer.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from wherry import limits
from wherry.index.database import Index, Transaction
from wherry.model import StagedInstance, Stored
from wherry.storage.base import StorageArea

log = logging.getLogger(__name__)

type_done = Callable[[Stored | None, BaseException | None], None]
_Item = tuple[StagedInstance, type_done]


class Adder(Protocol):
    """What puts a batch into the index and what clears up behind it; see ``ingest``."""

    def add(self, tx: Transaction, batch: Sequence[StagedInstance]) -> list[Stored]: ...
    def settle(self, batch: Sequence[StagedInstance], stored: Sequence[Stored]) -> None: ...
    def give_up(self, batch: Sequence[StagedInstance]) -> None: ...


class Committer:
    """The thread that makes single instances durable and visible."""

    def __init__(self, index: Index, storage: StorageArea, adder: Adder) -> None:
        self._index = index
        self._storage = storage
        self._adder = adder
        self._queue: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="ingest-committer", daemon=True)
        self._thread.start()

    def submit(self, staged: StagedInstance, done: type_done) -> None:
        """Commit ``staged`` with whatever else is waiting; ``done`` is called from a thread."""
        self._queue.put((staged, done))

    def close(self) -> None:
        """Commit what waits, then stop."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while True:
            group = self._take()
            if not group:
                return
            self._commit(group)

    def _take(self) -> list[_Item]:
        """Wait for one item, then take all that are there. Empty: stop."""
        first = self._queue.get()
        if first is None:
            return []
        group = [first]
        while len(group) < limits.COMMIT_INSTANCES:
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                break
            if item is None:
                self._queue.put(None)
                break
            group.append(item)
        return group

    def _commit(self, group: list[_Item]) -> None:
        batch = [staged for staged, _ in group]
        try:
            self._storage.sync([staged.attachment.uuid for staged in batch])
        except Exception as error:
            self._fail(group, batch, error)
            return

        def finish(stored: list[Stored] | None, error: BaseException | None) -> None:
            if stored is None:
                assert error is not None
                self._fail(group, batch, error)
                return
            self._adder.settle(batch, stored)
            for (_, done), result in zip(group, stored, strict=True):
                done(result, None)

        self._index.submit(lambda tx: self._adder.add(tx, batch), finish)

    def _fail(self, group: list[_Item], batch: list[StagedInstance], error: BaseException) -> None:
        self._adder.give_up(batch)
        for _, done in group:
            done(None, error)
