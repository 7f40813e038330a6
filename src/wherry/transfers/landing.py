"""Where the bytes of one bucket land: straight in the files that will be served later.

A bucket is a run of pieces of instances. A *whole* instance gets a fresh file for each attempt to
bring it, has its MD5 taken as the bytes pass, and is verified at once: size, MD5, and that the
identity in its header is the declared one. A *part* goes to its place in the one file of its
instance, which is verified when all parts are there (``verify``). No byte is copied again.

Not here: who may send what, what is acknowledged (``reception``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from wherry import limits
from wherry.dicom.scan import scan
from wherry.errors import (
    BadFileFormat,
    CorruptedFile,
    InexistentTag,
    MissingFile,
    NetworkProtocol,
    TooLarge,
)
from wherry.index.transfers import InstanceRow
from wherry.ingest.names import name_in
from wherry.ingest.staging import staged_instance
from wherry.model import Origin, StagedInstance, Summary
from wherry.storage.base import FileWriter, StorageArea, type_buffer

_MD5_PIECE_BYTES = 256 * limits.KIB

ORIGIN = Origin(kind="Plugins")
"""What Orthanc notes of instances that its transfers plugin brings."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A byte range of an instance."""

    instance: InstanceRow
    offset: int
    size: int

    @property
    def whole(self) -> bool:
        """Whether it is the instance itself."""
        return not self.instance.buckets


@dataclass(slots=True)
class Landed:
    """What a bucket brought."""

    uuids: set[str] = field(default_factory=set)
    """Files that hold its bytes."""
    verified: list[tuple[InstanceRow, StagedInstance]] = field(default_factory=list)
    """Instances that it brought whole."""


class _Digest(Protocol):
    def update(self, data: type_buffer, /) -> None: ...
    def hexdigest(self) -> str: ...


_NOTHING = InstanceRow(-1, "", 0, "", "", "", staged=False)


class Landing:
    """Takes the bytes of one bucket in order. Blocking; one thread at a time.

    With ``keep=False`` nothing is written: the bucket was acknowledged before, and its bytes are
    only compared with what was promised.
    """

    def __init__(
        self, storage: StorageArea, block: str, pieces: Sequence[Piece], *, keep: bool = True
    ) -> None:
        self.size = sum(piece.size for piece in pieces)
        self.landed = Landed()
        self._storage = storage
        self._block = block
        self._keep = keep
        self._pieces: Iterator[Piece] = iter(pieces)
        self._piece = Piece(_NOTHING, 0, 0)
        self._file: FileWriter | None = None
        self._digest: _Digest | None = None
        self._own: list[str] = []
        self._taken = self._left = self._offset = 0

    def write(self, data: type_buffer) -> None:
        """Take the next bytes; the buffer may be reused afterwards.

        Raises ``NetworkProtocol`` when there are too many, ``CorruptedFile`` or ``BadFileFormat``
        when an instance is not what was declared, ``StorageFull``, ``CannotWriteFile``.
        """
        self._taken += len(data)
        if self._taken > self.size:
            raise NetworkProtocol(
                f"The bucket has {self._taken} bytes or more instead of {self.size}"
            )
        view = memoryview(data)
        start = 0
        while start < len(view):
            if not self._left:
                self._next()
            part = view[start : start + self._left]
            start += len(part)
            if self._piece.whole and len(part) == self._piece.size:
                self._take_whole(part)
            else:
                self._take(part)

    def finish(self) -> Landed:
        """All bytes are in. Raises ``NetworkProtocol`` when some are missing."""
        if self._taken != self.size:
            raise NetworkProtocol(f"The bucket has {self._taken} bytes instead of {self.size}")
        self._next()
        return self.landed

    def release(self) -> list[str]:
        """The files that only this bucket made; from now on they are the caller's."""
        own, self._own = self._own, []
        return own

    def abort(self) -> None:
        """Close what is open and remove the files that only this bucket made. Repeatable."""
        file, self._file = self._file, None
        if file is not None:
            file.close()
        for uuid in self.release():
            self._storage.delete(uuid)

    def _next(self) -> None:
        """Go to the next piece that has bytes; of those without, nothing is to be taken."""
        for piece in self._pieces:
            self._piece, self._left, self._offset = piece, piece.size, piece.offset
            if self._left:
                return
            if piece.whole:
                self._take_whole(memoryview(b""))

    def _take_whole(self, data: memoryview) -> None:
        """An instance that came in one go: nothing of it touches the disk before it is right."""
        instance = self._piece.instance
        md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
        _check_md5(instance, md5)
        if self._keep:
            summary = _checked_summary(instance, data)
            file = self._create()
            try:
                file.write_at(data, 0)
            finally:
                file.close()
            self._verified(instance, summary, file.uuid)
        self._left = 0

    def _take(self, data: memoryview) -> None:
        """Some bytes of an instance."""
        piece = self._piece
        if self._left == piece.size:
            self._digest = hashlib.md5(usedforsecurity=False) if piece.whole else None
            self._file = self._open(piece) if self._keep else None
        if self._file is not None:
            self._file.write_at(data, self._offset)
        if self._digest is not None:
            self._digest.update(data)
        self._offset += len(data)
        self._left -= len(data)
        if not self._left:
            self._end_piece()

    def _end_piece(self) -> None:
        instance, file = self._piece.instance, self._file
        if self._digest is not None:
            _check_md5(instance, self._digest.hexdigest())
            if file is not None:
                with file.map() as view:
                    summary = _checked_summary(instance, view)
                self._verified(instance, summary, file.uuid)
        if file is not None:
            file.close()
            self._file = None

    def _open(self, piece: Piece) -> FileWriter:
        if piece.whole:
            return self._create()
        self.landed.uuids.add(piece.instance.uuid)
        return self._storage.reopen(piece.instance.uuid)

    def _create(self) -> FileWriter:
        file = self._storage.create(name_in(self._block))
        self._own.append(file.uuid)
        self.landed.uuids.add(file.uuid)
        return file

    def _verified(self, instance: InstanceRow, summary: Summary, uuid: str) -> None:
        staged = staged_instance(uuid, instance.size, instance.md5, summary, ORIGIN)
        self.landed.verified.append((instance, staged))


def verify(storage: StorageArea, instance: InstanceRow) -> StagedInstance:
    """Read back an instance whose parts are all there. Reads the whole file, from the cache of
    the kernel when it came a moment ago. Raises ``CorruptedFile``, ``BadFileFormat``."""
    try:
        if storage.size(instance.uuid) != instance.size:
            raise CorruptedFile(f"Instance {instance.orthanc_id}: some of its bytes are missing")
    except MissingFile:
        raise CorruptedFile(f"Instance {instance.orthanc_id}: no byte of it arrived") from None
    md5 = _md5(storage, instance.uuid)
    _check_md5(instance, md5)
    reader = storage.open(instance.uuid)
    try:
        with reader.map() as view:
            summary = _checked_summary(instance, view)
    finally:
        reader.close()
    return staged_instance(instance.uuid, instance.size, md5, summary, ORIGIN)


def _md5(storage: StorageArea, uuid: str) -> str:
    """Read, not mapped: what is mapped counts as memory of this process."""
    digest = hashlib.md5(usedforsecurity=False)
    reader = storage.open(uuid)
    try:
        for offset in range(0, reader.size, _MD5_PIECE_BYTES):
            digest.update(reader.read_at(offset, _MD5_PIECE_BYTES))
    finally:
        reader.close()
    return digest.hexdigest()


def _checked_summary(instance: InstanceRow, data: memoryview) -> Summary:
    """What the header says. Raises ``BadFileFormat``, or ``CorruptedFile`` when it is another
    instance."""
    try:
        summary = scan(data)
    except (BadFileFormat, InexistentTag, TooLarge) as error:
        reason = error.details or error.text
        raise BadFileFormat(f"Instance {instance.orthanc_id}: {reason}") from None
    if summary.identifiers.instance != instance.orthanc_id:
        raise CorruptedFile(
            f"Instance {instance.orthanc_id}: the file is another instance, "
            f"{summary.identifiers.instance}"
        )
    return summary


def _check_md5(instance: InstanceRow, md5: str) -> None:
    if md5 != instance.md5:
        raise CorruptedFile(f"Instance {instance.orthanc_id}: its MD5 is not the declared one")
