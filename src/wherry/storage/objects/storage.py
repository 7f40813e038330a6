"""The ``StorageArea`` whose files are objects of a cloud storage.

An object is there as a whole or not at all, and durable once the store has said so: there is no
log, and nothing to sync. Not here: how the store is reached (``stores``), what others wrap around
it (encryption, a file system beside it).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import wait
from functools import partial
from pathlib import Path

from obstore import Bytes

from wherry import limits
from wherry.errors import BadSequenceOfCalls, MissingFile, StorageUnavailable
from wherry.model import DICOM_CONTENT
from wherry.storage.base import (
    ANYWHERE,
    FileReader,
    FileWriter,
    Logged,
    Put,
    SmallFile,
    in_place,
    type_buffer,
)
from wherry.storage.direct import Buffers
from wherry.storage.objects.client import Client
from wherry.storage.objects.names import Names, uuid_of
from wherry.storage.objects.reading import ObjectReader, checked
from wherry.storage.objects.writing import ObjectWriter
from wherry.storage.places import OBJECT_STORAGE, Place

_ENDLESS = 1 << 60


class ObjectStorage:
    """``folder``: on a local disk, for the bytes of large files on their way, which have no names
    there."""

    shares_files = False

    def __init__(self, client: Client, names: Names, folder: Path) -> None:
        self._client = client
        self._names = names
        self._folder = folder
        self._buffers = Buffers()

    def create(self, uuid: str, content_type: int = DICOM_CONTENT) -> FileWriter:
        return self._writer(uuid, self._names.name(content_type))

    def place_for(self, content_type: int, *, sealed: bool) -> str:
        """The place of a file that comes from elsewhere, sealed or not."""
        return _place(self._names.name(content_type, sealed=sealed))

    def create_at(self, uuid: str, place: str) -> FileWriter:
        """As ``create``, at a place that ``place_for`` has said."""
        return self._writer(uuid, Place.parse(place).name)

    def _writer(self, uuid: str, name: str) -> FileWriter:
        send = partial(self._send, self._names.key(uuid, name))
        return ObjectWriter(uuid, _place(name), send, self._buffers, self._folder)

    def reopen(self, uuid: str, offset: int = 0) -> FileWriter:
        raise BadSequenceOfCalls("An object has one writer")

    def _send(self, key: str, data: type_buffer, replace: bool) -> None:
        if len(data) <= self._client.part_bytes:
            self._client.put(key, data, replace=replace)
        else:
            self._client.put_large(key, memoryview(data), replace=replace)

    def put(self, files: Sequence[SmallFile]) -> Put:
        name = self._names.name(DICOM_CONTENT)
        keys = [self._names.key(file.uuid, name) for file in files]
        if len(files) == 1:
            self._client.put(keys[0], files[0].data)
        else:
            self._put_all(files, keys)
        return in_place([_place(name)] * len(files))

    def before_forgetting(self, secure: Callable[[], None]) -> None:
        pass  # there is no log

    def _put_all(self, files: Sequence[SmallFile], keys: Sequence[str]) -> None:
        work = [
            self._client.start(self._client.put, key, file.data)
            for key, file in zip(keys, files, strict=True)
        ]
        wait(work)
        errors = [one.exception() for one in work]
        trouble = next((error for error in errors if error is not None), None)
        if trouble is None:
            return
        doubtful = [key for key, error in zip(keys, errors, strict=True) if _may_be_there(error)]
        removals = [self._client.start(self._client.delete, key) for key in doubtful]
        left = [error for one in removals if (error := one.exception()) is not None]
        # A request without an answer may be carried out after the removal.
        late = any(error is not None and _may_be_there(error) for error in errors)
        if left or late or isinstance(trouble, StorageUnavailable):
            raise StorageUnavailable(str(trouble), nothing_done=not (left or late))
        raise trouble

    def logs(self) -> Iterable[str]:
        return ()

    def logged(self, owner: str) -> Iterator[Logged]:
        return iter(())

    def restore(self, file: SmallFile) -> bool:
        return False  # there is no log

    def drop_log(self, owner: str) -> None:
        pass

    def stop_logging(self) -> None:
        pass

    def take_buffer(self) -> memoryview:
        return self._buffers.take()

    def give_back(self, buffer: memoryview) -> None:
        self._buffers.give_back(buffer)

    def sync(self, uuids: Iterable[str]) -> None:
        for done in [self._client.start(self.size, uuid) for uuid in uuids]:
            done.result()

    def open(self, uuid: str, place: str = ANYWHERE) -> FileReader:
        for name in self._candidates(uuid, place):
            key = self._names.key(uuid, name)
            try:
                head, size = self._client.get(key, 0, limits.OBJECT_HEAD_BYTES)
            except MissingFile:
                continue
            checked(head, 0, min(size, limits.OBJECT_HEAD_BYTES))
            fetch = partial(self._fetch, key)
            return ObjectReader(_place(name), size, head, fetch, self._client.start, self._folder)
        raise _missing(uuid)

    def _fetch(self, key: str, start: int, end: int) -> Bytes:
        data, _ = self._client.get(key, start, end)
        return checked(data, start, end)

    def delete(self, uuid: str, place: str = ANYWHERE) -> None:
        first, *others = [self._names.key(uuid, name) for name in self._candidates(uuid, place)]
        work = [self._client.start(self._client.delete, key) for key in others]
        self._client.delete(first)
        for done in work:
            done.result()

    def sync_removals(self, names: Iterable[str]) -> None:
        """What the store has removed stays removed."""

    def size(self, uuid: str, place: str = ANYWHERE) -> int:
        for name in self._candidates(uuid, place):
            try:
                return self._client.size(self._names.key(uuid, name))
            except MissingFile:
                continue
        raise _missing(uuid)

    def list(self, prefix: str) -> Iterator[str]:
        found = {
            uuid
            for folder, start in self._names.folders(prefix)
            for key in self._client.list(folder, start)
            if (uuid := uuid_of(key)) is not None
        }
        yield from found

    def close(self) -> None:
        self._client.close()

    def free_bytes(self) -> int:
        return _ENDLESS

    def _candidates(self, uuid: str, place: str) -> Sequence[str]:
        """The names under which the file may be found, the likeliest first."""
        if place == ANYWHERE:
            return self._names.all()
        where = Place.parse(place)
        if where.store != OBJECT_STORAGE:
            raise MissingFile(
                f"The stored file {uuid} is in a file system, which is not configured"
            )
        return (where.name, *self._names.also(where.name))


def _may_be_there(error: BaseException | None) -> bool:
    """The file of a ``put`` that ended like this."""
    if isinstance(error, StorageUnavailable):
        return not error.nothing_done
    return error is None


def _place(name: str) -> str:
    return str(Place(OBJECT_STORAGE, name))


def _missing(uuid: str) -> MissingFile:
    return MissingFile(f"The stored file {uuid} is missing in the object storage")
