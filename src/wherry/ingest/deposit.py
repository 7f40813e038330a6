"""One new file on its way into the storage area: its bytes, sizes and digests, packed or plain.

Its name comes from a journaled block, so that nothing of it outlives a crash unknown. Nobody sees
it before its attachment is committed.

Not here: what the bytes mean (``staging``), who owns the file then (``committing``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from wherry import limits
from wherry.digests import digest_of, new_digest, split, type_kind
from wherry.errors import StorageFull, StorageUnavailable, TooLarge
from wherry.index.deletions import type_file
from wherry.model import DICOM_CONTENT, Attachment, Compression
from wherry.storage.base import FileWriter, StorageArea, type_buffer
from wherry.storage.content import new_packer, unpacked
from wherry.storage.packed import PREFIX_BYTES, Packer, prefix


class Names(Protocol):
    """Where names come from; see ``names.NameBlocks``."""

    def take(self) -> str: ...
    def settle(self, uuid: str) -> None: ...
    def leave(self, files: Sequence[type_file]) -> None: ...


class Deposit:
    """One new file. Blocking; one thread at a time. ``finish`` or ``abort`` must be called; after
    an exception of any other method, ``abort``."""

    def __init__(
        self,
        storage: StorageArea,
        names: Names,
        content_type: int = DICOM_CONTENT,
        *,
        compression: Compression,
        max_bytes: int,
        digest: str = "",
        kind: type_kind = new_digest,
    ) -> None:
        """``digest``: of the plain bytes that will come, if somebody has taken it already.
        ``kind``: of those that are taken."""
        self._storage = storage
        self.content_type = content_type
        """Number of the attachment that it will be."""
        self._names = names
        self._max_bytes = max_bytes
        self._compression = compression
        self._packing = _Packing(compression, kind) if compression is not Compression.NONE else None
        self._writer: FileWriter | None = None
        self._known = digest
        self._digest = kind()
        self._ended = False
        self.size = 0
        """Plain bytes so far."""

    @property
    def digest(self) -> str:
        """Of the plain bytes so far."""
        return self._known or self._digest.hexdigest()

    def write(self, data: type_buffer) -> None:
        """Take the next bytes. Raises ``TooLarge``, ``StorageFull``, ``CannotWriteFile``."""
        self.size += len(data)
        if self.size > self._max_bytes:
            raise TooLarge(f"A file may have at most {self._max_bytes} bytes")
        if not self._known:
            self._digest.update(data)
        if self._packing is None:
            self._file().write(data)
        else:
            self._packing.write(data)
            if self._packing.waiting_bytes > limits.PACKED_IN_MEMORY_BYTES:
                self._packing.pour(self._file())

    @contextmanager
    def content(self) -> Iterator[memoryview]:
        """The plain bytes as one buffer; nothing can be written after it."""
        self._end()
        with self._file().map() as stored:
            if self._packing is None:
                yield stored
            else:
                with unpacked(
                    _InMemory(stored), self._compression, self.size, self._file().uuid
                ) as plain:
                    yield plain

    def finish(self, *, sync: bool = True) -> Attachment:
        """Sync the file and say what the index wants to know. Raises ``CannotWriteFile``. Where
        files are shared, the caller may ``sync`` it later, together with others."""
        self._end()
        writer = self._file()
        if sync:
            writer.sync()
        else:
            writer.flush()
        packing = self._packing
        md5, blake3 = split(self.digest)
        stored_md5, stored_blake3 = (
            (md5, blake3) if packing is None else split(packing.digest(writer))
        )
        attachment = Attachment(
            uuid=writer.uuid,
            content_type=self.content_type,
            uncompressed_size=self.size,
            uncompressed_md5=md5,
            compressed_size=self.size if packing is None else packing.size,
            compressed_md5=stored_md5,
            compression=self._compression,
            place=writer.place,
            uncompressed_blake3=blake3,
            compressed_blake3=stored_blake3,
        )
        writer.close()
        self._writer = None
        return attachment

    def abort(self) -> None:
        """Remove the file. Safe to call at any time before ``finish`` is done, also twice."""
        writer, self._writer = self._writer, None
        if writer is None:
            return
        writer.close()
        try:
            self._storage.delete(writer.uuid, writer.place)
        except StorageUnavailable:
            self._names.leave([(writer.uuid, writer.place)])
        else:
            self._names.settle(writer.uuid)

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            if self._packing is not None:
                self._packing.end(self._file(), self.size)

    def _file(self) -> FileWriter:
        """The file, made when it is first needed."""
        if self._writer is None:
            if self._storage.free_bytes() < limits.FREE_DISK_BYTES:
                raise StorageFull("No space left in the storage area")
            uuid = self._names.take()
            try:
                self._writer = self._storage.create(uuid, self.content_type)
            except BaseException:
                self._names.settle(uuid)
                raise
        return self._writer


class _Packing:
    """The packed side of a file: the size that stands first is known last."""

    def __init__(self, compression: Compression, kind: type_kind) -> None:
        self._packer: Packer = new_packer(compression)
        self._kind = kind
        self._waiting: list[bytes] = []
        self._digest: str | None = None
        self.waiting_bytes = 0
        self.size = PREFIX_BYTES
        """Bytes of the stored file, once it is ended."""

    def write(self, data: type_buffer) -> None:
        """Pack the next bytes."""
        self._keep(self._packer.compress(data))

    def pour(self, writer: FileWriter) -> None:
        """Write what waits; the place of the prefix stays free."""
        for piece in self._waiting:
            writer.write_at(piece, self.size)
            self.size += len(piece)
        self._waiting.clear()
        self.waiting_bytes = 0

    def end(self, writer: FileWriter, plain_size: int) -> None:
        """Write the rest and the prefix: at once if nothing was poured, and nothing at all for an
        empty file."""
        if plain_size == 0:
            self.size = 0
            self._digest = digest_of(b"", self._kind)
            return
        self._keep(self._packer.flush())
        if self.size > PREFIX_BYTES:
            self.pour(writer)
            writer.write_at(prefix(plain_size), 0)
            return
        stored = b"".join((prefix(plain_size), *self._waiting))
        writer.write(stored)
        self.size = len(stored)
        self._digest = digest_of(stored, self._kind)

    def digest(self, writer: FileWriter) -> str:
        """Of the stored file; one that was poured is read again for it."""
        if self._digest is None:
            with writer.map() as view:
                self._digest = digest_of(view, self._kind)
        return self._digest

    def _keep(self, packed: bytes) -> None:
        if packed:
            self._waiting.append(packed)
            self.waiting_bytes += len(packed)


class _InMemory:
    def __init__(self, view: memoryview) -> None:
        self._view = view

    def read_at(self, offset: int, size: int) -> bytes:
        return bytes(self._view[offset : offset + size])
