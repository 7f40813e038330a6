"""The files of this process that nobody can see yet, from their name to the commit or the bin.

What is committed, and what is removed, is *settled*: its block of names needs not be journaled
for it any more.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from wherry.errors import BadSequenceOfCalls, StorageUnavailable, WherryError
from wherry.index import staging
from wherry.index.database import Index, Transaction
from wherry.index.staging import block_of
from wherry.ingest.names import NameBlocks
from wherry.model import Attachment
from wherry.storage.base import StorageArea

log = logging.getLogger(__name__)


class NewFiles:
    """``owner`` is the identifier of the process: the owner of the blocks its names come from."""

    def __init__(self, index: Index, storage: StorageArea, *, owner: str) -> None:
        self._index = index
        self._storage = storage
        self._owner = owner
        self.names = NameBlocks(index, storage, owner)
        self._lock = threading.Lock()
        self._standing: str | None = None

    def standing(self) -> str:
        """A name of this process for ``check_owned``: as long as it is owned, nobody has taken the
        process for dead, and its log of small files counts. To be asked before ``put``."""
        with self._lock:
            if self._standing is None:
                self._standing = self.names.take()
            return self._standing

    def check_owned(self, tx: Transaction, uuids: Iterable[str]) -> None:
        """Part of every commit of new files: their names must still be this process's.

        A process that was taken for dead has lost its blocks, and perhaps the files: it must
        not make them visible. Raises ``BadSequenceOfCalls``.
        """
        prefixes = {block_of(uuid) for uuid in uuids}
        if not staging.owned(tx, prefixes, self._owner):
            self._give_way()

    def note_logged(
        self, tx: Transaction, standing: str, record: int, uuids: Iterable[str]
    ) -> None:
        """``check_owned`` as part of a commit that the log promises: the index has it up to this
        record."""
        prefixes = {block_of(uuid) for uuid in uuids}
        if not staging.note_logged(tx, block_of(standing), self._owner, record, prefixes):
            self._give_way()

    def break_promise(self, standing: str, record: int, files: Collection[Attachment]) -> None:
        """``give_up`` after a commit that this record of the log promises, so that no heir makes it
        after all. Files in a block that others have taken are left to them."""
        prefix, uuids = block_of(standing), [file.uuid for file in files]

        def work(tx: Transaction) -> tuple[str | None, set[str]]:
            staging.keep_promise(tx, prefix, record)
            return staging.owner_of(tx, prefix), staging.attached(tx, uuids)

        with left_to_next_start():
            owner, attached = self._index.write(work)
            if owner in (self._owner, None):  # None: who took it has swept it already
                self._settle_or_remove(files, attached)

    def _give_way(self) -> NoReturn:
        self.names.abandon()
        self._standing = None
        self._storage.stop_logging()
        raise BadSequenceOfCalls("This process was taken for dead; send it again")

    def secure(self) -> None:
        """What the log promises is in the index, and synced."""
        standing = self._standing
        if standing is not None:
            self._index.write(lambda tx: staging.secure(tx, block_of(standing)))

    def close(self) -> None:
        """A clean stop, after the last commit."""
        self.secure()
        if self._standing is not None:
            self.names.settle(self._standing)
        self.names.close()

    def settle(self, uuid: str) -> None:
        """After the commit of this file."""
        self.names.settle(uuid)

    def remove(self, file: Attachment) -> None:
        """This file will not be committed."""
        try:
            self._storage.delete(file.uuid, file.place)
        except StorageUnavailable:
            self.names.leave([(file.uuid, file.place)])
        else:
            self.names.settle(file.uuid)

    def give_up(self, files: Collection[Attachment]) -> None:
        """After a failed commit: remove the files, unless the commit was done after all.

        A connection that breaks during COMMIT leaves that open; what cannot be asked now stays
        in its block, and the next start sweeps it.
        """
        with left_to_next_start():
            with self._index.read() as tx:
                attached = staging.attached(tx, [file.uuid for file in files])
            self._settle_or_remove(files, attached)

    def _settle_or_remove(self, files: Iterable[Attachment], attached: Collection[str]) -> None:
        for file in files:
            if file.uuid in attached:
                self.settle(file.uuid)
            else:
                self.remove(file)


@contextmanager
def left_to_next_start() -> Iterator[None]:
    """Clearing up that fails is done by the next start: its block of names stays journaled."""
    try:
        yield
    except WherryError:
        log.exception("Files that are not needed stay on disk until the next start")
