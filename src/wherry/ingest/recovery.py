"""What is left behind, and how it goes away.

Every file is announced in the index before it is written (a block of names) and before it is
removed (the journal of deletions), so the work here is proportional to the leftovers, not to
the store. All of it may be interrupted and done again, by any process.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice

from wherry import clock, limits
from wherry.errors import MissingFile, StorageUnavailable, WherryError
from wherry.index import deletions, staging
from wherry.index.database import Index, Transaction
from wherry.ingest.deposit import md5_of
from wherry.storage.base import ANYWHERE, SmallFile, StorageArea

log = logging.getLogger(__name__)

_PORTION = 500
_RESTORE_PORTION = 64


def sweep_block(index: Index, storage: StorageArea, prefix: str) -> int:
    """``remove_strays``, then close the block."""
    removed = remove_strays(index, storage, prefix)
    index.write(lambda tx: staging.close_block(tx, prefix))
    return removed


def remove_strays(index: Index, storage: StorageArea, prefix: str) -> int:
    """Remove every file of a block that is no attachment; the block stays journaled.

    The caller must have made sure that nobody can commit a file of this block any more.
    Returns the number of files removed.
    """
    names = list(storage.list(prefix))
    removed = 0
    for start in range(0, len(names), _PORTION):
        portion = names[start : start + _PORTION]
        with index.read() as tx:
            attached = staging.attached(tx, portion)
        strays = [(uuid, ANYWHERE) for uuid in portion if uuid not in attached]
        _delete(storage, strays)
        removed += len(strays)
    storage.sync_removals([prefix])
    return removed


def restore(index: Index, storage: StorageArea, owner: str) -> int:
    """Give back the small files of a dead process that a power cut took from the file system,
    then drop its log: those that somebody can see, or that a transfer may still commit. Others are
    left to ``reclaim``. Returns the number of files restored.
    """
    restored = []
    for portion in _portions(storage.logged(owner), _RESTORE_PORTION):
        with index.read() as tx:
            awaited = staging.awaited(tx, [file.uuid for file in portion])
        for file in portion:
            if file.uuid in awaited and not _is_whole(storage, file):
                storage.delete(file.uuid)
                writer = storage.create(file.uuid)
                try:
                    writer.write(file.data)
                    writer.sync()
                finally:
                    writer.close()
                restored.append(file.uuid)
        # The others came back by themselves, but perhaps only into memory.
        storage.sync(file.uuid for file in portion if file.uuid in awaited)
    storage.drop_log(owner)
    return len(restored)


def _is_whole(storage: StorageArea, file: SmallFile) -> bool:
    try:
        reader = storage.open(file.uuid)
    except MissingFile:
        return False
    try:
        with reader.map() as content:
            return md5_of(content) == file.md5
    finally:
        reader.close()


def _portions(files: Iterable[SmallFile], size: int) -> Iterator[list[SmallFile]]:
    iterator = iter(files)
    while portion := list(islice(iterator, size)):
        yield portion


def reclaim(index: Index, storage: StorageArea, dead: Collection[str]) -> int:
    """Take the blocks of dead processes from them, so that one that only seemed dead commits no
    file that is being removed; then sweep all that is due, whoever took it. The number of files
    removed.

    What a process sent to where files are not shared may be there only after its death: such
    blocks are swept once more, ``limits.LATE_FILES_S`` later.
    """
    now = clock.timestamp()
    if dead:
        index.write(lambda tx: staging.seize(tx, dead, now))
    with index.read() as tx:
        blocks = staging.to_sweep(tx, now)
    removed = 0
    for prefix, last in blocks:
        if last or storage.shares_files:
            removed += sweep_block(index, storage, prefix)
        else:
            removed += remove_strays(index, storage, prefix)
            again = partial(staging.sweep_again, prefix=prefix, at=now + limits.LATE_FILES_S)
            index.write(again)
    return removed


def _forget(files: list[deletions.type_file], tx: Transaction) -> None:
    deletions.done(tx, files)


def _delete(storage: StorageArea, files: Sequence[deletions.type_file]) -> None:
    """Where a removal is a request, several are under way at once."""
    if storage.shares_files:
        for uuid, place in files:
            storage.delete(uuid, place)
        return
    with ThreadPoolExecutor(limits.REMOVALS) as pool:
        for done in [pool.submit(storage.delete, uuid, place) for uuid, place in files]:
            done.result()


class Janitor:
    """The thread that removes the files named in the journal of deletions."""

    def __init__(self, index: Index, storage: StorageArea) -> None:
        self._index = index
        self._storage = storage
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="janitor", daemon=True)

    def start(self) -> None:
        """Begin with what an earlier process left."""
        self._wake.set()
        self._thread.start()

    def wake(self) -> None:
        """There may be something to remove."""
        self._wake.set()

    def close(self) -> None:
        """Stop after the portion at hand; the journal keeps the rest."""
        self._stopping = True
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        wait_s: float | None = None
        while True:
            self._wake.wait(wait_s)
            self._wake.clear()
            if self._stopping:
                return
            try:
                self._clear_journal()
            except StorageUnavailable as error:
                log.warning("Removed files stay where they are for now: %s", error)
                wait_s = limits.REMOVALS_AGAIN_S
            except WherryError:
                log.exception("Removed files stay on disk until the next attempt")
                wait_s = limits.REMOVALS_AGAIN_S
            else:
                wait_s = None

    def _clear_journal(self) -> None:
        while not self._stopping:
            with self._index.read() as tx:
                files = deletions.pending(tx, _PORTION)
            if not files:
                return
            _delete(self._storage, files)
            self._storage.sync_removals(uuid for uuid, _ in files)
            self._index.write(partial(_forget, files))
