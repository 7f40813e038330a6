"""Writing around the page cache.

A file that arrives is written once, synced at once, and read later or never: taking it through
the page cache costs a copy into fresh pages and drives out what is being read. ``O_DIRECT``
(open(2)) hands the disk an aligned buffer instead: 0.7 ms and 0.2 ms of CPU for a synced file of
half a MiB against 1.6–2.2 ms and 1.1–1.5 ms (docs/decisions/storage.md).

Small files and file systems without it take the ordinary way.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import threading

from wherry import limits
from wherry.storage.base import type_buffer

ALIGNMENT_BYTES = 4096
"""Of address, offset and length: the largest logical block in use."""

SMALL_BYTES = 128 * limits.KIB
"""A file up to here is written in the ordinary way: its pages are few."""


class Buffers:
    """A bounded number of aligned buffers, shared by the files that are being written."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left = limits.DIRECT_BUFFERS
        self._free: list[memoryview] = []

    def take(self) -> memoryview | None:
        """A buffer, or None when all are in use: then the file is written without."""
        with self._lock:
            if self._free:
                return self._free.pop()
            if not self._left:
                return None
            self._left -= 1
        return memoryview(mmap.mmap(-1, limits.DIRECT_BUFFER_BYTES))

    def give_back(self, buffer: memoryview) -> None:
        """Somebody else may have it."""
        with self._lock:
            self._free.append(buffer)


def set_direct(fd: int, on: bool) -> bool:
    """Switch ``O_DIRECT`` of an open file; False when its file system does not have it."""
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    try:
        fcntl.fcntl(fd, fcntl.F_SETFL, flags | os.O_DIRECT if on else flags & ~os.O_DIRECT)
    except OSError as error:
        if error.errno == errno.EINVAL:
            return False
        raise
    return True


_SYNC_FILE_RANGE_WRITE = 2
# Keeps the interpreter lock: the call returns at once, and getting the lock back would not.
_sync_file_range = getattr(ctypes.PyDLL(None), "sync_file_range", None)
if _sync_file_range is not None:
    _sync_file_range.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]


def start_writeback(fd: int) -> None:
    """Ask the kernel to begin writing a file: a hint, so its result does not matter."""
    if _sync_file_range is not None:
        _sync_file_range(fd, 0, 0, _SYNC_FILE_RANGE_WRITE)


def write_all(fd: int, data: type_buffer, offset: int) -> None:
    """``pwrite`` until everything is written. Raises ``OSError``."""
    written = os.pwrite(fd, data, offset)
    view = memoryview(data)
    while written < len(view):
        written += os.pwrite(fd, view[written:], offset + written)


class Stream:
    """The bytes of one new file, in order. Not thread-safe."""

    def __init__(self, fd: int, buffers: Buffers) -> None:
        self._fd = fd
        self._buffers = buffers
        self._buffer: memoryview | None = None
        self._filled = 0
        self._written = 0
        self._direct = False

    def write(self, data: type_buffer) -> None:
        """Append. Raises ``OSError``."""
        if self._buffer is None and (self._written or not self._begin()):
            write_all(self._fd, data, self._written)
            self._written += len(data)
            return
        assert self._buffer is not None
        view, start = memoryview(data), 0
        while start < len(view):
            size = min(len(view) - start, len(self._buffer) - self._filled)
            self._buffer[self._filled : self._filled + size] = view[start : start + size]
            self._filled += size
            start += size
            if self._filled == len(self._buffer):
                self._write_block(self._filled)

    def flush(self) -> None:
        """Hand the file system what is still here. Raises ``OSError``."""
        buffer, filled = self._buffer, self._filled
        if buffer is None:
            return
        if filled and (self._written or filled > SMALL_BYTES):
            padded = -(-filled // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
            buffer[filled:padded] = bytes(padded - filled)
            self._write_block(padded)
            os.ftruncate(self._fd, self._written - (padded - filled))
            self._written -= padded - filled
        elif filled:
            write_all(self._fd, buffer[:filled], 0)
            self._written = filled
        if self._direct:
            set_direct(self._fd, on=False)
        self.close()

    def close(self) -> None:
        """Forget what was not flushed. Safe to call twice."""
        if self._buffer is not None:
            self._buffers.give_back(self._buffer)
            self._buffer, self._filled = None, 0

    def _begin(self) -> bool:
        self._buffer = self._buffers.take()
        return self._buffer is not None

    def _write_block(self, size: int) -> None:
        assert self._buffer is not None
        if not self._written:
            self._direct = set_direct(self._fd, on=True)
        try:
            write_all(self._fd, self._buffer[:size], self._written)
        except OSError as error:
            if not (self._direct and error.errno == errno.EINVAL):
                raise
            self._direct = not set_direct(self._fd, on=False)  # it only said that it could
            write_all(self._fd, self._buffer[:size], self._written)
        self._written += size
        self._filled = 0
