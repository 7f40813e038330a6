"""Reading ZIP archives that strangers send (APPNOTE.TXT of PKWARE, §4.3).

Why not ``zipfile``: it builds an object for each entry before anybody can count them, knows
compressions that take gigabytes to undo, and has no bound on what comes out. Here the directory is
bounded before it is read, names are not even looked at, and output is counted: against each
entry's own word, and altogether against the size of the archive (``limits.INFLATE_RATIO``).

Not here: where the bytes go.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, cast

from isal import isal_zlib

from wherry import limits
from wherry.errors import BadFileFormat, TooLarge

MAGIC = b"PK\x03\x04"
EMPTY_MAGIC = b"PK\x05\x06"
"""How an archive without entries begins."""

_END = struct.Struct("<4s4H2LH")
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_LONGEST_COMMENT = 0xFFFF
_BIG32 = 0xFFFFFFFF
_ZIP64_FIELD = 1
_ENCRYPTED = 0x1
_STORED, _DEFLATED = 0, 8
_RAW_WINDOW = -15
_BadDeflate = cast(type[Exception], isal_zlib.error)


class Bytes(Protocol):
    """Where an archive lies."""

    @property
    def size(self) -> int:
        """Length in bytes."""

    def read_at(self, offset: int, size: int) -> bytes:
        """At most ``size`` bytes from ``offset``; fewer only at the end."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of an archive. Its name is of no interest."""

    number: int
    """From 1, in the order of the directory."""
    method: int
    crc: int
    packed_bytes: int
    size: int
    """As declared; ``content`` holds it to that."""
    header_offset: int


class Archive:
    """An archive whose directory has been read and found plausible.

    Raises ``BadFileFormat`` and ``TooLarge``, here and in ``content``.
    """

    def __init__(self, source: Bytes) -> None:
        self._source = source
        self.entries = list(_directory(source))
        allowed = max(limits.INFLATE_FREE_BYTES, source.size * limits.INFLATE_RATIO)
        if sum(entry.size for entry in self.entries) > allowed:
            raise TooLarge("The ZIP inflates beyond any plausible ratio")

    def content(self, entry: Entry) -> Iterator[bytes]:
        """The bytes of an entry in pieces of at most ``limits.BODY_CHUNK_BYTES``; its size and
        checksum are verified at the end, so nothing may be believed before."""
        header = self._source.read_at(entry.header_offset, _LOCAL.size)
        if len(header) < _LOCAL.size or not header.startswith(MAGIC):
            raise BadFileFormat(f"Entry {entry.number} of the ZIP is not where it should be")
        *_, name_length, extra_length = _LOCAL.unpack(header)
        start = entry.header_offset + _LOCAL.size + name_length + extra_length
        given, crc = 0, 0
        packed = self._packed(start, entry)
        pieces = packed if entry.method == _STORED else _inflated(packed, entry)
        for piece in pieces:
            given += len(piece)
            if given > entry.size:
                raise BadFileFormat(f"Entry {entry.number} of the ZIP is longer than declared")
            crc = isal_zlib.crc32(piece, crc)
            yield piece
        if given != entry.size or crc != entry.crc:
            raise BadFileFormat(f"Entry {entry.number} of the ZIP is damaged")

    def _packed(self, start: int, entry: Entry) -> Iterator[bytes]:
        for offset in range(0, entry.packed_bytes, limits.BODY_CHUNK_BYTES):
            size = min(limits.BODY_CHUNK_BYTES, entry.packed_bytes - offset)
            piece = self._source.read_at(start + offset, size)
            if len(piece) < size:
                raise BadFileFormat(f"Entry {entry.number} of the ZIP is cut off")
            yield piece


def _inflated(packed: Iterator[bytes], entry: Entry) -> Iterator[bytes]:
    stream = isal_zlib.decompressobj(wbits=_RAW_WINDOW)
    for piece in packed:
        rest, more = piece, True
        while more and not stream.eof:
            try:
                output = stream.decompress(rest, limits.BODY_CHUNK_BYTES)
            except _BadDeflate:
                raise BadFileFormat(f"Entry {entry.number} of the ZIP is damaged") from None
            if output:
                yield output
            rest = stream.unconsumed_tail
            more = bool(rest) or len(output) == limits.BODY_CHUNK_BYTES


def _directory(source: Bytes) -> Iterator[Entry]:
    count, offset, size, shift = _place_of_directory(source)
    if count > limits.ZIP_ENTRIES:
        raise TooLarge(f"The ZIP has more than the {limits.ZIP_ENTRIES} entries allowed")
    if size > limits.ZIP_DIRECTORY_BYTES:
        raise TooLarge("The directory of the ZIP is too large")
    directory = source.read_at(offset, size)
    position = 0
    for number in range(1, count + 1):
        if position + _CENTRAL.size > len(directory):
            raise BadFileFormat("The directory of the ZIP is cut off")
        fields = _CENTRAL.unpack_from(directory, position)
        magic, _, _, flags, method, _, _, crc, packed, unpacked, *lengths, _, _, _, header = fields
        if magic != b"PK\x01\x02":
            raise BadFileFormat("The directory of the ZIP is damaged")
        if flags & _ENCRYPTED:
            raise BadFileFormat(f"Entry {number} of the ZIP is encrypted")
        if method not in (_STORED, _DEFLATED):
            raise BadFileFormat(
                f"Entry {number} of the ZIP uses a compression that is not supported ({method})"
            )
        extra_at = position + _CENTRAL.size + lengths[0]
        position = extra_at + lengths[1] + lengths[2]
        if _BIG32 in (packed, unpacked, header):
            extra = directory[extra_at : extra_at + lengths[1]]
            packed, unpacked, header = _zip64(extra, packed, unpacked, header)
        yield Entry(number, method, crc, packed, unpacked, header + shift)


def _place_of_directory(source: Bytes) -> tuple[int, int, int, int]:
    """Number of entries, offset and size of the directory, and what to add to its offsets."""
    tail_at = max(0, source.size - _END.size - _LONGEST_COMMENT)
    tail = source.read_at(tail_at, source.size - tail_at)
    found = _end_record(tail)
    _, _, _, _, count, size, offset, _ = _END.unpack_from(tail, found)
    end = tail_at + found
    wide = _end64(source, end)
    if wide is not None:
        count, size, offset, end = wide
    shift = end - size - offset
    if shift < 0 or size > source.size:
        raise BadFileFormat("The ZIP is damaged: its directory is not where it should be")
    return count, offset + shift, size, shift


def _end_record(tail: bytes) -> int:
    """Where the last record of the archive begins. What looks like one inside the comment has no
    room for the comment it claims."""
    found = len(tail)
    while (found := tail.rfind(EMPTY_MAGIC, 0, found)) >= 0:
        comment_at = found + _END.size
        if comment_at <= len(tail):
            comment_length = int.from_bytes(tail[comment_at - 2 : comment_at], "little")
            if comment_at + comment_length <= len(tail):
                return found
    raise BadFileFormat("The ZIP is damaged: its directory is missing")


def _end64(source: Bytes, end: int) -> tuple[int, int, int, int] | None:
    """Count, size, offset and end of the directory from the 64-bit record, which stands before
    the old one; None when there is none."""
    at = end - _END64_LOCATOR.size
    record_at = at - _END64.size
    if record_at < 0 or source.read_at(at, 4) != b"PK\x06\x07":
        return None
    fields = _END64.unpack(source.read_at(record_at, _END64.size))
    if fields[0] != b"PK\x06\x06":
        raise BadFileFormat("The ZIP is damaged: its 64-bit directory is missing")
    return fields[7], fields[8], fields[9], record_at


def _zip64(extra: bytes, packed: int, unpacked: int, header: int) -> tuple[int, int, int]:
    """The numbers that do not fit into 32 bits, from the extra field (§4.5.3)."""
    position = 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, position)
        position += 4
        if kind == _ZIP64_FIELD:
            values = iter(
                struct.unpack_from(f"<{length // 8}Q", extra[position:], 0)
                if position + length <= len(extra)
                else ()
            )
            try:
                unpacked = next(values) if unpacked == _BIG32 else unpacked
                packed = next(values) if packed == _BIG32 else packed
                header = next(values) if header == _BIG32 else header
            except StopIteration:
                break
            return packed, unpacked, header
        position += length
    raise BadFileFormat("The directory of the ZIP is damaged")
