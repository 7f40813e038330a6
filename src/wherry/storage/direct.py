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
from wherry.errors import CannotWriteFile, StorageFull
from wherry.storage.base import type_buffer

ALIGNMENT_BYTES = 4096
"""Of address, offset and length: the largest logical block in use."""

SMALL_BYTES = 128 * limits.KIB
"""A file up to here is written in the ordinary way: its pages are few."""


class Buffers:
    """A bounded number of aligned buffers of ``limits.DIRECT_BUFFER_BYTES``."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left = limits.DIRECT_BUFFERS
        self._free: list[memoryview] = []

    def take(self) -> memoryview:
        """A buffer; an ordinary one when all aligned ones are in use."""
        with self._lock:
            if self._free:
                return self._free.pop()
            if not self._left:
                return memoryview(bytearray(limits.DIRECT_BUFFER_BYTES))
            self._left -= 1
        return memoryview(mmap.mmap(-1, limits.DIRECT_BUFFER_BYTES))

    def give_back(self, buffer: memoryview) -> None:
        """Somebody else may have it."""
        if is_aligned(buffer):
            with self._lock:
                self._free.append(buffer)


def is_aligned(buffer: memoryview) -> bool:
    """Whether a buffer of ``Buffers`` is fit for ``O_DIRECT``."""
    return isinstance(buffer.obj, mmap.mmap)


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


_FULL = {errno.ENOSPC, errno.EDQUOT}


def write_error(error: OSError) -> CannotWriteFile:
    """What a caller hears of an error of writing."""
    if error.errno in _FULL:
        return StorageFull("No space left in the storage area")
    return CannotWriteFile(f"The storage area refused the bytes ({os.strerror(error.errno or 0)})")


class Stream:
    """Bytes of one file, in order, from an offset on. Not thread-safe.

    What lies between two block boundaries is written around the page cache; the bytes before the
    first and behind the last boundary, which another part of the file may share a block with, are
    written in the ordinary way.
    """

    def __init__(self, fd: int, buffers: Buffers, offset: int = 0) -> None:
        self._fd = fd
        self._buffers = buffers
        self._buffer: memoryview | None = None
        self._filled = 0
        self._position = offset
        self._direct = False
        self._able = True
        self._room = 0

    def write(self, data: type_buffer) -> None:
        """Append. Raises ``OSError``."""
        view, start = memoryview(data), 0
        while start < len(view):
            room = self.room()
            size = min(len(view) - start, len(room))
            room[:size] = view[start : start + size]
            self.filled(size)
            start += size

    def room(self) -> memoryview:
        """Where the next bytes may be put instead; at least one."""
        if self._buffer is None:
            self._buffer = self._buffers.take()
            beyond = self._position % ALIGNMENT_BYTES
            self._room = ALIGNMENT_BYTES - beyond if beyond else len(self._buffer)
        return self._buffer[self._filled : self._room]

    def filled(self, size: int) -> None:
        """So many bytes were put into ``room()``, which is void now. Raises ``OSError``."""
        self._filled += size
        if self._filled == self._room:
            self._write_out(self._filled)
            assert self._buffer is not None
            self._room = len(self._buffer)

    def adopt(self, buffer: memoryview, size: int) -> None:
        """The first ``size`` bytes of a buffer of ``Buffers``, which is ours from now on, are the
        whole file."""
        self.close()
        self._buffer, self._filled = buffer, size

    def flush(self) -> None:
        """Hand the file system what is still here. Raises ``OSError``."""
        if self._buffer is None:
            return
        if self._filled > SMALL_BYTES or self._direct:
            self._write_out(self._filled - self._filled % ALIGNMENT_BYTES)
        self._write_out(self._filled)
        self._switch(direct=False)
        self.close()

    def close(self) -> None:
        """Forget what was not flushed. Safe to call twice."""
        if self._buffer is not None:
            self._buffers.give_back(self._buffer)
            self._buffer, self._filled = None, 0

    def _write_out(self, size: int) -> None:
        """The first ``size`` bytes of the buffer, to where they belong; the rest moves up."""
        if not size:
            return
        assert self._buffer is not None
        whole_blocks = not (size | self._position) % ALIGNMENT_BYTES
        large = size > SMALL_BYTES or self._direct
        self._switch(direct=whole_blocks and large and is_aligned(self._buffer))
        try:
            write_all(self._fd, self._buffer[:size], self._position)
        except OSError as error:
            if not (self._direct and error.errno == errno.EINVAL):
                raise
            self._able = False  # it only said that it could
            self._switch(direct=False)
            write_all(self._fd, self._buffer[:size], self._position)
        self._position += size
        rest = max(0, self._filled - size)
        if rest:
            self._buffer[:rest] = bytes(self._buffer[size : self._filled])
        self._filled = rest

    def _switch(self, *, direct: bool) -> None:
        direct = direct and self._able
        if direct != self._direct:
            self._able = set_direct(self._fd, on=direct) or not direct
            self._direct = direct and self._able
