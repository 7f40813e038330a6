"""Small instances that are there as a whole: checked, written and committed by the handful.

One thread does all of it, so that a handful costs one hand-over, one write to the log of the
storage area and one commit of the index, however many clients wait; what arrives meanwhile is the
next handful. Nobody waits for a timer: a lone instance is a handful of one.

Not here: large instances, and those that come in pieces (``staging``).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from wherry import clock, limits
from wherry.dicom.scan import scan
from wherry.digests import digest_of
from wherry.errors import DatabaseUnavailable, StorageFull, StorageUnavailable, TooLarge
from wherry.index.database import Waiter
from wherry.index.staging import block_of
from wherry.ingest.group import type_done
from wherry.ingest.names import NameBlocks
from wherry.ingest.promises import Promise
from wherry.ingest.staging import staged_instance
from wherry.model import Origin, StagedInstance, Stored, Summary
from wherry.storage.base import ANYWHERE, Put, SmallFile, StorageArea, type_buffer

log = logging.getLogger(__name__)

type_check = Callable[[Summary], None]
"""Raises when an instance is not the one that was announced."""
type_commit = Callable[[Sequence[StagedInstance], Put, str, bool], list[Stored]]
"""Makes a batch visible if the process still stands as it did (``NewFiles.standing``); the last
argument: whether the notes beside the files promise it (``promises``)."""


_OUT_OF_REACH = (StorageUnavailable, DatabaseUnavailable)
"""No instance is to blame."""


@dataclass(frozen=True, slots=True)
class _Arrival:
    data: type_buffer
    origin: Origin
    done: type_done
    check: type_check | None = None


class Handfuls:
    """``commit`` makes a batch visible; when it raises, the files of the batch are gone."""

    def __init__(
        self,
        storage: StorageArea,
        names: NameBlocks,
        standing: Callable[[], str],
        commit: type_commit,
        max_bytes: int,
        *,
        promises: bool = False,
    ) -> None:
        """``standing``: see ``NewFiles``; ``promises``: whether commits may rely on the log."""
        self._storage = storage
        self._names = names
        self._standing = standing
        self._commit = commit
        self._max_bytes = max_bytes
        self._promises = promises
        self._queue: SimpleQueue[_Arrival | None] = SimpleQueue()
        self._turn = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="ingest", daemon=True)
        self._thread.start()

    def add(
        self, data: type_buffer, origin: Origin, done: type_done, check: type_check | None = None
    ) -> None:
        """Store one instance of at most ``limits.SMALL_FILE_BYTES``; ``done`` is called from the
        thread of this object, and ``data`` may change only after that."""
        self._queue.put(_Arrival(data, origin, done, check))

    def store(self, data: type_buffer, origin: Origin, check: type_check) -> Stored:
        """``add``, and wait: nobody else is woken when nothing else is under way."""
        waiting: Waiter[Stored] = Waiter()
        arrival = _Arrival(data, origin, waiting, check)
        if self._queue.empty() and self._turn.acquire(blocking=False):
            try:
                self._store([arrival])
            finally:
                self._turn.release()
        else:
            self._queue.put(arrival)
        return waiting.wait()

    def close(self) -> None:
        """After the last ``add``: finish what waits."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        arrival = self._queue.get()
        while arrival is not None:
            with self._turn:
                handful, arrival = self._gather(arrival)
                self._try_to_store(handful)
            if arrival is _NOTHING:
                arrival = self._queue.get()

    def _try_to_store(self, handful: list[_Arrival]) -> None:
        try:
            self._store(handful)
        except Exception as error:  # a defect: let it not take the thread of all others
            log.exception("A handful of instances was not stored")
            for one in handful:
                one.done(None, error)

    def _gather(self, first: _Arrival) -> tuple[list[_Arrival], _Arrival | None]:
        """What is there already and fits, and what came after it."""
        handful, left = [first], limits.SMALL_RECORD_BYTES - limits.SMALL_ENTRY_BYTES - _cost(first)
        while len(handful) < limits.SMALL_FILES:
            try:
                arrival = self._queue.get_nowait()
            except Empty:
                return handful, _NOTHING
            if arrival is None or (left := left - _cost(arrival)) < 0:
                return handful, arrival
            handful.append(arrival)
        return handful, _NOTHING

    def _store(self, handful: list[_Arrival]) -> None:
        files: list[SmallFile] = []
        summaries: list[Summary] = []
        kept: list[_Arrival] = []
        for arrival in handful:
            try:
                file, summary = self._examine(arrival)
            except BaseException as error:
                arrival.done(None, error)
            else:
                files.append(file)
                summaries.append(summary)
                kept.append(arrival)
        if not kept:
            return
        try:
            stored = self._write(kept, files, summaries)
        except BaseException as error:
            if len(kept) == 1 or isinstance(error, _OUT_OF_REACH):
                for arrival in kept:
                    arrival.done(None, error)
                return
            for arrival in kept:  # one of them is to blame: let it not hurt the others
                self._store([arrival])
            return
        for arrival, result in zip(kept, stored, strict=True):
            arrival.done(result, None)

    def _examine(self, arrival: _Arrival) -> tuple[SmallFile, Summary]:
        data = arrival.data
        if len(data) > self._max_bytes:
            raise TooLarge(f"An instance may have at most {self._max_bytes} bytes")
        summary = scan(memoryview(data) if isinstance(data, bytearray) else data)
        if arrival.check is not None:
            arrival.check(summary)
        if self._storage.free_bytes() < limits.FREE_DISK_BYTES:
            raise StorageFull("No space left in the storage area")
        digest = digest_of(data)
        uuid = self._names.take()
        return SmallFile(uuid, data, digest), summary

    def _write(
        self, handful: list[_Arrival], files: list[SmallFile], summaries: list[Summary]
    ) -> list[Stored]:
        standing = self._standing()
        date = clock.orthanc_date(clock.now())
        notes = self._notes(handful, standing, date)
        try:
            put = self._storage.put(
                [file._replace(note=note) for file, note in zip(files, notes, strict=True)]
            )
        except BaseException as error:
            if isinstance(error, StorageUnavailable) and not error.nothing_done:
                self._names.leave([(file.uuid, ANYWHERE) for file in files])
            else:
                for file in files:
                    self._names.settle(file.uuid)
            raise
        try:
            batch = [
                staged_instance(
                    file.uuid, place, len(file.data), file.digest, summary, arrival.origin, date
                )
                for arrival, file, summary, place in zip(
                    handful, files, summaries, put.places, strict=True
                )
            ]
            return self._commit(batch, put, standing, notes[0] != b"")
        finally:
            put.done()

    def _notes(self, handful: list[_Arrival], standing: str, date: str) -> list[bytes]:
        """For all of them or for none."""
        none = [b""] * len(handful)
        if not self._promises:
            return none
        block = block_of(standing)
        notes = [Promise(block, date, arrival.origin).note() for arrival in handful]
        return notes if all(notes) else none


def _cost(arrival: _Arrival) -> int:
    return len(arrival.data) + limits.SMALL_ENTRY_BYTES + limits.SMALL_NOTE_BYTES


_NOTHING = _Arrival(b"", Origin(), lambda _stored, _error: None)
"""Nothing came after a handful, yet."""
