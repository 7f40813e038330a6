"""The port between Wherry and the place where files lie. Its comments are the contract.

All methods are blocking and may be called from any thread. Where files are far away, all of them
raise ``StorageUnavailable`` too: then nothing is known of the file. ``uuid`` is always the name of
an attachment: 36 characters, lower-case hex and dashes; anything else is a ``ParameterOutOfRange``
(so no name can leave the storage area). ``place`` is what the storage area said of the file when it
was written: where it lies, and in which form. The index keeps it, and nobody else reads it.

Not here: what a file means, whether anybody may see it (``index``), when to sync (``ingest``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Final, NamedTuple, Protocol

from wherry.model import DICOM_CONTENT

type_buffer = bytes | bytearray | memoryview
type_read = Callable[[memoryview], int]
"""Fills the beginning of a buffer; the number of bytes, 0 at the end."""

ANYWHERE: Final = "*"
"""The place of a file of which nothing is recorded: all places are looked at, those of new files
first."""


class SmallFile(NamedTuple):
    """A whole file of at most ``limits.SMALL_FILE_BYTES``."""

    uuid: str
    data: type_buffer
    digest: str
    """Of these bytes (``digests``)."""
    note: bytes = b""
    """What a log, if there is one, keeps beside the file for whoever reads it."""


class Logged(NamedTuple):
    """A file that was found in a log."""

    record: int
    """The number of its record; 0 in a log of an earlier version."""
    file: SmallFile


class Put(NamedTuple):
    """Small files that are there, and about to survive a power cut."""

    places: list[str]
    record: int
    """The number of their record in the log; 0 when they do not need one."""
    wait: Callable[[], None]
    """Returns when they survive a power cut; may be called again. Raises as ``put`` does: then none
    of them is there."""
    done: Callable[[], None]
    """To be called once when there were notes and what they promise is done, or given up: the log
    keeps the record until then."""


def in_place(places: list[str]) -> Put:
    """Files that survive a power cut already."""
    return Put(places, 0, _nothing, _nothing)


def _nothing() -> None:
    """Nothing is to be waited for."""


class FileWriter(Protocol):
    """An open file of the storage area. Not thread-safe by itself, except ``write_at``."""

    @property
    def uuid(self) -> str:
        """Name of the file."""

    @property
    def place(self) -> str:
        """Where the file is, and in which form; known from the beginning."""

    def write(self, data: type_buffer) -> None:
        """Append ``data``; it may wait in a buffer until ``sync`` or ``map``. Not together with
        ``write_at`` on one file. Raises ``StorageFull``, ``CannotWriteFile``."""

    def room(self) -> memoryview:
        """Where the next bytes of ``write`` may be put instead, at least one: saves a copy. Void
        after any other call."""

    def filled(self, size: int) -> None:
        """So many bytes were put into ``room()``. Raises as ``write`` does."""

    def adopt(self, buffer: memoryview, size: int) -> None:
        """The first ``size`` bytes of a buffer of ``StorageArea.take_buffer`` are the whole file;
        the buffer belongs to the writer from now on."""

    def flush(self) -> None:
        """Let go of the buffer: what was written may be read elsewhere, where ``shares_files``.
        Raises as ``write`` does."""

    def write_at(self, data: type_buffer, offset: int) -> None:
        """Write at ``offset`` bytes; ranges that do not overlap may be written in parallel."""

    def map(self) -> AbstractContextManager[memoryview]:
        """The bytes written so far as one read-only buffer, without reading them into memory."""

    def read_at(self, offset: int, size: int) -> bytes:
        """Some of the bytes written so far; fewer only at their end."""

    def sync(self) -> None:
        """Make the bytes written so far, and the name, survive a power cut. Where ``shares_files``
        is False, nothing is written after it."""

    def close(self) -> None:
        """Release the file. What was given to ``write`` and not synced may be lost. Safe to call
        twice."""


class FileReader(Protocol):
    """An open file of the storage area, for reading; a deletion meanwhile does not disturb it. Of
    an object that holds for the first ``limits.OBJECT_HEAD_BYTES`` and what was read ahead; behind
    them, ``read_at`` and ``map`` may raise ``MissingFile``."""

    @property
    def size(self) -> int:
        """Length in bytes."""

    @property
    def place(self) -> str:
        """Where the file is, and in which form."""

    def read_at(self, offset: int, size: int) -> bytes:
        """At most ``size`` bytes from ``offset``; fewer only at the end of the file."""

    def map(self) -> AbstractContextManager[memoryview]:
        """The whole file as one read-only buffer; only what is looked at is read."""

    def forget(self, offset: int, size: int) -> None:
        """This range was read once and will hardly be read again: no cache need keep it."""

    def fileno(self) -> int | None:
        """A descriptor for ``sendfile``, or None when the bytes are not in a local file."""

    def close(self) -> None:
        """Release the file. Safe to call twice."""


class StorageArea(Protocol):
    """A flat set of files, each named by a UUID."""

    @property
    def shares_files(self) -> bool:
        """Whether several writers may fill one file: ``reopen``, and ``write_at`` before other
        bytes are there."""

    def create(self, uuid: str, content_type: int = DICOM_CONTENT) -> FileWriter:
        """Open a new, empty file. ``content_type`` of the attachment that it will be. Raises
        ``CannotWriteFile`` when the name is taken, here or by ``FileWriter.sync``."""

    def put(self, files: Sequence[SmallFile]) -> Put:
        """Create small DICOM files, together at most ``limits.SMALL_RECORD_BYTES`` with their
        notes and ``limits.SMALL_ENTRY_BYTES`` for each, and begin to make them survive a power cut,
        if need be by way of a log. When it raises (``StorageFull``, ``CannotWriteFile``, what
        ``before_forgetting`` tells of), none of them is there."""

    def before_forgetting(self, secure: Callable[[], None]) -> None:
        """``secure`` is called before records of the log of this process are forgotten, from any
        thread: it makes durable what relies on them. What it raises, a later ``put`` raises."""

    def logs(self) -> Iterable[str]:
        """Processes that left a log of small files, and those that are writing one."""

    def logged(self, owner: str) -> Iterator[Logged]:
        """The files in the log of a process that has ended, in the order of their records. They may
        be there, damaged or gone."""

    def restore(self, file: SmallFile) -> bool:
        """Make a file of a log whole again, byte for byte as it was put; False when it is whole
        already. Raises as ``put``."""

    def drop_log(self, owner: str) -> None:
        """Everything in this log that is needed lies in synced files."""

    def stop_logging(self) -> None:
        """Others may have taken the log of this process away: ``put`` works without from now. Does
        not wait for what happens to the log."""

    def reopen(self, uuid: str, offset: int = 0) -> FileWriter:
        """Only where ``shares_files``. Open a file for ``write_at``, or for ``write`` from
        ``offset`` on, creating it when it is not there. Ranges that do not overlap may be written
        in parallel, each by a writer of its own."""

    def take_buffer(self) -> memoryview:
        """A buffer of ``limits.DIRECT_BUFFER_BYTES``, for ``FileWriter.adopt`` or to be given
        back."""

    def give_back(self, buffer: memoryview) -> None:
        """It is not needed any more."""

    def sync(self, uuids: Iterable[str]) -> None:
        """Make these files, and their names, survive a power cut. Raises ``MissingFile``."""

    def open(self, uuid: str, place: str = ANYWHERE) -> FileReader:
        """Open for reading. Raises ``MissingFile``."""

    def delete(self, uuid: str, place: str = ANYWHERE) -> None:
        """Remove the file; no error when it is not there. Survives a power cut only after
        ``sync_removals``."""

    def sync_removals(self, names: Iterable[str]) -> None:
        """Make removals survive a power cut: of files with these UUIDs or prefixes of them."""

    def size(self, uuid: str, place: str = ANYWHERE) -> int:
        """Length in bytes. Raises ``MissingFile``."""

    def list(self, prefix: str) -> Iterator[str]:
        """Names that begin with ``prefix`` (at least 4 hex digits), in no particular order; in
        time proportional to the files that share the first four digits."""

    def close(self) -> None:
        """The end of this process: nothing is left to a log."""

    def free_bytes(self) -> int:
        """Space left for new files; the answer may be a moment old."""
