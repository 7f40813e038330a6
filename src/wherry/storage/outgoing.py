"""Bytes on their way out: ranges of stored files, one after the other, packed or not.

Memory: a few pieces of ``limits.READ_CHUNK_BYTES``, whatever the size of the files.
"""

from __future__ import annotations

import struct
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial

from isal import isal_zlib

from wherry import limits
from wherry.errors import CorruptedFile, MissingFile
from wherry.model import Attachment
from wherry.storage.ahead import Ahead
from wherry.storage.base import FileReader, StorageArea
from wherry.storage.content import open_content
from wherry.storage.pieces import pieces
from wherry.storage.places import is_far

_GZIP_HEAD = bytes.fromhex("1f8b0800000000000003")
_WINDOW = 15
_LEVEL = 1
_SAMPLE_BYTES = 16 * limits.KIB
_WORTH = 0.97
_STORED_BYTES = 65_535
"""The most that a stored block can hold."""
_AHEAD = Ahead(limits.FILES_AHEAD_IN_ALL)
"""Of all streams of this process."""


@dataclass(frozen=True, slots=True)
class FileRange:
    """A range of the plain bytes of an instance, whatever its file is compressed with."""

    orthanc_id: str
    attachment: Attachment
    offset: int
    size: int


@contextmanager
def opened(storage: StorageArea, wanted: FileRange) -> Iterator[FileReader]:
    """The file of a range, which it holds wholly. Raises ``MissingFile``, ``CorruptedFile``."""
    with closing(_open(storage, wanted)) as reader:
        yield reader


def all_opened(
    storage: StorageArea, ranges: Iterable[FileRange]
) -> Generator[FileReader, None, None]:
    """``opened`` for one range after the other: a file is closed when the next one is asked for.
    Those that are far away are opened some time before. Raises as that."""
    ranges = list(ranges)
    if storage.shares_files and not any(is_far(one.attachment.place) for one in ranges):
        for wanted in ranges:
            with opened(storage, wanted) as reader:
                yield reader
        return
    works = (partial(_open, storage, wanted) for wanted in ranges)
    with closing(_AHEAD.in_order(works, lambda reader: reader.close())) as readers:
        for reader in readers:
            with closing(reader):
                yield reader


def _open(storage: StorageArea, wanted: FileRange) -> FileReader:
    try:
        reader = open_content(storage, wanted.attachment)
    except MissingFile:
        raise MissingFile(f"Instance {wanted.orthanc_id}: its file is missing here") from None
    if reader.size < wanted.offset + wanted.size:
        reader.close()
        raise shortened(wanted)
    return reader


def shortened(wanted: FileRange) -> CorruptedFile:
    """The error for a file that is shorter than the index says."""
    return CorruptedFile(f"Instance {wanted.orthanc_id}: its file here has lost bytes")


def read(storage: StorageArea, ranges: Iterable[FileRange]) -> Iterator[bytes]:
    """The bytes of all ranges, in pieces of at most ``limits.READ_CHUNK_BYTES``, at least one for
    each file. Raises ``MissingFile``, ``CorruptedFile``."""
    ranges = list(ranges)
    with closing(all_opened(storage, ranges)) as readers:
        for wanted, reader in zip(ranges, readers, strict=True):
            left = wanted.size
            for piece in pieces(reader, wanted.offset, wanted.offset + wanted.size):
                left -= len(piece)
                yield piece
            if left:
                raise shortened(wanted)


def gathered(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes with small pieces put together, none much above
    ``limits.READ_CHUNK_BYTES``: each is one hop between threads, or one system call."""
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        if waiting and size + len(piece) > limits.READ_CHUNK_BYTES:
            yield _joined(waiting)
            waiting, size = [], 0
        waiting.append(piece)
        size += len(piece)
    if waiting:
        yield _joined(waiting)


def pack(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """One gzip member (RFC 1952) of ``pieces``, without a time and a name; never an empty piece.

    A piece that would not get smaller, such as pixels that are packed already, is stored.
    """
    yield _GZIP_HEAD
    packer = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, -_WINDOW)
    crc = size = 0
    clean = True
    """Whether the packer holds nothing back, and will not refer to what lies before."""
    for piece in pieces:
        crc, size = isal_zlib.crc32(piece, crc), size + len(piece)
        if _packs(piece):
            packed, clean = packer.compress(piece), False
            if packed:
                yield packed
            continue
        if not clean:
            yield packer.flush(isal_zlib.Z_FULL_FLUSH)
            clean = True
        yield from _stored(piece)
    yield packer.flush() + struct.pack("<II", crc, size & 0xFFFFFFFF)


def _packs(piece: bytes) -> bool:
    """By a sample from its middle."""
    if len(piece) < 2 * _SAMPLE_BYTES:
        return True
    start = (len(piece) - _SAMPLE_BYTES) // 2
    sample = piece[start : start + _SAMPLE_BYTES]
    return len(isal_zlib.compress(sample, _LEVEL)) < _WORTH * _SAMPLE_BYTES


def _stored(piece: bytes) -> Iterator[bytes]:
    """Blocks of deflate that hold their bytes as they are (RFC 1951 §3.2.4)."""
    for start in range(0, len(piece), _STORED_BYTES):
        block = piece[start : start + _STORED_BYTES]
        yield struct.pack("<BHH", 0, len(block), len(block) ^ 0xFFFF)
        yield block


def _joined(pieces: list[bytes]) -> bytes:
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
