"""A log of small files: one write makes many of them durable.

A file that is synced by itself costs the disk several writes in several places, and its sender all
the waiting. Here small files are written in the ordinary way and *not* synced; what makes them
durable is one record with all their bytes, written to a place that is laid out already, around the
page cache. When the log is full, the file system is synced once for all that is in it, while the
log's other half goes on.

After a power cut the log gives back what the file system has lost; whoever starts then asks the
index which of the files somebody can see (``ingest.recovery``). With a file goes a note, which the
log keeps too; so it may also stand for a commit of the index that is not synced by itself
(``ingest.promises``). Such commits must be made, and durable, before the log forgets: it waits for
``Record.done``, and ``secure`` sees to the rest.

Not here: what a record looks like (``logrecords``), names, what a file or a note means.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import re
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from wherry import limits
from wherry.storage import logrecords as records
from wherry.storage.base import SmallFile
from wherry.storage.direct import set_direct, write_all
from wherry.storage.logrecords import padded
from wherry.storage.submitted import Submitter, Writing

_NAME = re.compile(r"(.+?)\.([01]|[0-9a-f-]{36}\.restored)")


class Record(NamedTuple):
    """A record that is being written."""

    number: int
    writing: Writing
    """Its files survive a power cut when this is over."""
    done: Callable[[], None]
    """To be called once, when what its notes promise is committed, or never will be."""


class SmallLog:
    """The log of one process in ``folder``. Methods may be called from any thread."""

    def __init__(self, folder: str, owner: str) -> None:
        self._folder = folder
        self._owner = owner
        self._lock = threading.Lock()
        self._key = records.new_key()
        self._buffer = memoryview(mmap.mmap(-1, padded(limits.SMALL_RECORD_BYTES)))
        self._submitter: Submitter | None = None
        self._halves: list[_Half] = []
        self._active = 0
        self._number = 0
        self._last: tuple[Writing, int] | None = None
        """The newest record, and where it begins."""
        self._closed = False
        self.secure: Callable[[], None] = _nothing
        """Makes everything durable that relies on a record; called before records are forgotten,
        from a thread of the log. What it raises, the next ``append`` raises."""

    def append(self, files: Sequence[SmallFile]) -> Record:
        """Begin to make ``files`` durable, together at most ``limits.SMALL_RECORD_BYTES`` with
        their notes and ``limits.SMALL_ENTRY_BYTES`` for each. Raises ``OSError``."""
        with self._lock:
            if self._closed:
                raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
            self._end_last()
            if self._submitter is None:
                self._begin()
                self._submitter = Submitter(self._buffer)
            size = self._fill(files)
            half = self._halves[self._active]
            if not half.has_room(size):
                half.start_settling(self.secure)
                other = self._halves[1 - self._active]
                other.wait_settled()
                half, self._active = other, 1 - self._active
            at = half.position
            self._number += 1
            writing = half.write(self._submitter, self._buffer[:size])
            self._last = writing, at
            promises = any(file.note for file in files)
            return Record(self._number, writing, half.promise() if promises else _nothing)

    @property
    def lost(self) -> bool:
        """Whether a sync has failed: nothing more is to be trusted to this log, and it stays where
        it is for the next start."""
        return any(half.lost is not None for half in self._halves)

    def _end_last(self) -> None:
        """The record before this one is whole, or this one takes its place: what lies behind a
        torn one is not read."""
        if self._last is not None:
            (writing, at), self._last = self._last, None
            try:
                writing.wait()
            except OSError:  # its owner is told, who waits for it too
                self._halves[self._active].position = at

    def close(self) -> None:
        """Make the files themselves durable and remove the log."""
        with self._lock:
            self._closed = True
            self._end_last()
            if self._submitter is not None:
                self._submitter.close()
            halves, self._halves = self._halves, []
            for half in halves:
                half.wait_settled()
            for half in halves:
                half.close()
            remove(self._folder, self._owner)

    def _begin(self) -> None:
        os.makedirs(self._folder, exist_ok=True)  # noqa: PTH103
        halves = [_Half(self._folder, f"{self._owner}.{n}", self._key) for n in (0, 1)]
        folder = os.open(self._folder, os.O_RDONLY | os.O_CLOEXEC)
        parent = os.open(os.path.dirname(self._folder), os.O_RDONLY | os.O_CLOEXEC)  # noqa: PTH120
        try:
            os.fsync(folder)
            os.fsync(parent)
        finally:
            os.close(folder)
            os.close(parent)
        self._halves = halves

    def _fill(self, files: Sequence[SmallFile]) -> int:
        """Lay the record out in the buffer; its size with the padding."""
        head = records.head(files, self._number + 1, self._key)
        at = len(head)
        buffer = self._buffer
        buffer[:at] = head
        for file in files:
            buffer[at : at + len(file.data)] = file.data
            at += len(file.data)
        return padded(at)


class _Half:
    """One file of the log, laid out with zeros so that a write changes nothing but its bytes."""

    def __init__(self, folder: str, name: str, key: bytes) -> None:
        path = f"{folder}/{name}"
        # Opened before any file is synced: syncfs tells an error of writing only to descriptors
        # that were there when it happened.
        self._fd = -1
        self._folder_fd = -1
        self._folder_fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_DSYNC
        self._fd = os.open(path, flags, 0o600)
        self.size = 0
        self.position = records.FIRST_RECORD
        self._promised = 0
        self._kept = threading.Condition()
        self._direct = set_direct(self._fd, on=True)
        self._settling: threading.Thread | None = None
        self._secure: Callable[[], None] = _nothing
        self._error: Exception | None = None
        self.lost: OSError | None = None
        self._grow(limits.SMALL_LOG_BYTES)
        block = memoryview(mmap.mmap(-1, records.FIRST_RECORD))
        block[:] = records.first_block(key)
        write_all(self._fd, block, 0)

    def has_room(self, size: int) -> bool:
        """Whether a record of this size may be written here now."""
        return self._settling is None and self.position + size <= self.size

    def promise(self) -> Callable[[], None]:
        """A record here is not to be forgotten before the result is called."""
        with self._kept:
            self._promised += 1
        return self._keep

    def _keep(self) -> None:
        with self._kept:
            self._promised -= 1
            self._kept.notify_all()

    def write(self, submitter: Submitter, record: memoryview) -> Writing:
        """Begin to write what the buffer of ``submitter`` begins with."""
        again = partial(self._write, record, self.position)
        if self._direct:
            writing = submitter.begin(self._fd, len(record), self.position, again)
        else:
            again()
            writing = Writing(None)
        self.position += len(record)
        return writing

    def _write(self, record: memoryview, at: int) -> None:
        try:
            write_all(self._fd, record, at)
        except OSError:
            if not self._direct:
                raise
            self._direct = not set_direct(self._fd, on=False)  # it only said that it could
            write_all(self._fd, record, at)

    def start_settling(self, secure: Callable[[], None]) -> None:
        """It is full: make its files and what relies on its records durable, in a thread, and then
        use it again."""
        if self._settling is not None:
            return
        self._secure = secure
        self._settling = threading.Thread(target=self._settle, name="small-log", daemon=True)
        self._settling.start()

    def wait_settled(self) -> None:
        """Raises the ``OSError`` of the file system that could not be synced, or what ``secure``
        raised."""
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
        self._sync()
        self._release()

    def _sync(self) -> None:
        """Once it failed it fails for ever: the kernel tells of an error once, and takes the pages
        that it could not write for clean."""
        if self.lost is not None:
            raise self.lost
        try:
            _sync_file_system(self._folder_fd)
        except OSError as error:
            self.lost = error
            raise

    def _release(self) -> None:
        fds, self._folder_fd, self._fd = (self._folder_fd, self._fd), -1, -1
        for fd in fds:
            if fd >= 0:
                os.close(fd)

    def __del__(self) -> None:
        self._release()

    def _settle(self) -> None:
        with self._kept:
            self._kept.wait_for(lambda: not self._promised)
        try:
            self._sync()
            self._secure()
        except Exception as error:  # whatever it is, nothing may be forgotten
            self._error = error
            return
        self.position = records.FIRST_RECORD
        self._error = None
        if self.size < limits.SMALL_LOG_MOST_BYTES:
            with suppress(OSError):  # a full disk: it goes on as small as it is
                self._grow(2 * self.size)

    def _grow(self, size: int) -> None:
        zeros = memoryview(mmap.mmap(-1, limits.SMALL_LOG_BYTES))
        while self.size < size:
            write_all(self._fd, zeros, self.size)
            self.size += len(zeros)


# --- a log that somebody left --------------------------------------------------------------------
def owners(folder: str) -> set[str]:
    """Whose logs lie here."""
    with suppress(FileNotFoundError):
        return {
            match[1] for path in Path(folder).iterdir() if (match := _NAME.fullmatch(path.name))
        }
    return set()


def restored_name(owner: str, uuid: str) -> str:
    """Of a file of another log that ``owner`` is about to give back."""
    return f"{owner}.{uuid}.restored"


def remove(folder: str, owner: str) -> None:
    """Forget a log, and what its process left when it gave others back. Its files are durable by
    themselves, or nobody needs them."""
    for path in [*Path(folder).glob(f"{owner}.*")]:
        path.unlink(missing_ok=True)


def _nothing() -> None:
    """Nothing relies on the log but its files."""


_libc = ctypes.CDLL(None, use_errno=True)


def _sync_file_system(fd: int) -> None:
    """syncfs(2): everything that was written where ``fd`` lies. Raises ``OSError``."""
    if _libc.syncfs(fd) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
