"""An object that is read while it is moved: the reader goes on where the file is now.

Each range is a request of its own, so the object may be gone between two of them. The bytes of a
name never change, so that the same offset is the right one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Protocol, TypeVar

from wherry.errors import CorruptedFile, MissingFile
from wherry.storage.base import FileReader

T = TypeVar("T")


class Finding(Protocol):
    """Where a file is looked for."""

    def open(self, uuid: str, place: str) -> FileReader: ...


class PursuingReader:
    """``inner``, or whatever ``finding`` opens when it is gone."""

    def __init__(self, finding: Finding, inner: FileReader, uuid: str) -> None:
        self._finding = finding
        self._inner = inner
        self._uuid = uuid
        self._lock = threading.Lock()
        self._gone: list[FileReader] = []
        self.size = inner.size

    @property
    def place(self) -> str:
        return self._inner.place

    def read_at(self, offset: int, size: int) -> bytes:
        return self._pursue(lambda reader: reader.read_at(offset, size))

    @contextmanager
    def map(self) -> Iterator[memoryview]:
        with ExitStack() as stack:
            yield self._pursue(lambda reader: stack.enter_context(reader.map()))

    def forget(self, offset: int, size: int) -> None:
        self._inner.forget(offset, size)

    def fileno(self) -> int | None:
        return self._inner.fileno()

    def close(self) -> None:
        for reader in (self._inner, *self._gone):
            reader.close()

    def _pursue(self, read: Callable[[FileReader], T]) -> T:
        reader = self._inner
        while True:
            try:
                return read(reader)
            except MissingFile:
                reader = self._found(reader)

    def _found(self, gone: FileReader) -> FileReader:
        """The file where it is now; one thread looks for it. Raises ``MissingFile``."""
        with self._lock:
            if self._inner is gone:
                found = self._finding.open(self._uuid, gone.place)
                if found.size != self.size:
                    found.close()
                    raise CorruptedFile(f"The stored file {self._uuid} was moved and lost bytes")
                self._gone.append(gone)  # others may be reading from it
                self._inner = found
            return self._inner
