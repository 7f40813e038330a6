"""The one door in.

REST, ZIP, transfers and every later face hand instances over in the same two steps: ``stage``
streams bytes into files that nobody can see, ``commit`` or ``submit`` makes them durable and
visible in one index transaction. An instance that is stored already leaves no second file, and
one that is replaced (``OverwriteInstances``) is removed by the janitor.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import MappingProxyType
from typing import TypeVar

from wherry import limits
from wherry.errors import NoRoom, WherryError
from wherry.index import extras, recycling, resources
from wherry.index.database import Index, Transaction
from wherry.index.extras import Extras, Outcome
from wherry.index.recycling import Bounds
from wherry.ingest.attaching import Attaching
from wherry.ingest.digesting import Digesting
from wherry.ingest.group import GroupCommit, type_done
from wherry.ingest.handful import Handfuls, type_check
from wherry.ingest.newfiles import NewFiles, left_to_next_start
from wherry.ingest.recoding import IngestRecoding
from wherry.ingest.reconstruction import Reconstruction
from wherry.ingest.recovery import Janitor
from wherry.ingest.staging import Staging
from wherry.model import Compression, Level, Origin, StagedInstance, Stored, StoreStatus
from wherry.storage.ahead import in_order
from wherry.storage.base import Put, StorageArea, type_buffer

T = TypeVar("T")


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
        compression: Compression = Compression.NONE,
        codec: Compression = Compression.ZLIB,
        bounds: Bounds | None = None,
        signatures: Mapping[Level, str] = MappingProxyType({}),
        recoding: IngestRecoding | None = None,
    ) -> None:
        self._index = index
        self._storage = storage
        self._janitor = janitor
        self.overwrite = overwrite
        """Whether what arrives takes the place of what is stored (``OverwriteInstances``)."""
        self._bounds = bounds
        self._signatures = signatures
        self._max_instance_bytes = max_instance_bytes
        self.compression = compression
        """Of new files."""
        self.transcodes = recoding is not None
        """Whether some of what arrives is transcoded, so that a commit may take long."""
        self._recoding = recoding
        self._takes_small = compression is Compression.NONE and recoding is None
        self._files = NewFiles(index, storage, owner=owner)
        storage.before_forgetting(self._files.secure)
        self.attachments = Attaching(
            index,
            storage,
            self._files,
            janitor,
            compression=compression,
            codec=codec,
            max_bytes=max_instance_bytes,
            bounds=bounds,
        )
        """Files that users put beside the instances."""
        self.digesting = Digesting(index, storage)
        """Takes digests that nobody has taken yet."""
        self.reconstruction = Reconstruction(index, storage, signatures)
        """Describes what is stored anew."""
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._group = GroupCommit(index, self._add_group, self._settle_group)
        self._handfuls = Handfuls(
            storage,
            self._files.names,
            self._files.standing,
            self._commit_put,
            max_instance_bytes,
            promises=index.embedded and not overwrite and bounds is None,
        )

    def store(
        self, data: type_buffer, origin: Origin, done: type_done, check: type_check | None = None
    ) -> bool:
        """Take a small instance that is there as a whole; False when it is not for this way, and
        ``stage`` is. ``check`` raises when it is not the instance that was announced.

        ``done(stored, None)`` is called after the instance is durable and visible,
        ``done(None, error)`` when it is neither; from a thread that must not be held up.
        """
        if not self._takes_small or not 0 < len(data) <= limits.SMALL_FILE_BYTES:
            return False
        self._handfuls.add(data, origin, done, check)
        return True

    def store_now(
        self, data: type_buffer, origin: Origin, check: type_check, digest: str = ""
    ) -> Stored:
        """Make an instance durable and visible in the thread of the caller. ``digest``: if it is
        known. Raises what ``check``, ``Staging`` and ``commit`` raise; then nothing of it is
        left."""
        if self._takes_small and len(data) <= limits.SMALL_FILE_BYTES:
            return self._handfuls.store(data, origin, check)
        staging = self.stage(origin, digest)
        staging.write(data)
        return self.finish_now(staging, check)

    def finish_now(self, staging: Staging, check: type_check) -> Stored:
        """The same with an instance that is staged."""
        staged = staging.finish()
        try:
            check(staged.summary)
        except BaseException:
            self.discard([staged])
            raise
        return self.commit([staged])[0]

    def side_by_side(
        self, works: Iterable[Callable[[], T]], undo: Callable[[T], object]
    ) -> Iterator[T]:
        """Do pieces of work that stage something: one after the other, and several at once where
        files are far away. When one raises, the results that nobody has seen go to ``undo``."""
        if self._storage.shares_files:
            return (work() for work in works)
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(limits.FILES_AHEAD, "staging")
        return in_order(self._pool, works, undo)

    def stage(self, origin: Origin, digest: str = "") -> Staging:
        """Begin one instance. Blocking methods, one thread at a time."""
        return Staging(
            self._storage,
            self._files.names,
            origin,
            self._max_instance_bytes,
            compression=self.compression,
            digest=digest,
        )

    def submit(self, staged: StagedInstance, done: type_done) -> None:
        """Commit one instance together with others that are waiting. Blocking where it is
        transcoded.

        ``done(stored, None)`` is called after the instance is durable and visible,
        ``done(None, error)`` when it is neither; from a thread that must not be held up.
        """
        if self._recoding is not None:
            [staged] = self._all_recoded([staged])
        self._group.submit(staged, done)

    def commit(self, batch: Sequence[StagedInstance]) -> list[Stored]:
        """Make a batch visible, wholly or not at all; answers in the order of ``batch``.

        When it raises, nothing is visible and the files are gone.
        """
        if self._recoding is not None:
            batch = self._all_recoded(batch)
        try:
            stored = self._index.write(lambda tx: self._add(tx, batch))
        except BaseException:
            self._files.give_up([staged.attachment for staged in batch])
            raise
        self._settle(batch, stored)
        return stored

    def _commit_put(
        self, batch: Sequence[StagedInstance], put: Put, standing: str, promised: bool
    ) -> list[Stored]:
        """``commit`` of small files. ``standing``: what ``NewFiles.standing`` said before they were
        ``put``; ``promised``: if there is a log, it holds what it takes to do this again."""
        promised = promised and put.record > 0
        uuids = _uuids(batch)

        def work(tx: Transaction) -> list[Stored]:
            if promised:
                self._files.note_logged(tx, standing, put.record, uuids)
            else:
                self._files.check_owned(tx, [*uuids, standing])
            stored = self._insert(tx, batch)
            put.wait()  # the disk had all this time for it; nothing is visible before it
            return stored

        try:
            if not promised:
                put.wait()  # others may want the index, on other machines too
            stored = self._index.write(work, promised=promised)
        except BaseException:
            attachments = [staged.attachment for staged in batch]
            if promised:
                self._files.break_promise(standing, put.record, attachments)
            else:
                self._files.give_up(attachments)
            raise
        self._settle(batch, stored)
        return stored

    def _all_recoded(self, batch: Sequence[StagedInstance]) -> list[StagedInstance]:
        """These instances in the transfer syntax that all shall have, where that can be. When it
        raises, their files are gone."""
        assert self._recoding is not None
        found = list(batch)
        try:
            for place, staged in enumerate(found):
                made = self._recoding.recoded(staged, partial(self.stage, staged.origin))
                if made is not None:
                    found[place] = made
                    self.discard([staged])
        except BaseException:
            self.discard(found)
            raise
        return found

    def commit_block(
        self,
        batch: Sequence[StagedInstance],
        also: Callable[[Transaction], None],
        then: Callable[[Transaction, list[Stored]], None] = lambda tx, stored: None,
        tell: Callable[[int], None] = lambda count: None,
        *,
        overwrite: bool | None = None,
    ) -> list[Stored]:
        """``commit`` for files in a block of names that the caller owns (a transfer, a job).

        ``also`` runs in the same transaction and must raise when the block is no longer the
        caller's; ``then`` runs at its end, with what became of each, and ``tell`` meanwhile, with
        the number of instances that are written. ``overwrite``: None = as configured. Files of
        instances that were stored already stay until the block is swept; when this raises, all
        files stay.
        """

        def work(tx: Transaction) -> list[Stored]:
            also(tx)
            stored = self._insert(tx, batch, tell, overwrite)
            then(tx, stored)
            return stored

        stored = self._index.write(work)
        self._wake_janitor_for_old_files()
        return stored

    def add_extras(
        self, tx: Transaction, brought: Sequence[Extras], instances: Collection[str]
    ) -> Outcome:
        """Put metadata, labels and attachments beside instances, in the transaction that makes them
        visible (``then`` of ``commit_block``); see ``index.extras.put``."""
        return extras.put(tx, brought, instances, overwrite=self.overwrite, bounds=self._bounds)

    def keep_promised(self, tx: Transaction, batch: Sequence[StagedInstance]) -> None:
        """Put instances into the index that the log of a dead process promises, whatever has been
        configured since."""
        resources.add_instances(tx, batch, overwrite=False, signatures=self._signatures)

    def standing(self) -> str:
        """To be asked before small files of somebody else's block are ``put`` in the storage area,
        and checked in the transaction that relies on them."""
        return self._files.standing()

    def check_standing(self, tx: Transaction, standing: str) -> None:
        """Raises ``BadSequenceOfCalls`` when this process was taken for dead since it was asked:
        files that were ``put`` may not survive a power cut."""
        self._files.check_owned(tx, [standing])

    def discard(self, staged: Iterable[StagedInstance]) -> None:
        """Remove files that will not be committed."""
        for instance in staged:
            self._files.remove(instance.attachment)

    def wake_janitor(self) -> None:
        """Files were added to the journal of deletions."""
        self._janitor.wake()

    def close(self) -> None:
        """A clean stop, after the last commit."""
        self._handfuls.close()
        if self._pool is not None:
            self._pool.shutdown()
        self._files.close()

    def _add(self, tx: Transaction, batch: Sequence[StagedInstance]) -> list[Stored]:
        """Put a batch into the index, if the names of its files are still this process's."""
        self._files.check_owned(tx, _uuids(batch))
        return self._insert(tx, batch)

    def _insert(
        self,
        tx: Transaction,
        batch: Sequence[StagedInstance],
        tell: Callable[[int], None] = lambda count: None,
        overwrite: bool | None = None,
    ) -> list[Stored]:
        return resources.add_instances(
            tx,
            batch,
            overwrite=self.overwrite if overwrite is None else overwrite,
            bounds=self._bounds,
            signatures=self._signatures,
            tell=tell,
        )

    def _add_group(
        self, tx: Transaction, batch: Sequence[StagedInstance]
    ) -> Sequence[Stored | WherryError]:
        """Put instances into the index that have nothing to do with each other: where room is
        short, each finds its own, or is refused by itself."""
        if self._bounds is None or _surely_fit(tx, self._bounds, batch):
            return self._add(tx, batch)
        return [self._add_or_refuse(tx, staged) for staged in batch]

    def _add_or_refuse(self, tx: Transaction, staged: StagedInstance) -> Stored | WherryError:
        try:
            return self._add(tx, [staged])[0]
        except NoRoom as error:
            return error

    def _settle_group(
        self,
        batch: Sequence[StagedInstance],
        stored: Sequence[Stored | WherryError] | None,
        error: BaseException | None,
    ) -> None:
        if stored is None:
            self._files.give_up([staged.attachment for staged in batch])
            return
        outcomes = list(zip(batch, stored, strict=True))
        kept = [(one, result) for one, result in outcomes if isinstance(result, Stored)]
        self._settle([one for one, _ in kept], [result for _, result in kept])
        with left_to_next_start():
            for one, result in outcomes:
                if isinstance(result, WherryError):
                    self._files.remove(one.attachment)

    def _settle(self, batch: Sequence[StagedInstance], stored: Sequence[Stored]) -> None:
        """After a commit: drop the files of instances that were there already.

        What was committed stays committed when this fails: nobody is told otherwise.
        """
        with left_to_next_start():
            for staged, result in zip(batch, stored, strict=True):
                if result.status is StoreStatus.SUCCESS:
                    self._files.settle(staged.attachment.uuid)
                else:
                    self._files.remove(staged.attachment)
        self._wake_janitor_for_old_files()

    def _wake_janitor_for_old_files(self) -> None:
        """A commit may have replaced instances, or recycled patients."""
        if self.overwrite or self._bounds is not None:
            self._janitor.wake()


def _uuids(batch: Sequence[StagedInstance]) -> list[str]:
    return [staged.attachment.uuid for staged in batch]


def _surely_fit(tx: Transaction, bounds: Bounds, batch: Sequence[StagedInstance]) -> bool:
    size = sum(staged.attachment.compressed_size for staged in batch)
    patients = len({staged.summary.identifiers.patient for staged in batch})
    return recycling.surely_fits(tx, bounds, size, patients)
