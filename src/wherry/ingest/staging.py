"""One instance on its way in: bytes go to their final file, digests are taken as they pass.

A small instance that arrives in one piece is parsed before its file is made, so that garbage
never touches the disk. A large one is parsed through a map of its file: no instance is ever held
in memory. Nothing here is visible to anybody; that is ``committer``'s doing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Protocol

from wherry import clock, limits
from wherry.dicom.scan import scan
from wherry.errors import StorageFull, TooLarge
from wherry.model import DICOM_CONTENT, Attachment, Origin, StagedInstance, Summary
from wherry.storage.base import FileWriter, StorageArea, type_buffer

_MD5_PIECE_BYTES = 4 * limits.MIB


class _Digest(Protocol):
    def update(self, data: type_buffer, /) -> None: ...
    def hexdigest(self) -> str: ...


class Names(Protocol):
    """Where names come from; see ``names.NameBlocks``."""

    def take(self) -> str: ...
    def settle(self, uuid: str) -> None: ...


class Staging:
    """One instance on its way in. Blocking; one thread at a time.

    ``finish`` or ``abort`` must be called; after an exception of ``write`` or ``finish`` the
    bytes are gone already.
    """

    def __init__(self, storage: StorageArea, names: Names, origin: Origin, max_bytes: int) -> None:
        self._storage = storage
        self._names = names
        self._origin = origin
        self._max_bytes = max_bytes
        self._first: type_buffer = b""
        self._digest: _Digest | None = None
        self._writer: FileWriter | None = None
        self._size = 0

    def write(self, data: type_buffer) -> None:
        """Take the next bytes. Raises ``TooLarge``, ``StorageFull``, ``CannotWriteFile``."""
        if not data:
            return
        if self._size == 0:
            self._first = data
            self._size = len(data)
            return
        with self._cleaning_up():
            if self._writer is None:
                self._start_file()
            self._append(data)

    def finish(self) -> StagedInstance:
        """Sync the file and say what it holds. Raises ``BadFileFormat``, ``InexistentTag``."""
        with self._cleaning_up():
            if self._writer is None:
                self._check_size(self._size)
                summary = scan(_bytes(self._first))
                self._start_file()
            else:
                with self._writer.map() as view:
                    summary = scan(view)
            assert self._writer is not None
            assert self._digest is not None
            self._writer.sync()
            self._writer.close()
        staged = staged_instance(
            self._writer.uuid, self._size, self._digest.hexdigest(), summary, self._origin
        )
        self._first, self._writer = b"", None
        return staged

    def abort(self) -> None:
        """Forget the bytes. Safe to call at any time, also twice."""
        writer, self._writer = self._writer, None
        self._first, self._size = b"", 0
        if writer is not None:
            writer.close()
            self._storage.delete(writer.uuid)
            self._names.settle(writer.uuid)

    def _start_file(self) -> None:
        if self._storage.free_bytes() < limits.FREE_DISK_BYTES:
            raise StorageFull("No space left in the storage area")
        uuid = self._names.take()
        try:
            self._writer = self._storage.create(uuid)
        except BaseException:
            self._names.settle(uuid)
            raise
        self._digest = hashlib.md5(usedforsecurity=False)
        first, self._size = self._first, 0
        self._append(first)
        self._first = b""

    def _append(self, data: type_buffer) -> None:
        assert self._writer is not None
        assert self._digest is not None
        self._check_size(self._size + len(data))
        self._writer.write(data)
        self._digest.update(data)
        self._size += len(data)

    def _check_size(self, size: int) -> None:
        if size > self._max_bytes:
            raise TooLarge(f"An instance may have at most {self._max_bytes} bytes")

    def _cleaning_up(self) -> _OnError:
        return _OnError(self.abort)


class _OnError:
    """Call ``clean`` when the block raises."""

    def __init__(self, clean: Callable[[], None]) -> None:
        self._clean = clean

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._clean()


def _bytes(data: type_buffer) -> bytes | memoryview:
    return memoryview(data) if isinstance(data, bytearray) else data


def staged_instance(
    uuid: str, size: int, md5: str, summary: Summary, origin: Origin
) -> StagedInstance:
    """A verified, uncompressed file as the index wants to know it."""
    attachment = Attachment(
        uuid=uuid,
        content_type=DICOM_CONTENT,
        uncompressed_size=size,
        uncompressed_md5=md5,
        compressed_size=size,
        compressed_md5=md5,
    )
    return StagedInstance(summary, attachment, origin, clock.orthanc_date(clock.now()))


def examine(writer: FileWriter, origin: Origin, md5: str | None = None) -> StagedInstance:
    """Read back a fully written file: its summary, its size and, unless given, its MD5.

    Raises ``BadFileFormat`` and ``InexistentTag``; the file stays.
    """
    with writer.map() as view:
        summary = scan(view)
        size = len(view)
        if md5 is None:
            digest = hashlib.md5(usedforsecurity=False)
            for start in range(0, size, _MD5_PIECE_BYTES):
                with view[start : start + _MD5_PIECE_BYTES] as piece:
                    digest.update(piece)
            md5 = digest.hexdigest()
    return staged_instance(writer.uuid, size, md5, summary, origin)
