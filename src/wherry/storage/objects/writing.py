"""A new object: its bytes wait here, and ``sync`` sends them.

Up to ``limits.OBJECT_HEAD_BYTES`` they are in a buffer; what is longer lies in a nameless file.
Until ``sync`` the store has nothing of it.
"""

from __future__ import annotations

import errno
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from wherry.errors import CannotWriteFile, StorageFull
from wherry.storage.base import type_buffer
from wherry.storage.direct import Buffers, write_all
from wherry.storage.mapping import mapped

type_send = Callable[[memoryview, bool], None]
"""Sends the whole file; True = it takes the place of what this writer has sent before."""
_FULL = {errno.ENOSPC, errno.EDQUOT}


class ObjectWriter:
    """The ``FileWriter`` of an object. ``folder``: for the nameless file."""

    def __init__(
        self, uuid: str, place: str, send: type_send, buffers: Buffers, folder: Path
    ) -> None:
        self.uuid = uuid
        self.place = place
        self._send = send
        self._buffers = buffers
        self._folder = folder
        self._buffer: memoryview | None = None
        self._filled = 0
        self._file: IO[bytes] | None = None
        self._size = 0
        """Of the file."""
        self._lock = threading.Lock()
        self._synced = False
        self._sent = False

    def write(self, data: type_buffer) -> None:
        view, start = memoryview(data), 0
        while start < len(view):
            room = self.room()
            size = min(len(view) - start, len(room))
            room[:size] = view[start : start + size]
            self.filled(size)
            start += size

    def room(self) -> memoryview:
        if self._buffer is None:
            self._buffer = self._buffers.take()
        return self._buffer[self._filled :]

    def filled(self, size: int) -> None:
        assert self._buffer is not None
        self._synced = False
        self._filled += size
        if self._filled == len(self._buffer):
            self.flush()

    def adopt(self, buffer: memoryview, size: int) -> None:
        self._give_back()
        self._buffer, self._filled, self._synced = buffer, size, False

    def flush(self) -> None:
        if self._buffer is not None and self._filled:
            self._to_file(self._buffer[: self._filled], self._size)
        self._give_back()

    def write_at(self, data: type_buffer, offset: int) -> None:
        self._to_file(data, offset)

    @contextmanager
    def map(self) -> Iterator[memoryview]:
        if self._file is None:
            held = self._buffer[: self._filled] if self._buffer is not None else memoryview(b"")
            with held.toreadonly() as view:
                yield view
            return
        self.flush()
        with mapped(self._file.fileno()) as view:
            yield view

    def read_at(self, offset: int, size: int) -> bytes:
        if self._file is None:
            with self.map() as view:
                return bytes(view[offset : offset + size])
        self.flush()
        return os.pread(self._file.fileno(), size, offset)

    def sync(self) -> None:
        if self._synced:
            return
        with self.map() as view:
            self._send(view, self._sent)
        self._synced = self._sent = True

    def close(self) -> None:
        self._give_back()
        if self._file is not None:
            self._file.close()
            self._file = None

    def _to_file(self, data: type_buffer, offset: int) -> None:
        try:
            with self._lock:
                if self._file is None:
                    self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115
                self._size = max(self._size, offset + len(data))
                self._synced = False
            write_all(self._file.fileno(), data, offset)
        except OSError as error:
            if error.errno in _FULL:
                raise StorageFull("No room for a file on its way to the object storage") from error
            raise CannotWriteFile("A file on its way to the object storage was refused") from error

    def _give_back(self) -> None:
        if self._buffer is not None:
            self._buffers.give_back(self._buffer)
            self._buffer, self._filled = None, 0
