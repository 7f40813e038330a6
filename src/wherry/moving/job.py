"""The jobs that move files from one store to the other.

How far a job is stands in the index: a file whose place is not in the target store is still to be
moved. So a run goes on wherever an earlier one stopped, at the file; what that one was copying is
given up first. Several files are moved at once; the copies of a few resources are announced, and
made to count, together.

One file that is lost, damaged or not to be read does not keep the others: the job moves what it
can, then fails.

Not here: the copy of one file (``storage.moving``), its rows (``index.moves``).
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial

from wherry import clock, limits
from wherry.digests import digest_like
from wherry.errors import CorruptedFile, MissingFile, MoveFailed, Unavailable, WherryError
from wherry.index import moves, tiers
from wherry.index.database import Index, Transaction
from wherry.index.moves import Move
from wherry.jobs.crew import Crew
from wherry.jobs.handler import JobControl
from wherry.model import Attachment, Job
from wherry.moving.order import MoveOrder, from_parameters
from wherry.storage.base import ANYWHERE, StorageArea
from wherry.storage.moving import MovingStorage
from wherry.storage.places import OBJECT_STORAGE, Place
from wherry.storage.unnoted import unnoted

_log = logging.getLogger(__name__)

_TOLD = 3
"""Files that are named when a job fails."""

_OF_ONE_FILE = (MissingFile, CorruptedFile, OSError)
"""Lost, damaged, or on a part of the disk that cannot be read: others may be whole."""


class StorageMoves:
    """Runs jobs of one type, ``MoveStorage`` or ``StoragePolicy``."""

    def __init__(
        self,
        type: str,
        index: Index,
        storage: StorageArea,
        stores: MovingStorage,
        removed: Callable[[], None],
        process_id: str,
    ) -> None:
        """``stores``: what ``storage`` is made of, below encryption; ``removed`` is told when there
        are files to remove."""
        self.type = type
        self._index = index
        self._storage = storage
        self._stores = stores
        self._removed = removed
        self._process_id = process_id

    def run(self, control: JobControl) -> None:
        """Move everything that the job names; see ``JobHandler``."""
        order = from_parameters(control.job.parameters)
        begun_at = clock.timestamp()
        self.settle(control.job)
        with self._index.read() as tx:
            rows = order.rows(tx)
        if order.target != OBJECT_STORAGE:
            self._index.write(partial(_came_back, order, begun_at))
        run = _Run(
            self._index,
            self._storage,
            self._stores,
            self._removed,
            self._process_id,
            order,
            control,
        )
        run.go(rows)
        if order.target == OBJECT_STORAGE:  # also of what has failed: the same would fail again
            self._index.write(partial(_went_away, order, begun_at))
        run.complain()

    def settle(self, job: Job) -> None:
        """Give up the copies that a run of this job left."""
        if self._index.write(lambda tx: moves.give_up_all(tx, job.id)):
            self._removed()


def _came_back(order: MoveOrder, at: float, tx: Transaction) -> None:
    """They are wanted here: no rule takes them away at once."""
    tiers.came_back(tx, order.studies(tx, whole=False), at)


def _went_away(order: MoveOrder, at: float, tx: Transaction) -> None:
    tiers.went_away(tx, order.studies(tx, whole=True), at)


class _Run:
    """One run of one job."""

    def __init__(
        self,
        index: Index,
        storage: StorageArea,
        stores: MovingStorage,
        removed: Callable[[], None],
        process_id: str,
        order: MoveOrder,
        control: JobControl,
    ) -> None:
        self._index = index
        self._storage = storage
        self._stores = stores
        self._removed = removed
        self._process_id = process_id
        self._order = order
        self._control = control
        self._run = moves.new_run(control.job.id)
        self._lock = threading.Lock()
        self._failed: dict[str, str] = {}
        """Files that cannot be moved, and why."""

    def go(self, rows: Sequence[int]) -> None:
        """Move the files of these resources (rows)."""
        portions = [*_portions(rows)]
        done = 0

        def moved(portion: Sequence[int]) -> None:
            nonlocal done
            done += len(portion)
            self._control.report(None, done / len(rows))

        threads = min(limits.MOVED_AT_ONCE, len(portions))
        crew = Crew(threads, self._control.check, lambda: None)
        crew.work(portions, partial(self._move_portion, crew), moved)

    def complain(self) -> None:
        """Raises ``MoveFailed`` when there were files that could not be moved."""
        if self._failed:
            told = "; ".join(f"{uuid}: {why}" for uuid, why in [*self._failed.items()][:_TOLD])
            raise MoveFailed(f"{len(self._failed)} files were not moved: {told}")

    def _move_portion(self, crew: Crew, rows: Sequence[int]) -> None:
        until = clock.monotonic() + limits.MOVED_PATIENCE_S
        while wanted := self._wanted(rows):
            begin = partial(moves.begin, owner=self._process_id, run=self._run, wanted=[*wanted])
            begun = self._index.write(begin)
            if begun:
                self._carry(begun, wanted)
                until = clock.monotonic() + limits.MOVED_PATIENCE_S
                continue
            if clock.monotonic() >= until:
                raise MoveFailed("Others are moving the same files, or removing earlier copies")
            self._removed()
            crew.pause(limits.MOVED_LOOK_S)

    def _wanted(self, rows: Sequence[int]) -> dict[Move, Attachment]:
        """The files that are still to be moved."""
        with self._index.read() as tx:
            files = moves.files_of(tx, rows)
        wanted = {}
        for file in files:
            if file.uuid in self._failed:
                continue
            place = self._found(file)
            if place is None:
                continue
            target = self._stores.place_in(self._order.target, place, file.content_type)
            if target != place:
                wanted[Move(file.uuid, place, target)] = file
        return wanted

    def _found(self, file: Attachment) -> str | None:
        """Where a file lies; None when it lies nowhere. What nobody has recorded is recorded."""
        if file.place != ANYWHERE:
            return file.place
        try:
            with unnoted(), closing(self._storage.open(file.uuid)) as reader:
                place = reader.place
        except _OF_ONE_FILE as error:
            self._fail(file.uuid, error)
            return None
        except WherryError as error:
            raise _cause(error) from error
        self._index.write(lambda tx: moves.record(tx, file.uuid, place))
        return place

    def _carry(self, begun: Sequence[Move], files: dict[Move, Attachment]) -> None:
        """Copy, then let the copies count; also those before an interruption."""
        safe: list[Move] = []
        try:
            for move in begun:
                self._control.check()
                if self._copy(move, files[move]):
                    safe.append(move)
        finally:
            self._index.write(partial(self._count, begun, safe))
            self._removed()

    def _count(self, begun: Sequence[Move], safe: Sequence[Move], tx: Transaction) -> None:
        moves.finish(tx, self._run, safe)
        moves.give_up(tx, self._run, [move for move in begun if move not in safe])

    def _copy(self, move: Move, file: Attachment) -> bool:
        """Whether the copy is safe. Raises ``MoveFailed`` when there is no use in going on."""
        try:
            kind = partial(digest_like, file.stored_digest)
            digest = self._stores.move(move.uuid, move.place, move.target, self._look, kind)
        except _OF_ONE_FILE as error:
            self._fail(move.uuid, error)
            return False
        except WherryError as error:
            raise _cause(error) from error
        in_clear = not Place.parse(move.place).seal
        if in_clear and file.stored_digest not in ("", digest):
            self._fail(move.uuid, CorruptedFile())
            return False
        return True

    def _look(self, size: int) -> None:
        self._control.check()

    def _fail(self, uuid: str, error: WherryError | OSError) -> None:
        with self._index.read() as tx:
            known = moves.place_of(tx, uuid) is not None
        if known:  # else somebody has removed it meanwhile
            with self._lock:
                self._failed[uuid] = _told(error)


def _portions(rows: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(rows), limits.MOVED_TOGETHER):
        yield rows[start : start + limits.MOVED_TOGETHER]


def _told(error: WherryError | OSError) -> str:
    if isinstance(error, OSError):
        return f"The file cannot be read ({os.strerror(error.errno or 0)})"
    return str(error)


def _cause(error: WherryError) -> MoveFailed:
    failed = MoveFailed(str(error))
    failed.temporary = error.temporary or isinstance(error, Unavailable)
    failed.retry_after_s = error.retry_after_s
    return failed
