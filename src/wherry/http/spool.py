"""A body that must be whole before it can be read, kept in a nameless file.

The file has no name from the beginning (``O_TMPFILE``), so nothing of it is left when the process
dies. Not for instances: they are streamed to their final place.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from wherry import limits
from wherry.errors import CannotWriteFile, StorageFull, TooLarge
from wherry.storage.mapping import mapped


class Spool:
    """Blocking; one thread at a time. ``close`` it whatever happens."""

    def __init__(self, folder: Path, limit: int, free_bytes: Callable[[], int]) -> None:
        """At most ``limit`` bytes in ``folder``, as long as ``free_bytes`` of it leave room."""
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115  closed by ``close``
        self._limit = limit
        self._free_bytes = free_bytes
        self.size = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append. Raises ``TooLarge``, ``StorageFull``, ``CannotWriteFile``."""
        if self.size + len(data) > self._limit:
            raise TooLarge(f"The body has more than the {self._limit} bytes allowed")
        if self._free_bytes() < limits.FREE_DISK_BYTES + len(data):
            raise StorageFull("No space left to unpack the body")
        view = memoryview(data)
        try:
            while view:
                written = os.pwrite(self._file.fileno(), view, self.size)
                self.size += written
                view = view[written:]
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StorageFull("No space left to unpack the body") from error
            raise CannotWriteFile("The body cannot be kept") from error

    def read_at(self, offset: int, size: int) -> bytes:
        """At most ``size`` bytes from ``offset``; fewer only at the end."""
        return os.pread(self._file.fileno(), size, offset)

    def fileno(self) -> int:
        """Its descriptor, for those who only read."""
        return self._file.fileno()

    def map(self) -> AbstractContextManager[memoryview]:
        """All of it as one read-only buffer; only what is looked at is read."""
        return mapped(self._file.fileno())

    def close(self) -> None:
        """Forget the bytes. Safe to call twice."""
        self._file.close()
