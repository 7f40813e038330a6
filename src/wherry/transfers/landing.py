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
from wherry.transfers.packing import packed

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

    unsynced: set[str] = field(default_factory=set)
    """Files that hold its bytes and are still to be synced, all at once."""
    verified: list[tuple[InstanceRow, StagedInstance]] = field(default_factory=list)
    """Instances that it brought whole."""


class Landing:
    """Takes the bytes of one bucket in order. Blocking; one thread at a time.

    With ``keep=False`` nothing is written: the bucket was acknowledged before, and its bytes are
    only compared with what was promised.
    """

    def __init__(
        self,
        storage: StorageArea,
        block: str,
        pieces: Sequence[Piece],
        *,
        keep: bool = True,
        compress: bool = False,
    ) -> None:
        self.size = sum(piece.size for piece in pieces)
        self._ground = _Ground(storage, block, compress=compress)
        self._keep = keep
        self._pieces: Iterator[Piece] = iter(pieces)
        self._lander: _Lander | None = None
        self._taken = self._left = 0

    @property
    def landed(self) -> Landed:
        """What the bucket has brought so far."""
        return self._ground.landed

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
            lander = self._lander if self._left else self._next()
            assert lander is not None
            part = view[start : start + self._left]
            lander.take(part)
            start += len(part)
            self._left -= len(part)
            if not self._left:
                lander.end()

    def wanted(self) -> int:
        """Bytes up to the end of the piece that comes next: in one go, they need no gathering.
        1 when the bucket is complete, so that one too many is noticed."""
        if not self._left:
            self._next()
        return self._left or 1

    def finish(self) -> Landed:
        """All bytes are in. Raises ``NetworkProtocol`` when some are missing."""
        if self._taken != self.size:
            raise NetworkProtocol(f"The bucket has {self._taken} bytes instead of {self.size}")
        self._next()
        return self.landed

    def release(self) -> list[str]:
        """The files that only this bucket made; from now on they are the caller's."""
        return self._ground.release()

    def abort(self) -> None:
        """Close what is open and remove the files that only this bucket made. Repeatable."""
        if self._lander is not None:
            self._lander.close()
        self._ground.remove()

    def _next(self) -> _Lander | None:
        """Go to the next piece that has bytes; those without end as they begin."""
        for piece in self._pieces:
            self._lander = self._lander_of(piece)
            self._left = piece.size
            if self._left:
                return self._lander
            self._lander.end()
        return None

    def _lander_of(self, piece: Piece) -> _Lander:
        if not self._keep:
            return _Comparison(piece)
        if not piece.whole:
            return _Part(self._ground, piece)
        small = piece.size <= limits.LANDING_WHOLE_BYTES
        return (_Small if small else _Large)(self._ground, piece)


class _Ground:
    """Where the landers of one bucket make their files."""

    def __init__(self, storage: StorageArea, block: str, *, compress: bool) -> None:
        self.storage = storage
        self.landed = Landed()
        self._block = block
        self._compress = compress
        self._own: list[str] = []

    def create(self) -> FileWriter:
        """A new file."""
        file = self.storage.create(name_in(self._block))
        self._own.append(file.uuid)
        return file

    def verified(self, instance: InstanceRow, summary: Summary, uuid: str) -> None:
        """This file is this instance."""
        staged = staged_instance(uuid, instance.size, instance.md5, summary, ORIGIN)
        if self._compress:
            staged = packed(self.storage, staged)
            self._own.append(staged.attachment.uuid)
            self.landed.unsynced.discard(uuid)
            self.storage.delete(uuid)
            self._own.remove(uuid)
        self.landed.verified.append((instance, staged))

    def release(self) -> list[str]:
        """The files that were made; forgotten here."""
        own, self._own = self._own, []
        return own

    def remove(self) -> None:
        """Remove the files that were made."""
        for uuid in self.release():
            self.storage.delete(uuid)


class _Lander(Protocol):
    """Takes the bytes of one piece."""

    def take(self, data: memoryview) -> None:
        """The next bytes; never more than the piece has."""

    def end(self) -> None:
        """All of them were there."""

    def close(self) -> None:
        """Release what is open. Repeatable, at any time."""


class _Comparison:
    """A piece that is here already: only its digest is taken, if it is a whole instance."""

    def __init__(self, piece: Piece) -> None:
        self._piece = piece
        self._digest = hashlib.md5(usedforsecurity=False)

    def take(self, data: memoryview) -> None:
        if self._piece.whole:
            self._digest.update(data)

    def end(self) -> None:
        if self._piece.whole:
            _check_md5(self._piece.instance, self._digest.hexdigest())

    def close(self) -> None:
        pass


class _Small:
    """A whole instance that fits in a buffer: nothing of it touches the disk before it is right.

    Mostly it arrives in one go, and the buffer is the one it came in.
    """

    def __init__(self, ground: _Ground, piece: Piece) -> None:
        self._ground = ground
        self._instance = piece.instance
        self._data: memoryview | bytearray = bytearray()

    def take(self, data: memoryview) -> None:
        if len(data) == self._instance.size:
            self._data = data
        else:
            assert isinstance(self._data, bytearray)
            self._data += data

    def end(self) -> None:
        data, self._data = memoryview(self._data), bytearray()
        _check_md5(self._instance, hashlib.md5(data, usedforsecurity=False).hexdigest())
        summary = _checked_summary(self._instance, data)
        file = self._ground.create()
        try:
            if len(data) <= limits.LANDING_SYNC_LATER_BYTES:
                file.write_at(data, 0)
                self._ground.landed.unsynced.add(file.uuid)
            else:
                file.write(data)
                file.sync()
        finally:
            file.close()
        self._ground.verified(self._instance, summary, file.uuid)

    def close(self) -> None:
        self._data = bytearray()


class _Large:
    """A whole instance that goes to its file as it comes."""

    def __init__(self, ground: _Ground, piece: Piece) -> None:
        self._ground = ground
        self._instance = piece.instance
        self._digest = hashlib.md5(usedforsecurity=False)
        self._file = ground.create()

    def take(self, data: memoryview) -> None:
        self._file.write(data)
        self._digest.update(data)

    def end(self) -> None:
        try:
            _check_md5(self._instance, self._digest.hexdigest())
            with self._file.map() as view:
                summary = _checked_summary(self._instance, view)
            self._file.sync()
        finally:
            self.close()
        self._ground.verified(self._instance, summary, self._file.uuid)

    def close(self) -> None:
        self._file.close()


class _Part:
    """A part of an instance: goes to its place in the file that all its parts share."""

    def __init__(self, ground: _Ground, piece: Piece) -> None:
        self._file = ground.storage.reopen(piece.instance.uuid)
        self._offset = piece.offset
        ground.landed.unsynced.add(piece.instance.uuid)

    def take(self, data: memoryview) -> None:
        self._file.write_at(data, self._offset)
        self._offset += len(data)

    def end(self) -> None:
        self._file.close()

    def close(self) -> None:
        self._file.close()


def verify(
    storage: StorageArea, instance: InstanceRow, *, compress: bool = False
) -> StagedInstance:
    """Read back an instance whose parts are all there. Reads the whole file, from the cache of
    the kernel when it came a moment ago. Raises ``CorruptedFile``, ``BadFileFormat``.

    With ``compress`` the answer is in another file; that of the parts stays, because a crash may
    still make somebody verify it again.
    """
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
    staged = staged_instance(instance.uuid, instance.size, md5, summary, ORIGIN)
    return packed(storage, staged) if compress else staged


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
