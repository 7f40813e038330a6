"""Orthanc's format of compressed files (``StorageCompression``): the size of the plain bytes in
8 bytes, little-endian, then a zlib stream (RFC 1950). An empty file stays empty.

The plain size is known from the index; a stream that gives less, more, or another number than it
announces is damaged, and never more than that is inflated. Packing is isal's highest level: a
twentieth larger than zlib's default, in a tenth of its time.

Not here: which files are packed (``content``, ``ingest.deposit``).
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, cast

from isal import igzip_lib, isal_zlib

from wherry import limits
from wherry.errors import BadSequenceOfCalls, CorruptedFile
from wherry.storage.base import FileReader, type_buffer
from wherry.storage.scratch import spread

_SIZE = struct.Struct("<Q")
PREFIX_BYTES = _SIZE.size
_LEVEL = 3
_FAR_BYTES = 1 * limits.MIB
"""To inflate so much takes about a millisecond."""

_Damaged = cast(type[Exception], igzip_lib.IsalError)  # its stub calls it an instance


class Packer(Protocol):
    """Plain bytes in, zlib out."""

    def compress(self, data: type_buffer, /) -> bytes: ...
    def flush(self) -> bytes: ...


def new_packer() -> Packer:
    """For the bytes of one file. The prefix is the caller's to write."""
    return cast(Packer, isal_zlib.compressobj(_LEVEL))


def prefix(size: int) -> bytes:
    """What stands before the zlib stream of ``size`` plain bytes."""
    return _SIZE.pack(size)


class Bytes(Protocol):
    """Where packed bytes are."""

    def read_at(self, offset: int, size: int) -> bytes: ...


class PackedReader:
    """A ``FileReader`` of the plain bytes; takes over the reader of the packed ones.

    Reading forward costs what it should; reading backward inflates from the beginning again, or
    from where an earlier reader of the file has stopped: who fetches a large file in portions, each
    with a reader of its own, does not pay for the way to each of them.

    One thread at a time. Every method raises ``CorruptedFile``.
    """

    def __init__(self, packed: FileReader, size: int, name: str) -> None:
        """``size``: of the plain bytes, from the index; ``name``: of the file, for errors."""
        self._packed = packed
        self.size = size
        self.place = packed.place
        self._name = name
        self._stream = _Stream(packed, size, name)

    def read_at(self, offset: int, size: int) -> bytes:
        wanted = min(offset, self.size)
        if wanted != self._stream.position:
            self._go_near(wanted)
        while self._stream.position < wanted:
            self._stream.read(min(wanted - self._stream.position, limits.READ_CHUNK_BYTES))
        return self._stream.read(max(0, min(size, self.size - offset)))

    def _go_near(self, offset: int) -> None:
        """Find a stream that stands at ``offset`` or before it."""
        back = offset < self._stream.position
        if offset - (0 if back else self._stream.position) > _FAR_BYTES:
            parked = _parking.take(self._name, 0 if back else self._stream.position, offset)
            if parked is not None:
                parked.source = self._packed
                self._stream, back = parked, False
        if back:
            self._stream = _Stream(self._packed, self.size, self._name)

    @contextmanager
    def map(self) -> Iterator[memoryview]:
        with unpacked(self._packed, self.size, self._name) as content:
            yield content

    def forget(self, offset: int, size: int) -> None:
        pass  # nothing of the unpacked bytes is kept

    def fileno(self) -> int | None:
        return None

    def close(self) -> None:
        stream, self._stream = self._stream, _Stream(self._packed, self.size, self._name)
        if stream.sound and _FAR_BYTES < stream.position < self.size:
            _parking.put(self._name, stream)
        self._packed.close()


@contextmanager
def unpacked(packed: Bytes, size: int, name: str) -> Iterator[memoryview]:
    """All plain bytes as one buffer: in memory if they are few, else in a nameless file."""
    stream = _Stream(packed, size, name)
    if size <= limits.UNPACKED_IN_MEMORY_BYTES:
        with memoryview(stream.read(size)) as view:
            yield view
        return
    with spread(stream.all()) as view:
        yield view


class _Stream:
    """The plain bytes from the beginning to the end, once."""

    def __init__(self, packed: Bytes, size: int, name: str) -> None:
        self.source = packed
        self._size = size
        self._name = name
        self._taken = PREFIX_BYTES
        self._inflater = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_ZLIB)
        self._begun = False
        self.position = 0
        self.sound = True
        """False after an error: it may stand anywhere."""

    def read(self, size: int) -> bytes:
        """The next ``size`` bytes, which must be there. With the last ones the end is checked."""
        self.sound = False
        if not self._begun:
            self._begin()
        pieces: list[bytes] = []
        left = size
        while left:
            piece = self._inflate(left)
            left -= len(piece)
            pieces.append(piece)
        self.position += size
        if self.position == self._size and size:
            self._end()
        self.sound = True
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def all(self) -> Iterator[bytes]:
        """What is left, in pieces."""
        while self.position < self._size:
            yield self.read(min(limits.READ_CHUNK_BYTES, self._size - self.position))

    def _begin(self) -> None:
        head = self.source.read_at(0, PREFIX_BYTES)
        if head != prefix(self._size) and not (self._size == 0 and not head):
            raise self._damaged()
        self._begun = True

    def _inflate(self, most: int) -> bytes:
        """At most so many bytes; none when more input was needed first."""
        try:
            if self._inflater.eof:
                raise self._damaged()
            if not self._inflater.needs_input:
                return self._inflater.decompress(b"", most)
            packed = self.source.read_at(self._taken, limits.READ_CHUNK_BYTES)
            if not packed:
                raise self._damaged()
            self._taken += len(packed)
            return self._inflater.decompress(packed, most)
        except _Damaged:
            raise self._damaged() from None

    def _end(self) -> None:
        """Nothing follows but the checksum."""
        while not self._inflater.eof:
            if self._inflate(1):
                raise self._damaged()
        if self._inflater.unused_data:
            raise self._damaged()

    def _damaged(self) -> CorruptedFile:
        return CorruptedFile(f"The stored file {self._name} is damaged")


class _Parking:
    """Streams that stopped in the middle of a file, a bounded number; those that nobody has asked
    for longest go first. The bytes of a name never change. From any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._streams: list[tuple[str, _Stream]] = []

    def put(self, name: str, stream: _Stream) -> None:
        """Keep a stream, without its source, for the next reader of the file."""
        stream.source = _Gone()
        with self._lock:
            self._streams.append((name, stream))
            del self._streams[: -limits.PARKED_STREAMS]

    def take(self, name: str, after: int, offset: int) -> _Stream | None:
        """The stream of a file that is nearest before ``offset``, if it is behind ``after``."""
        with self._lock:
            near = [
                parked
                for parked in self._streams
                if parked[0] == name and after < parked[1].position <= offset
            ]
            if not near:
                return None
            best = max(near, key=lambda parked: parked[1].position)
            self._streams.remove(best)
            return best[1]


class _Gone:
    def read_at(self, offset: int, size: int) -> bytes:
        raise BadSequenceOfCalls


_parking = _Parking()
