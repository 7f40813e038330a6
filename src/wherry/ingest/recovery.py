"""What is left behind, and how it goes away.

Every file is announced in the index before it is written (a block of names) and before it is
removed (the journal of deletions), so the work here is proportional to the leftovers, not to
the store. All of it may be interrupted and done again, by any process.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

from wherry import clock, limits
from wherry.errors import CannotWriteFile, MissingFile, WherryError
from wherry.index import deletions, moves, staging
from wherry.index.database import Index
from wherry.ingest import promises
from wherry.ingest.promises import type_insert
from wherry.storage.base import ANYWHERE, Logged, StorageArea

log = logging.getLogger(__name__)

_PORTION = 500
_NEAR = ("", ANYWHERE)
"""Places where a removal is no request, if new files are there too."""
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
        gone, trouble = _delete(storage, strays, partial(_remove, storage))
        if trouble is not None:
            raise trouble
        removed += len(gone)
    storage.sync_removals([prefix])
    return removed


def _remove(storage: StorageArea, file: deletions.type_file) -> bool:
    storage.delete(*file)
    return True


def restore(index: Index, storage: StorageArea, owner: str, insert: type_insert) -> int:
    """Give back the small files of a dead process that a power cut took from the file system: those
    that somebody can see, that a transfer or a job may still commit, or that the index has lost
    although they were promised (``promises``): these ``insert`` puts there again. Then drop its
    log. Others are left to ``reclaim``. Returns the number of files restored.
    """
    restored = []
    for portion in _portions(storage.logged(owner)):
        uuids = [one.file.uuid for one in portion]
        with index.read() as tx:
            promised = promises.unkept(tx, portion)
            wanted = staging.awaited(tx, uuids)
        wanted.update(one.file.uuid for one in promised)
        files = [one.file for one in portion if one.file.uuid in wanted]
        back = [file.uuid for file in files if storage.restore(file)]
        # The others came back by themselves, but perhaps only into memory.
        _sync(storage, [file.uuid for file in files])
        unreadable = promises.keep(index, storage, promised, insert)
        with index.read() as tx:
            wanted = staging.awaited(tx, back)
        for uuid in back:
            if uuid in wanted or uuid in unreadable:
                restored.append(uuid)
            else:  # somebody deleted it meanwhile, or has kept another promise
                storage.delete(uuid)
        if unreadable:
            log.error("Stored instances that are unreadable now stay in the log: %s", unreadable)
            return len(restored)  # what follows comes after them
    index.write(lambda tx: staging.end_promises(tx, owner))
    storage.drop_log(owner)
    return len(restored)


def _sync(storage: StorageArea, uuids: Sequence[str]) -> None:
    try:
        storage.sync(uuids)
    except MissingFile:  # one was deleted meanwhile
        for uuid in uuids:
            with suppress(MissingFile):
                storage.sync([uuid])


def _portions(found: Iterable[Logged]) -> Iterator[list[Logged]]:
    """Of some size each, and whole records; those of an earlier version have no numbers."""
    portion: list[Logged] = []
    for one in found:
        if len(portion) >= _RESTORE_PORTION and (
            not one.record or one.record != portion[-1].record
        ):
            yield portion
            portion = []
        portion.append(one)
    if portion:
        yield portion


def reclaim(index: Index, storage: StorageArea, dead: Collection[str]) -> int:
    """Take the blocks of dead processes from them, so that one that only seemed dead commits no
    file that is being removed; then sweep all that is due, whoever took it. The number of files
    removed.

    What a process sent to where files are not shared may be there only after its death: such
    blocks are swept once more, ``limits.LATE_FILES_S`` later.
    """
    seize(index, dead)
    return sweep(index, storage)


def seize(index: Index, dead: Collection[str]) -> None:
    """The first half of ``reclaim``: needs the index only."""
    if dead:
        now = clock.timestamp()
        index.write(lambda tx: staging.seize(tx, dead, now))


def sweep(index: Index, storage: StorageArea) -> int:
    """The second half."""
    now = clock.timestamp()
    with index.read() as tx:
        blocks = staging.to_sweep(tx, now)
    # Looked at after the blocks: a log that is not there now was read to its end, or is of a
    # process that had lost its blocks before.
    to_be_read = set(storage.logs())
    removed = 0
    for prefix, last, former_owner in blocks:
        if former_owner in to_be_read:
            continue  # it tells which of these files were promised
        if last or storage.shares_files:
            removed += sweep_block(index, storage, prefix)
        else:
            removed += remove_strays(index, storage, prefix)
            again = partial(staging.sweep_again, prefix=prefix, at=now + limits.LATE_FILES_S)
            index.write(again)
    return removed


def give_up_copies(index: Index, dead: Collection[str]) -> int:
    """What dead processes were copying from one store to another goes to the journal of deletions.
    Returns the number of files."""
    with index.read() as tx:
        found = moves.left_behind(tx, dead)
    return index.write(lambda tx: moves.take_over(tx, dead)) if found else 0


def _delete(
    storage: StorageArea,
    files: Sequence[deletions.type_file],
    remove: Callable[[deletions.type_file], bool],
) -> tuple[list[deletions.type_file], WherryError | None]:
    """Those that are gone now, of which ``remove`` has said so, and why others are not: one store
    may be out of reach while another is not. Where a removal is a request, several are under way at
    once."""
    gone: list[deletions.type_file] = []
    trouble: WherryError | None = None

    def removed(file: deletions.type_file) -> None:
        nonlocal trouble
        try:
            if remove(file):
                gone.append(file)
        except WherryError as error:
            trouble = error

    far = []
    for file in files:
        if storage.shares_files and file[1] in _NEAR:
            removed(file)
        else:
            far.append(file)
    if far:
        with ThreadPoolExecutor(limits.REMOVALS) as pool:
            for done in [pool.submit(removed, file) for file in far]:
                done.result()
    return gone, trouble


class _Removal:
    """Of files that are about to be claimed, and as long as the claim is good for: of a process
    that stood still for longer than its lease, others have removed them, and have perhaps put
    something there again."""

    def __init__(self, storage: StorageArea, elsewhere: set[str]) -> None:
        """``elsewhere``: forms of places that are not configured, which is noted there."""
        self._storage = storage
        self._elsewhere = elsewhere
        self._until = clock.awake_or_not() + limits.LEASE_S / 2
        self.too_late = False
        """Whether files were passed over that have to be claimed once more."""

    def __call__(self, file: deletions.type_file) -> bool:
        """Whether this file is gone now."""
        form = file[1].partition("=")[0]  # what follows is of one file
        if form in self._elsewhere:
            return False
        if clock.awake_or_not() >= self._until:
            self.too_late = True
            return False
        try:
            self._storage.delete(*file)
        except MissingFile as error:
            self._elsewhere.add(form)
            log.warning("Such files are not removed before the next start: %s", error)
            return False
        return True


class Janitor:
    """The thread that removes the files named in the journal of deletions."""

    def __init__(self, index: Index, storage: StorageArea, owner: str = "janitor") -> None:
        """``owner`` is the identifier of the process: what it is removing, others leave alone."""
        self._index = index
        self._storage = storage
        self._owner = owner
        self._elsewhere: set[str] = set()
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
                trouble = self._clear_journal()
            except WherryError as error:
                trouble = error
            except Exception as error:  # of the system: whatever it is, the journal stays
                log.exception("Removing files failed")
                trouble = CannotWriteFile(type(error).__name__)
            wait_s = None
            if trouble is not None:
                log.warning("Removed files stay where they are for now: %s", trouble)
                wait_s = limits.REMOVALS_AGAIN_S

    def _clear_journal(self) -> WherryError | None:
        """Go through it once; why something is left."""
        after, trouble = ("", ""), None
        while not self._stopping:
            removal = _Removal(self._storage, self._elsewhere)
            claim = partial(deletions.claim, owner=self._owner, after=after, limit=_PORTION)
            files = self._index.write(claim)
            if not files:
                break
            gone, error = _delete(self._storage, files, removal)
            self._storage.sync_removals(uuid for uuid, _ in gone)
            self._index.write(partial(deletions.done, owner=self._owner, files=gone))
            if removal.too_late:
                self.wake()
            after, trouble = files[-1], trouble or error
        return trouble
