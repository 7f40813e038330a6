"""A stored file goes to another store: the same name, the same bytes, another place.

The bytes that are moved are those that lie there, below compression and encryption. The copy is
synced, read again and compared before anybody may rely on it; the source is never touched.

Not here: which files move, what the index says meanwhile (``wherry.moving``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import NamedTuple, Protocol

from wherry.digests import new_digest, type_kind
from wherry.errors import CannotWriteFile, CorruptedFile, MissingFile
from wherry.storage.base import FileReader, FileWriter
from wherry.storage.pieces import pieces

type_told = Callable[[int], None]


class MovingStorage(Protocol):
    """A storage area with two stores. What wraps one passes both methods on; a seal is a part of
    the place, and stays."""

    def place_in(self, store: str, place: str, content_type: int) -> str:
        """The place that a file, now at ``place``, would have in ``store``
        (``places.FILE_SYSTEM``, ``places.OBJECT_STORAGE``); ``place`` itself when it is there."""

    def move(
        self, uuid: str, place: str, target: str, told: type_told, kind: type_kind = new_digest
    ) -> str:
        """Copy the raw bytes of a file from ``place`` to ``target``, of ``place_in``; the
        digest of these bytes, of this ``kind``. A file that is at the target already stays when it
        has the same bytes, and is replaced otherwise. Blocking; memory for a few pieces. ``told``
        hears how many bytes were read, every now and then; what it raises passes through.

        When it raises, something may be left at the target. Raises ``MissingFile``,
        ``CorruptedFile`` (what was read again is not what was written), ``StorageFull``,
        ``CannotWriteFile``, and whatever a store out of reach raises.
        """


class Target(NamedTuple):
    """A file that is to be made; see the methods of ``StorageArea``."""

    create: Callable[[], FileWriter]
    sync: Callable[[], None]
    open: Callable[[], FileReader]
    delete: Callable[[], None]


def copied(
    open_source: Callable[[], FileReader],
    target: Target,
    told: type_told,
    kind: type_kind = new_digest,
) -> str:
    """Make the copy, and compare it; the digest of the bytes. Raises as ``MovingStorage.move``."""
    try:
        size, digest = _written(open_source, target, told, kind)
    except CannotWriteFile:
        there = _looked_at(target, told, kind)
        if there is None:
            raise
        if there == _digest(open_source(), told, kind):
            return there[1]
        target.delete()  # of a move that was interrupted, or a copy that nobody knows
        size, digest = _written(open_source, target, told, kind)
    if _looked_at(target, told, kind) != (size, digest):
        raise CorruptedFile("A file that was moved is not what it was before; it stays where it is")
    return digest


def _written(
    open_source: Callable[[], FileReader], target: Target, told: type_told, kind: type_kind
) -> tuple[int, str]:
    """Size and digest of what was written and synced."""
    digest = kind()
    with closing(open_source()) as source, closing(target.create()) as writer:
        for piece in _pieces(source, told):
            digest.update(piece)
            writer.write(piece)
        writer.sync()
        return source.size, digest.hexdigest()


def _looked_at(target: Target, told: type_told, kind: type_kind) -> tuple[int, str] | None:
    """Size and digest of what is at the target, synced: perhaps somebody else wrote it, and it was
    only in memory. None when nothing is there."""
    try:
        target.sync()
        reader = target.open()
    except MissingFile:
        return None
    reader.forget(0, reader.size)  # what lies on the disk, not what is still in memory
    return _digest(reader, told, kind)


def _digest(reader: FileReader, told: type_told, kind: type_kind) -> tuple[int, str]:
    """Size and digest of a file, which is closed then."""
    digest = kind()
    with closing(reader):
        for piece in _pieces(reader, told):
            digest.update(piece)
        return reader.size, digest.hexdigest()


def _pieces(reader: FileReader, told: type_told) -> Iterator[bytes]:
    left = reader.size
    for piece in pieces(reader, 0, reader.size):
        left -= len(piece)
        told(len(piece))
        yield piece
    if left:
        raise CorruptedFile("A stored file is shorter than its store says")
