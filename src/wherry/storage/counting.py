"""A storage area that is measured: how long files take, how many bytes go in and out.

It does nothing else; what it wraps decides. Bytes of a mapped file, and those that the kernel
sends straight from a file, are seen by nobody and not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager

from wherry import clock
from wherry.metrics import Metrics
from wherry.model import DICOM_CONTENT
from wherry.storage.base import (
    ANYWHERE,
    FileReader,
    FileWriter,
    Logged,
    Put,
    SmallFile,
    StorageArea,
    type_buffer,
)

CREATE = "orthanc_storage_create_duration_ms"
READ = "orthanc_storage_read_duration_ms"
REMOVE = "orthanc_storage_remove_duration_ms"
READ_BYTES = "orthanc_storage_read_bytes"
WRITTEN_BYTES = "orthanc_storage_written_bytes"


class CountingStorage:
    """``inner``, with its figures in ``metrics``."""

    def __init__(self, inner: StorageArea, metrics: Metrics) -> None:
        self._inner = inner
        self._metrics = metrics

    @property
    def shares_files(self) -> bool:
        return self._inner.shares_files

    def create(self, uuid: str, content_type: int = DICOM_CONTENT) -> FileWriter:
        started = clock.monotonic()
        writer = self._inner.create(uuid, content_type)
        return _Writer(writer, self._metrics, clock.monotonic() - started)

    def put(self, files: Sequence[SmallFile]) -> Put:
        started = clock.monotonic()
        put = self._inner.put(files)
        spent_s = clock.monotonic() - started
        self._metrics.add(WRITTEN_BYTES, sum(len(file.data) for file in files))

        def wait() -> None:
            started = clock.monotonic()
            put.wait()
            self._metrics.observe(CREATE, (spent_s + clock.monotonic() - started) * 1000)

        return put._replace(wait=wait)

    def before_forgetting(self, secure: Callable[[], None]) -> None:
        self._inner.before_forgetting(secure)

    def logs(self) -> Iterable[str]:
        return self._inner.logs()

    def logged(self, owner: str) -> Iterator[Logged]:
        return self._inner.logged(owner)

    def restore(self, file: SmallFile) -> bool:
        return self._inner.restore(file)

    def drop_log(self, owner: str) -> None:
        self._inner.drop_log(owner)

    def stop_logging(self) -> None:
        self._inner.stop_logging()

    def close(self) -> None:
        self._inner.close()

    def reopen(self, uuid: str, offset: int = 0) -> FileWriter:
        return _Writer(self._inner.reopen(uuid, offset), self._metrics, 0.0)

    def take_buffer(self) -> memoryview:
        return self._inner.take_buffer()

    def give_back(self, buffer: memoryview) -> None:
        self._inner.give_back(buffer)

    def sync(self, uuids: Iterable[str]) -> None:
        self._inner.sync(uuids)

    def open(self, uuid: str, place: str = ANYWHERE) -> FileReader:
        return _Reader(self._inner.open(uuid, place), self._metrics)

    def delete(self, uuid: str, place: str = ANYWHERE) -> None:
        started = clock.monotonic()
        self._inner.delete(uuid, place)
        self._metrics.observe(REMOVE, (clock.monotonic() - started) * 1000)

    def sync_removals(self, names: Iterable[str]) -> None:
        self._inner.sync_removals(names)

    def size(self, uuid: str, place: str = ANYWHERE) -> int:
        return self._inner.size(uuid, place)

    def list(self, prefix: str) -> Iterator[str]:
        return self._inner.list(prefix)

    def free_bytes(self) -> int:
        return self._inner.free_bytes()


class _Writer:
    """The time spent in a file is that between its creation and its sync, without the pauses."""

    __slots__ = ("_bytes", "_inner", "_metrics", "_spent_s", "room")

    def __init__(self, inner: FileWriter, metrics: Metrics, spent_s: float) -> None:
        self._inner = inner
        self._metrics = metrics
        self._spent_s = spent_s
        self._bytes = 0
        self.room = inner.room

    @property
    def uuid(self) -> str:
        return self._inner.uuid

    @property
    def place(self) -> str:
        return self._inner.place

    def write(self, data: type_buffer) -> None:
        started = clock.monotonic()
        self._inner.write(data)
        self._spent_s += clock.monotonic() - started
        self._bytes += len(data)

    def filled(self, size: int) -> None:
        started = clock.monotonic()
        self._inner.filled(size)
        self._spent_s += clock.monotonic() - started
        self._bytes += size

    def adopt(self, buffer: memoryview, size: int) -> None:
        self._inner.adopt(buffer, size)
        self._bytes = size

    def flush(self) -> None:
        started = clock.monotonic()
        self._inner.flush()
        self._spent_s += clock.monotonic() - started

    def write_at(self, data: type_buffer, offset: int) -> None:
        self._inner.write_at(data, offset)
        self._metrics.add(WRITTEN_BYTES, len(data))  # other threads may write too

    def map(self) -> AbstractContextManager[memoryview]:
        return self._inner.map()

    def read_at(self, offset: int, size: int) -> bytes:
        return self._inner.read_at(offset, size)

    def sync(self) -> None:
        started = clock.monotonic()
        self._inner.sync()
        self._metrics.observe(CREATE, (self._spent_s + clock.monotonic() - started) * 1000)

    def close(self) -> None:
        if self._bytes:
            self._metrics.add(WRITTEN_BYTES, self._bytes)
            self._bytes = 0
        self._inner.close()


class _Reader:
    __slots__ = ("_inner", "_metrics")

    def __init__(self, inner: FileReader, metrics: Metrics) -> None:
        self._inner = inner
        self._metrics = metrics

    @property
    def size(self) -> int:
        return self._inner.size

    @property
    def place(self) -> str:
        return self._inner.place

    def read_at(self, offset: int, size: int) -> bytes:
        started = clock.monotonic()
        data = self._inner.read_at(offset, size)
        self._metrics.observe(READ, (clock.monotonic() - started) * 1000)
        self._metrics.add(READ_BYTES, len(data))
        return data

    def map(self) -> AbstractContextManager[memoryview]:
        return self._inner.map()

    def forget(self, offset: int, size: int) -> None:
        self._inner.forget(offset, size)

    def fileno(self) -> int | None:
        return self._inner.fileno()

    def close(self) -> None:
        self._inner.close()
