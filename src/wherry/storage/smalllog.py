"""A log of small files: one write makes many of them durable.

A file that is synced by itself costs the disk several writes in several places, and its sender all
the waiting. Here small files are written in the ordinary way and *not* synced; what makes them
durable is one record with all their bytes, written to a place that is laid out already, around the
page cache. When the log is full, the file system is synced once for all that is in it, while the
log's other half goes on.

After a power cut the log gives back what the file system has lost; whoever starts then asks the
index which of the files somebody can see (``ingest.recovery``). A record is a head of
``_HEAD`` and ``_ENTRY`` with a checksum, then the bytes of its files, each with its digest; records
begin at multiples of a block, so that a torn one is the last that is read.

Not here: names, what a file means.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import re
import struct
import threading
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from wherry import limits
from wherry.digests import digest_like, digest_of
from wherry.storage.base import SmallFile
from wherry.storage.direct import ALIGNMENT_BYTES, set_direct, write_all

_HEAD = struct.Struct("<8sIII")
"""Magic, number of files, bytes of the record without its padding, CRC-32 of the entries."""
_ENTRY = struct.Struct("<36s32sI")
"""UUID, digest (an MD5 is filled up with zeros), size."""
_MAGIC = b"WherryL2"
_ENTRIES = {b"WherryL1": struct.Struct("<36s16sI"), _MAGIC: _ENTRY}
"""Before the second version every digest was an MD5."""
_MD5_BYTES = 16
_NAME = re.compile(r"(.+)\.[01]")


class SmallLog:
    """The log of one process in ``folder``. Methods may be called from any thread."""

    def __init__(self, folder: str, owner: str) -> None:
        self._folder = folder
        self._owner = owner
        self._lock = threading.Lock()
        self._buffer = memoryview(mmap.mmap(-1, _padded(limits.SMALL_RECORD_BYTES)))
        self._halves: list[_Half] = []
        self._active = 0

    def append(self, files: Sequence[SmallFile]) -> None:
        """Make ``files`` durable, together at most ``limits.SMALL_RECORD_BYTES`` with 72 bytes for
        each. Raises ``OSError``."""
        with self._lock:
            size = self._fill(files)
            if not self._halves:
                self._begin()
            half = self._halves[self._active]
            if half.position + size > half.size:
                half.start_settling()
                self._active = 1 - self._active
                half = self._halves[self._active]
                half.wait_settled()
            half.write(self._buffer[:size])

    def close(self) -> None:
        """Make the files themselves durable and remove the log."""
        with self._lock:
            halves, self._halves = self._halves, []
            for half in halves:
                half.wait_settled()
            for half in halves:
                half.close()
            remove(self._folder, self._owner)

    def _begin(self) -> None:
        os.makedirs(self._folder, exist_ok=True)  # noqa: PTH103
        for number in (0, 1):
            self._halves.append(_Half(self._folder, f"{self._owner}.{number}"))
        folder = os.open(self._folder, os.O_RDONLY | os.O_CLOEXEC)
        parent = os.open(os.path.dirname(self._folder), os.O_RDONLY | os.O_CLOEXEC)  # noqa: PTH120
        try:
            os.fsync(folder)
            os.fsync(parent)
        finally:
            os.close(folder)
            os.close(parent)

    def _fill(self, files: Sequence[SmallFile]) -> int:
        """Lay the record out in the buffer; its size with the padding."""
        entries = b"".join(
            _ENTRY.pack(file.uuid.encode("ascii"), bytes.fromhex(file.digest), len(file.data))
            for file in files
        )
        at = _HEAD.size + len(entries)
        total = at + sum(len(file.data) for file in files)
        buffer = self._buffer
        buffer[:at] = _HEAD.pack(_MAGIC, len(files), total, zlib.crc32(entries)) + entries
        for file in files:
            buffer[at : at + len(file.data)] = file.data
            at += len(file.data)
        return _padded(total)


class _Half:
    """One file of the log, laid out with zeros so that a write changes nothing but its bytes."""

    def __init__(self, folder: str, name: str) -> None:
        path = f"{folder}/{name}"
        # Opened before any file is written: syncfs tells an error of writing only to descriptors
        # that were there when it happened.
        self._fd = -1
        self._folder_fd = -1
        self._folder_fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_DSYNC
        self._fd = os.open(path, flags, 0o600)
        self.size = 0
        self.position = 0
        self._direct = set_direct(self._fd, on=True)
        self._settling: threading.Thread | None = None
        self._error: OSError | None = None
        self._grow(limits.SMALL_LOG_BYTES)

    def write(self, record: memoryview) -> None:
        try:
            write_all(self._fd, record, self.position)
        except OSError:
            if not self._direct:
                raise
            self._direct = not set_direct(self._fd, on=False)  # it only said that it could
            write_all(self._fd, record, self.position)
        self.position += len(record)

    def start_settling(self) -> None:
        """It is full: make its files durable, in a thread, and then use it again."""
        self._settling = threading.Thread(target=self._settle, name="small-log", daemon=True)
        self._settling.start()

    def wait_settled(self) -> None:
        """Raises the ``OSError`` of the file system that could not be synced."""
        if self._settling is None:
            return
        self._settling.join()
        if self._error is not None:
            self._settle()  # perhaps the trouble has passed
        if self._error is not None:
            raise self._error
        self._settling = None

    def close(self) -> None:
        """Make its files durable. Raises ``OSError``; the log is then still there."""
        _sync_file_system(self._folder_fd)
        self._release()

    def _release(self) -> None:
        fds, self._folder_fd, self._fd = (self._folder_fd, self._fd), -1, -1
        for fd in fds:
            if fd >= 0:
                os.close(fd)

    def __del__(self) -> None:
        self._release()

    def _settle(self) -> None:
        try:
            _sync_file_system(self._folder_fd)
        except OSError as error:
            self._error = error
            return
        self.position = 0
        self._error = None
        if self.size < limits.SMALL_LOG_MOST_BYTES:
            with suppress(OSError):  # a full disk: it goes on as small as it is
                self._grow(2 * self.size)

    def _grow(self, size: int) -> None:
        zeros = memoryview(mmap.mmap(-1, limits.SMALL_LOG_BYTES))
        while self.size < size:
            write_all(self._fd, zeros, self.size)
            self.size += len(zeros)


# --- reading a log that somebody left ----------------------------------------------------------
def owners(folder: str) -> set[str]:
    """Whose logs lie here."""
    with suppress(FileNotFoundError):
        return {
            match[1] for path in Path(folder).iterdir() if (match := _NAME.fullmatch(path.name))
        }
    return set()


def read(folder: str, owner: str) -> Iterator[SmallFile]:
    """The files of a log whose process has ended, each verified; one that is damaged is left
    out, and a torn record is the last."""
    for number in (0, 1):
        with suppress(FileNotFoundError):
            yield from _read_half(f"{folder}/{owner}.{number}")


def _read_half(path: str) -> Iterator[SmallFile]:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        at = 0
        while len(head := os.pread(fd, _HEAD.size, at)) == _HEAD.size:
            magic, number, total, checksum = _HEAD.unpack(head)
            entry = _ENTRIES.get(magic)
            if not entry or total > limits.SMALL_RECORD_BYTES or number * entry.size > total:
                return
            record = os.pread(fd, total, at)
            entries = record[_HEAD.size : _HEAD.size + number * entry.size]
            if zlib.crc32(entries) != checksum:
                return
            yield from _files(entry.iter_unpack(entries), record[_HEAD.size + len(entries) :])
            at += _padded(total)
    finally:
        os.close(fd)


def _files(entries: Iterable[tuple[bytes, bytes, int]], data: bytes) -> Iterator[SmallFile]:
    at = 0
    for uuid, padded, size in entries:
        content = data[at : at + size]
        at += size
        digest = (padded if any(padded[_MD5_BYTES:]) else padded[:_MD5_BYTES]).hex()
        if digest_of(content, partial(digest_like, digest)) == digest:
            yield SmallFile(uuid.decode("ascii", "replace"), content, digest)


def remove(folder: str, owner: str) -> None:
    """Forget a log. Its files are durable by themselves, or nobody needs them."""
    for number in (0, 1):
        with suppress(FileNotFoundError):
            os.unlink(f"{folder}/{owner}.{number}")  # noqa: PTH108


def _padded(size: int) -> int:
    return -(-size // ALIGNMENT_BYTES) * ALIGNMENT_BYTES


_libc = ctypes.CDLL(None, use_errno=True)


def _sync_file_system(fd: int) -> None:
    """syncfs(2): everything that was written where ``fd`` lies. Raises ``OSError``."""
    if _libc.syncfs(fd) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
