"""Requests to an object store: a bounded number at once, with errors of ours.

When the store is out of reach, one request after the other would wait for it and hold the thread
that everybody needs. So after a failure it is left alone for ``limits.OBJECT_REST_S``; then a
single request tries, and the others are refused until that one has an answer.

Not here: names, files.
"""

from __future__ import annotations

import mmap
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import obstore
from obstore import Bytes
from obstore.store import ObjectStore

from wherry import clock, limits
from wherry.errors import CannotWriteFile, StorageUnavailable
from wherry.storage.base import type_buffer
from wherry.storage.objects.failures import OURS, failure, is_empty, is_missing, is_out_of_reach

T = TypeVar("T")
_PARTS = 10_000
"""Most parts of one object (S3, Google)."""
type_list = Callable[[str, str], Iterator[str]]
"""Folder without a slash at its end, and what keys begin with: the keys, in order."""


@dataclass(frozen=True)
class Bucket:
    """An object store as it is configured."""

    store: ObjectStore
    list: type_list
    connections: int = 25
    part_bytes: int = 5 * limits.MIB
    attributes: Mapping[str, str] = field(default_factory=dict)
    """Of each new object: the storage class."""
    tags: Mapping[str, str] = field(default_factory=dict)


class Client:
    """Methods block and may be called from any thread; all raise ``StorageUnavailable``."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self.part_bytes = bucket.part_bytes
        """What is longer is sent in parts."""
        self._store = bucket.store
        self._new: Any = {
            "attributes": dict(bucket.attributes) or None,
            "tags": dict(bucket.tags) or None,
        }
        self._slots = threading.BoundedSemaphore(bucket.connections)
        self._pool = ThreadPoolExecutor(bucket.connections, thread_name_prefix="objects")
        self._health = _Health()
        self._large = threading.BoundedSemaphore(limits.OBJECT_PARTS)

    def put(self, key: str, data: type_buffer, *, replace: bool = False) -> None:
        """A new object. Raises ``CannotWriteFile`` when there is one with other bytes,
        ``StorageFull``."""
        with self._asking(writing=True) as outcome:
            mode: Any = "overwrite" if replace else "create"
            try:
                obstore.put(self._store, key, data, mode=mode, use_multipart=False, **self._new)
            except obstore.exceptions.AlreadyExistsError:
                # Perhaps by ourselves: a request whose answer was lost is made again.
                outcome.may_be_done = True
                found = obstore.get(self._store, key)
                if found.meta["size"] != len(data) or bytes(found.bytes()) != data:
                    raise

    def put_large(self, key: str, data: memoryview, *, replace: bool = False) -> None:
        """A new object that is sent in parts; it is there when all of them are. Raises as
        ``put``."""
        if not replace and self._is_there(key):
            raise CannotWriteFile("The object storage has a file of this name already")
        size = max(self._bucket.part_bytes, -(-len(data) // _PARTS))
        with self._some_parts() as parts, self._asking(writing=True):
            obstore.put(
                self._store,
                key,
                _pieces(data, size, 2 * parts),
                use_multipart=True,
                chunk_size=size,
                max_concurrency=parts,
                **self._new,
            )

    def get(self, key: str, start: int, end: int) -> tuple[Bytes, int]:
        """Bytes from ``start`` until before ``end`` or the end of the object, and the size of that.
        Raises ``MissingFile``, ``CorruptedFile``."""
        with self._asking():
            try:
                found = obstore.get(self._store, key, options={"range": (start, end)})
                return found.bytes(), found.meta["size"]
            except OURS as error:
                if start == 0 and is_empty(error):
                    return Bytes(b""), 0
                raise

    def size(self, key: str) -> int:
        """Raises ``MissingFile``."""
        with self._asking():
            return obstore.head(self._store, key)["size"]

    def delete(self, key: str) -> None:
        """No error when it is not there."""
        with self._asking(writing=True):
            try:
                obstore.delete(self._store, key)
            except FileNotFoundError as error:
                if not is_missing(error):
                    raise

    def list(self, folder: str, prefix: str) -> list[str]:
        """Keys that begin with ``prefix``, in ``folder``."""
        with self._asking():
            return [*self._bucket.list(folder, prefix)]

    def start(self, work: Callable[..., T], *arguments: object) -> Future[T]:
        """Do it in a thread of ours, of which there are as many as connections."""
        return self._pool.submit(work, *arguments)

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(cancel_futures=True)

    def _is_there(self, key: str) -> bool:
        with self._asking():
            try:
                obstore.head(self._store, key)
            except FileNotFoundError:
                return False
            return True

    @contextmanager
    def _asking(self, *, writing: bool = False) -> Iterator[_Outcome]:
        with self._slots, self._health.asking() as outcome:
            try:
                yield outcome
            except OURS as error:
                outcome.error = failure(error, writing=writing)
                outcome.out_of_reach = is_out_of_reach(error)
        if isinstance(outcome.error, StorageUnavailable) and outcome.may_be_done:
            outcome.error.nothing_done = False
        if outcome.error is not None:
            # Not from it: its words may hold addresses and signatures.
            raise outcome.error from None

    @contextmanager
    def _some_parts(self) -> Iterator[int]:
        """How many parts may be on their way at once: a fair half of what is free."""
        taken = 0
        self._large.acquire()
        taken += 1
        while taken < limits.OBJECT_PARTS // 2 and self._large.acquire(blocking=False):
            taken += 1
        try:
            yield taken
        finally:
            self._large.release(taken)


def _pieces(data: memoryview, size: int, under_way: int) -> Iterator[memoryview]:
    """Parts of a file that is mapped: those that are sent for certain need not stay in memory."""
    content = data.obj
    for start in range(0, len(data), size):
        behind = start - under_way * size
        if behind >= 0 and isinstance(content, mmap.mmap):
            page = behind - behind % mmap.PAGESIZE
            content.madvise(mmap.MADV_DONTNEED, page, size)
        yield data[start : start + size]


@dataclass
class _Outcome:
    error: Exception | None = None
    out_of_reach: bool = False
    may_be_done: bool = False
    """Whatever the error says."""


class _Health:
    """Whether the store answers, as far as is known."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._trouble = ""
        self._rests_until = 0.0

    @contextmanager
    def asking(self) -> Iterator[_Outcome]:
        """One request. Raises ``StorageUnavailable`` at once while the store rests."""
        outcome = _Outcome()
        self._admit()
        try:
            yield outcome
        finally:
            if outcome.out_of_reach:
                with self._lock:
                    self._trouble = str(outcome.error)
                    self._rests_until = clock.monotonic() + limits.OBJECT_REST_S
            elif self._trouble:
                with self._lock:
                    self._trouble = ""

    def _admit(self) -> None:
        with self._lock:
            if not self._trouble:
                return
            now = clock.monotonic()
            if now < self._rests_until:
                raise StorageUnavailable(self._trouble, nothing_done=True)
            self._rests_until = now + limits.OBJECT_RETRY_S
