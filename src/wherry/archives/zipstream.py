"""The bytes of a ZIP archive, made in one pass from the first to the last (PKWARE APPNOTE 6.3).

What stands in front of a member is written before its CRC and packed size are known; they follow it
in a data descriptor (§4.3.9), and stand in the directory at the end. Sizes, positions and numbers
beyond 32 and 16 bits take the fields of ZIP64 (§4.5.3). All members are deflated.

What was made so far is two numbers a member: ``ZipStream.state`` writes them down, and ``take_up``
goes on in the same file, byte for byte the same.

Not here: what goes into an archive, and under which name (``contents``, ``naming``).
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from isal import isal_zlib

from wherry import limits
from wherry.errors import CorruptedFile

COMMENT: Final = b"Created by Wherry"
_LEVEL: Final = 1
_RAW_WINDOW: Final = -15
_MAX16, _MAX32 = 0xFFFF, 0xFFFFFFFF
_ZIP64_FROM: Final = 0xFF000000
"""Members of this size have ZIP64 fields: what cannot be packed grows a little."""
_DESCRIPTOR, _UTF8 = 0x0008, 0x0800
_DEFLATED: Final = 8
_VERSION, _VERSION64 = 20, 45
_MADE_BY_UNIX: Final = 3 << 8
_REGULAR_FILE: Final = 0o100644 << 16

_LOCAL = struct.Struct("<4sHHHHHLLLHH")
_CENTRAL = struct.Struct("<4sHHHHHHLLLHHHHHLL")
_TRAILER, _TRAILER64 = struct.Struct("<4sLLL"), struct.Struct("<4sLQQ")
_END = struct.Struct("<4sHHHHLLH")
_END64, _LOCATOR64 = struct.Struct("<4sQHHLLQQQQ"), struct.Struct("<4sLQL")
_LOCAL_EXTRA = struct.pack("<HHQQ", 1, 16, 0, 0)


class Member(NamedTuple):
    """A file of the archive, as it is known before it is read."""

    name: str
    """Folders and all, separated by ``/``."""
    size: int


type_state = tuple[bytes, bytes, bytes]
"""What is known of complete members."""


class ZipStream:
    """Makes one archive. Give ``member`` each file in turn, then ask for ``end``."""

    def __init__(self, moment: datetime) -> None:
        """``moment``: the time that all members bear."""
        self._time = moment.hour << 11 | moment.minute << 5 | moment.second // 2
        year = min(max(moment.year, 1980), 2107)
        self._date = (year - 1980) << 9 | moment.month << 5 | moment.day
        self._crcs = array("I")
        self._packed = array("Q")
        self._sizes = array("Q")
        self.position = 0
        """Bytes made so far."""

    @property
    def count(self) -> int:
        """Members that are complete."""
        return len(self._crcs)

    @property
    def crcs(self) -> Sequence[int]:
        """Of the complete members."""
        return self._crcs

    def state(self, most: int | None = None) -> type_state:
        """CRCs, packed sizes and sizes of the complete members, or of the first ``most`` of them,
        for ``take_up``."""
        numbers = self._crcs[:most], self._packed[:most], self._sizes[:most]
        return numbers[0].tobytes(), numbers[1].tobytes(), numbers[2].tobytes()

    def take_up(self, state: type_state, members: Sequence[Member]) -> None:
        """Go on behind the members that were complete. Raises ``ValueError`` when that cannot be.

        ``members``: those of the whole archive, the same as before.
        """
        crcs, packed, sizes = array("I"), array("Q"), array("Q")
        crcs.frombytes(state[0])
        packed.frombytes(state[1])
        sizes.frombytes(state[2])
        if not len(crcs) == len(packed) == len(sizes) <= len(members):
            raise ValueError("not the state of this archive")
        self._crcs, self._packed, self._sizes = crcs, packed, sizes
        done = zip(self._done(members), packed, strict=False)
        self.position = sum(_length(one, size) for one, size in done)

    def _done(self, members: Sequence[Member]) -> Iterator[Member]:
        """The complete ones, with the sizes that they had."""
        for one, size in zip(members, self._sizes, strict=False):
            yield one._replace(size=size)

    def member(self, one: Member, content: Iterable[bytes]) -> Iterator[bytes]:
        """The bytes of a member; it is complete when they are all taken.

        Raises ``CorruptedFile`` when ``content`` is not as long as announced.
        """
        yield self._made(_local_header(one, self._time, self._date))
        packer = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _RAW_WINDOW)
        crc = size = packed = 0
        for piece in content:
            crc = isal_zlib.crc32(piece, crc)
            size += len(piece)
            data = packer.compress(piece)
            if data:
                packed += len(data)
                yield self._made(data)
        if size != one.size:
            raise CorruptedFile("A stored file has not the size that the index knows")
        data = packer.flush()
        packed += len(data)
        trailer = _TRAILER64 if _is_large(one) else _TRAILER
        last = self._made(data + trailer.pack(b"PK\7\x08", crc, packed, size))
        self._crcs.append(crc)
        self._packed.append(packed)
        self._sizes.append(size)
        yield last

    def end(self, members: Sequence[Member]) -> Iterator[bytes]:
        """The directory and the end; ``members`` are all that the archive has."""
        start = self.position
        offset = 0
        waiting = bytearray()
        for one, crc, packed in zip(self._done(members), self._crcs, self._packed, strict=True):
            waiting += _directory_entry(one, crc, packed, offset, self._time, self._date)
            offset += _length(one, packed)
            if len(waiting) >= limits.READ_CHUNK_BYTES:
                yield self._made(bytes(waiting))
                waiting.clear()
        yield self._made(bytes(waiting) + _end(len(members), start, self.position + len(waiting)))

    def _made(self, data: bytes) -> bytes:
        self.position += len(data)
        return data


def crc_of(pieces: Iterable[bytes]) -> int:
    """The CRC that a member of this content has."""
    crc = 0
    for piece in pieces:
        crc = isal_zlib.crc32(piece, crc)
    return crc


def _is_large(one: Member) -> bool:
    return one.size >= _ZIP64_FROM


def _length(one: Member, packed: int) -> int:
    """Bytes that a complete member takes."""
    head = _LOCAL.size + len(one.name.encode())
    if _is_large(one):
        return head + len(_LOCAL_EXTRA) + packed + _TRAILER64.size
    return head + packed + _TRAILER.size


def _flags(name: bytes) -> int:
    return _DESCRIPTOR if name.isascii() else _DESCRIPTOR | _UTF8


def _local_header(one: Member, time: int, date: int) -> bytes:
    name = one.name.encode()
    large = _is_large(one)
    return (
        _LOCAL.pack(
            b"PK\3\4",
            _VERSION64 if large else _VERSION,
            _flags(name),
            _DEFLATED,
            time,
            date,
            0,
            _MAX32 if large else 0,
            _MAX32 if large else 0,
            len(name),
            len(_LOCAL_EXTRA) if large else 0,
        )
        + name
        + (_LOCAL_EXTRA if large else b"")
    )


def _directory_entry(
    one: Member, crc: int, packed: int, offset: int, time: int, date: int
) -> bytes:
    name = one.name.encode()
    fields = [value for value in (one.size, packed, offset) if value >= _MAX32]
    extra = struct.pack(f"<HH{len(fields)}Q", 1, 8 * len(fields), *fields) if fields else b""
    version = _VERSION64 if fields or _is_large(one) else _VERSION
    return (
        _CENTRAL.pack(
            b"PK\1\2",
            _MADE_BY_UNIX | version,
            version,
            _flags(name),
            _DEFLATED,
            time,
            date,
            crc,
            min(packed, _MAX32),
            min(one.size, _MAX32),
            len(name),
            len(extra),
            0,
            0,
            0,
            _REGULAR_FILE,
            min(offset, _MAX32),
        )
        + name
        + extra
    )


def _end(count: int, start: int, position: int) -> bytes:
    """``start``: where the directory begins; ``position``: where it has ended."""
    size = position - start
    large = b""
    if count >= _MAX16 or start >= _MAX32 or size >= _MAX32:
        end = (_MADE_BY_UNIX | _VERSION64, _VERSION64, 0, 0, count, count, size, start)
        large = _END64.pack(b"PK\6\6", _END64.size - 12, *end)
        large += _LOCATOR64.pack(b"PK\6\7", 0, position, 1)
    few = min(count, _MAX16)
    last = (0, 0, few, few, min(size, _MAX32), min(start, _MAX32), len(COMMENT))
    return large + _END.pack(b"PK\5\6", *last) + COMMENT
