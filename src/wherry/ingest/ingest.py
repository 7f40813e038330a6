"""The one door in.

REST, ZIP, transfers and every later face hand instances over in the same two steps: ``stage``
streams bytes into files that nobody can see, ``commit`` or ``submit`` makes them durable and
visible in one index transaction. An instance that is stored already leaves no second file, and
one that is replaced (``OverwriteInstances``) is removed by the janitor.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from wherry.errors import BadSequenceOfCalls, WherryError
from wherry.index import resources, staging
from wherry.index.database import Index, Transaction
from wherry.ingest.group import GroupCommit, type_done
from wherry.ingest.names import PREFIX_LENGTH, NameBlocks
from wherry.ingest.recovery import Janitor
from wherry.ingest.staging import Staging
from wherry.model import Origin, StagedInstance, Stored, StoreStatus
from wherry.storage.base import StorageArea

log = logging.getLogger(__name__)


class Ingest:
    """Staging and commits of one process.

    ``owner`` is the identifier of the process: the owner of the blocks its file names come from.
    """

    def __init__(
        self,
        index: Index,
        storage: StorageArea,
        janitor: Janitor,
        *,
        owner: str,
        overwrite: bool,
        max_instance_bytes: int,
    ) -> None:
        self._index = index
        self._storage = storage
        self._janitor = janitor
        self._owner = owner
        self._overwrite = overwrite
        self._max_instance_bytes = max_instance_bytes
        self._names = NameBlocks(index, storage, owner)
        self._group = GroupCommit(index, self._add, self._settle_group)

    def stage(self, origin: Origin) -> Staging:
        """Begin one instance. Blocking methods, one thread at a time."""
        return Staging(self._storage, self._names, origin, self._max_instance_bytes)

    def submit(self, staged: StagedInstance, done: type_done) -> None:
        """Commit one instance together with others that are waiting.

        ``done(stored, None)`` is called after the instance is durable and visible,
        ``done(None, error)`` when it is neither; from a thread that must not be held up.
        """
        self._group.submit(staged, done)

    def commit(self, batch: Sequence[StagedInstance]) -> list[Stored]:
        """Make a batch visible, wholly or not at all; answers in the order of ``batch``.

        When it raises, nothing is visible and the files are gone.
        """
        try:
            stored = self._index.write(lambda tx: self._add(tx, batch))
        except BaseException:
            self._give_up(batch)
            raise
        self._settle(batch, stored)
        return stored

    def commit_block(
        self, batch: Sequence[StagedInstance], also: Callable[[Transaction], None]
    ) -> list[Stored]:
        """``commit`` for files in a block of names that the caller owns (a transfer).

        ``also`` runs in the same transaction and must raise when the block is no longer the
        caller's. Files of instances that were stored already stay until the block is swept; when
        this raises, all files stay.
        """

        def work(tx: Transaction) -> list[Stored]:
            also(tx)
            return resources.add_instances(tx, batch, overwrite=self._overwrite)

        stored = self._index.write(work)
        if self._overwrite:
            self._janitor.wake()
        return stored

    def discard(self, staged: Iterable[StagedInstance]) -> None:
        """Remove files that will not be committed."""
        for instance in staged:
            self._remove(instance)

    def wake_janitor(self) -> None:
        """Files were added to the journal of deletions."""
        self._janitor.wake()

    def close(self) -> None:
        """A clean stop, after the last commit."""
        self._names.close()

    def _add(self, tx: Transaction, batch: Sequence[StagedInstance]) -> list[Stored]:
        """Put a batch into the index, if the names of its files are still this process's.

        A process that was taken for dead has lost its blocks, and perhaps the files: it must
        not make them visible.
        """
        prefixes = {staged.attachment.uuid[:PREFIX_LENGTH] for staged in batch}
        if not staging.owned(tx, prefixes, self._owner):
            self._names.abandon()
            raise BadSequenceOfCalls("This process was taken for dead; send the instance again")
        return resources.add_instances(tx, batch, overwrite=self._overwrite)

    def _settle_group(
        self,
        batch: Sequence[StagedInstance],
        stored: Sequence[Stored] | None,
        error: BaseException | None,
    ) -> None:
        if stored is None:
            self._give_up(batch)
        else:
            self._settle(batch, stored)

    def _settle(self, batch: Sequence[StagedInstance], stored: Sequence[Stored]) -> None:
        """After a commit: drop the files of instances that were there already.

        What was committed stays committed when this fails: nobody is told otherwise.
        """
        with _left_to_next_start():
            for staged, result in zip(batch, stored, strict=True):
                if result.status is StoreStatus.SUCCESS:
                    self._names.settle(staged.attachment.uuid)
                else:
                    self._remove(staged)
        if self._overwrite:
            self._janitor.wake()

    def _give_up(self, batch: Sequence[StagedInstance]) -> None:
        """After a failed commit: drop the files, unless the commit was done after all.

        A connection that breaks during COMMIT leaves that open; what cannot be asked now stays
        in its block, and the next start sweeps it.
        """
        uuids = [staged.attachment.uuid for staged in batch]
        with _left_to_next_start():
            with self._index.read() as tx:
                attached = staging.attached(tx, uuids)
            for staged in batch:
                if staged.attachment.uuid in attached:
                    self._names.settle(staged.attachment.uuid)
                else:
                    self._remove(staged)

    def _remove(self, staged: StagedInstance) -> None:
        self._storage.delete(staged.attachment.uuid)
        self._names.settle(staged.attachment.uuid)


@contextmanager
def _left_to_next_start() -> Iterator[None]:
    """Clearing up that fails is done by the next start: its block of names stays journaled."""
    try:
        yield
    except WherryError:
        log.exception("Files that are not needed stay on disk until the next start")
