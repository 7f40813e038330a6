"""A storage area in memory, for tests: what object storage is like, in its strictest form.

Nothing is there before ``sync``, and nothing is added afterwards; a file has one writer; all that
work on the same ``files`` see the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from wherry import limits
from wherry.errors import BadSequenceOfCalls, CannotWriteFile, MissingFile, ParameterOutOfRange
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
from wherry.storage.places import OBJECT_STORAGE, Place

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PREFIX = re.compile(r"[0-9a-f]{4}[0-9a-f-]{0,32}")
_ROOM_BYTES = 64 * limits.KIB
PLACE = str(Place(OBJECT_STORAGE, ".dcm"))

type_files = dict[str, memoryview]
"""UUID → content."""


class MemoryStorage:
    """One process's view of ``files``."""

    shares_files = False

    def __init__(self, files: type_files | None = None) -> None:
        self.files: type_files = {} if files is None else files

    def create(self, uuid: str, content_type: int = DICOM_CONTENT) -> FileWriter:
        return _Writer(self.files, _checked(uuid))

    def put(self, files: Sequence[SmallFile]) -> Put:
        writers = [_Writer(self.files, _checked(file.uuid)) for file in files]
        for done, (writer, file) in enumerate(zip(writers, files, strict=True)):
            try:
                writer.write(file.data)
                writer.sync()
            except CannotWriteFile:
                for earlier in writers[:done]:
                    self.delete(earlier.uuid)
                raise
        return in_place([PLACE] * len(files))

    def before_forgetting(self, secure: Callable[[], None]) -> None:
        pass

    def logs(self) -> Iterable[str]:
        return ()

    def logged(self, owner: str) -> Iterator[Logged]:
        return iter(())

    def restore(self, file: SmallFile) -> bool:
        return False

    def drop_log(self, owner: str) -> None:
        pass

    def stop_logging(self) -> None:
        pass

    def reopen(self, uuid: str, offset: int = 0) -> FileWriter:
        raise BadSequenceOfCalls(f"The file {_checked(uuid)} has one writer")

    def take_buffer(self) -> memoryview:
        return memoryview(bytearray(limits.DIRECT_BUFFER_BYTES))

    def give_back(self, buffer: memoryview) -> None:
        pass

    def sync(self, uuids: Iterable[str]) -> None:
        for uuid in uuids:
            self.size(uuid)

    def open(self, uuid: str, place: str = ANYWHERE) -> FileReader:
        return _Reader(self._content(uuid, place))

    def delete(self, uuid: str, place: str = ANYWHERE) -> None:
        self.files.pop(_checked(uuid), None)

    def sync_removals(self, names: Iterable[str]) -> None:
        pass

    def size(self, uuid: str, place: str = ANYWHERE) -> int:
        return len(self._content(uuid, place))

    def list(self, prefix: str) -> Iterator[str]:
        if not _PREFIX.fullmatch(prefix):
            raise ParameterOutOfRange("A prefix has at least four hexadecimal digits")
        return iter([uuid for uuid in list(self.files) if uuid.startswith(prefix)])

    def close(self) -> None:
        pass

    def free_bytes(self) -> int:
        return limits.GIB

    def _content(self, uuid: str, place: str) -> memoryview:
        content = self.files.get(_checked(uuid)) if place in (PLACE, ANYWHERE) else None
        if content is None:
            raise MissingFile(f"The stored file {uuid} is missing")
        return content


class _Writer:
    place = PLACE

    def __init__(self, files: type_files, uuid: str) -> None:
        self.uuid = uuid
        self._files = files
        self._content = bytearray()
        self._room = memoryview(bytearray(_ROOM_BYTES))
        self._stored: memoryview | None = None

    def write(self, data: type_buffer) -> None:
        self.write_at(data, len(self._content))

    def room(self) -> memoryview:
        return self._room

    def filled(self, size: int) -> None:
        self.write(self._room[:size])

    def adopt(self, buffer: memoryview, size: int) -> None:
        self.write(buffer[:size])

    def flush(self) -> None:
        pass

    def write_at(self, data: type_buffer, offset: int) -> None:
        if self._stored is not None:
            raise BadSequenceOfCalls("Nothing is written behind the sync")
        self._content.extend(bytes(max(0, offset - len(self._content))))
        self._content[offset : offset + len(data)] = data

    @contextmanager
    def map(self) -> Iterator[memoryview]:
        with memoryview(bytes(self._content)) as view:
            yield view

    def read_at(self, offset: int, size: int) -> bytes:
        return bytes(self._content[offset : offset + size])

    def sync(self) -> None:
        if self._stored is None:
            self._stored = memoryview(bytes(self._content))
            if self._files.setdefault(self.uuid, self._stored) is not self._stored:
                raise CannotWriteFile(f"The file {self.uuid} is there already")

    def close(self) -> None:
        pass


class _Reader:
    place = PLACE

    def __init__(self, content: memoryview) -> None:
        self._content = content
        self.size = len(content)

    def read_at(self, offset: int, size: int) -> bytes:
        return bytes(self._content[offset : offset + size])

    @contextmanager
    def map(self) -> Iterator[memoryview]:
        with self._content[:] as view:
            yield view

    def forget(self, offset: int, size: int) -> None:
        pass

    def fileno(self) -> int | None:
        return None

    def close(self) -> None:
        pass


def _checked(uuid: str) -> str:
    if not _UUID.fullmatch(uuid):
        raise ParameterOutOfRange("The name of an attachment is a lower-case UUID")
    return uuid
