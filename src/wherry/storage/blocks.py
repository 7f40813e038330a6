"""Compressed files of our own format (``Wherry.StorageCodec``: ``zstd``): the size of the plain
bytes in 8 bytes, little-endian, then blocks of ``limits.STORED_BLOCK_BYTES`` plain bytes each, the
last one shorter: 4 bytes with the length of a Zstandard frame (RFC 8878), then the frame, with its
checksum. An empty file stays empty.

A block is unpacked by itself, so a range costs its own blocks and not the way to them. Lengths are
bounded by what a block can need; a file that gives less, more or something else is damaged.

Not here: Orthanc's format (``packed``), which files are packed (``content``).
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import zstandard

from wherry import limits
from wherry.errors import CorruptedFile
from wherry.storage.base import FileReader, type_buffer
from wherry.storage.packed import PREFIX_BYTES, Bytes, prefix
from wherry.storage.scratch import spread

_LENGTH = struct.Struct("<I")
_LEVEL = 3
_MOST_BYTES = limits.STORED_BLOCK_BYTES + limits.STORED_BLOCK_BYTES // 128 + 1024
"""Of a frame that holds a block, generously: what cannot be packed grows by less."""


class BlockPacker:
    """Plain bytes in, blocks out. The prefix is the caller's to write."""

    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)
        self._waiting = bytearray()

    def compress(self, data: type_buffer, /) -> bytes:
        """The blocks that are whole now."""
        self._waiting += data
        size = limits.STORED_BLOCK_BYTES
        whole = len(self._waiting) // size * size
        blocks = [self._block(start, start + size) for start in range(0, whole, size)]
        del self._waiting[:whole]
        return b"".join(blocks)

    def flush(self) -> bytes:
        """The last block."""
        return self._block(0, len(self._waiting)) if self._waiting else b""

    def _block(self, start: int, end: int) -> bytes:
        with memoryview(self._waiting)[start:end] as plain:
            frame = self._compressor.compress(plain)
        return _LENGTH.pack(len(frame)) + frame


class Blocks:
    """The plain bytes of a file. From one thread. Every method raises ``CorruptedFile``."""

    def __init__(self, packed: Bytes, size: int, name: str) -> None:
        """``size``: of the plain bytes, from the index; ``name``: of the file, for errors."""
        self._packed = packed
        self._size = size
        self._name = name
        self._starts = [PREFIX_BYTES]
        """Where blocks begin, as far as is known."""
        self._begun = False
        self._held = (-1, b"")
        """The block that was unpacked last."""

    def read(self, offset: int, size: int) -> bytes:
        """At most so many bytes; fewer only at the end."""
        self._begin()
        end = min(offset + size, self._size)
        parts = []
        while offset < end:
            number, within = divmod(offset, limits.STORED_BLOCK_BYTES)
            part = self._block(number)[within : within + end - offset]
            parts.append(part)
            offset += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def all(self) -> Iterator[bytes]:
        """One block after the other."""
        self._begin()
        for number in range(-(-self._size // limits.STORED_BLOCK_BYTES)):
            yield self._block(number)

    def _begin(self) -> None:
        if not self._begun:
            head = self._packed.read_at(0, PREFIX_BYTES)
            if head != prefix(self._size) and not (self._size == 0 and not head):
                raise self._damaged()
            self._begun = True

    def _block(self, number: int) -> bytes:
        if self._held[0] != number:
            self._held = (number, self._unpack(number))
        return self._held[1]

    def _unpack(self, number: int) -> bytes:
        while len(self._starts) <= number:
            self._starts.append(self._end_of(self._starts[-1]))
        start = self._starts[number]
        size = min(limits.STORED_BLOCK_BYTES, self._size - number * limits.STORED_BLOCK_BYTES)
        end = self._end_of(start)
        frame = self._packed.read_at(start + _LENGTH.size, end - start - _LENGTH.size)
        is_last = (number + 1) * limits.STORED_BLOCK_BYTES >= self._size
        try:
            if zstandard.frame_content_size(frame) != size:
                raise self._damaged()
            plain = _decompressor().decompress(frame, allow_extra_data=False)
        except zstandard.ZstdError:
            raise self._damaged() from None
        if len(plain) != size or (is_last and self._packed.read_at(end, 1)):
            raise self._damaged()
        return plain

    def _end_of(self, start: int) -> int:
        length = self._packed.read_at(start, _LENGTH.size)
        if len(length) < _LENGTH.size or _LENGTH.unpack(length)[0] > _MOST_BYTES:
            raise self._damaged()
        return start + _LENGTH.size + int(_LENGTH.unpack(length)[0])

    def _damaged(self) -> CorruptedFile:
        return CorruptedFile(f"The stored file {self._name} is damaged")


class BlockReader:
    """A ``FileReader`` of the plain bytes; takes over the reader of the packed ones. One thread at
    a time. Every method raises ``CorruptedFile``."""

    def __init__(self, packed: FileReader, size: int, name: str) -> None:
        self._packed = packed
        self._blocks = Blocks(packed, size, name)
        self.size = size
        self.place = packed.place

    def read_at(self, offset: int, size: int) -> bytes:
        return self._blocks.read(offset, size)

    @contextmanager
    def map(self) -> Iterator[memoryview]:
        with unpacked_blocks(self._blocks, self.size) as content:
            yield content

    def forget(self, offset: int, size: int) -> None:
        pass  # nothing of the unpacked bytes is kept

    def fileno(self) -> int | None:
        return None

    def close(self) -> None:
        self._packed.close()


@contextmanager
def unpacked_blocks(blocks: Blocks, size: int) -> Iterator[memoryview]:
    """All plain bytes as one buffer: in memory if they are few, else in a nameless file."""
    if size <= limits.UNPACKED_IN_MEMORY_BYTES:
        with memoryview(blocks.read(0, size)) as view:
            yield view
        return
    with spread(blocks.all()) as view:
        yield view


_mine = threading.local()


def _decompressor() -> zstandard.ZstdDecompressor:
    """One for each thread: to make one costs more than a small block."""
    found: zstandard.ZstdDecompressor | None = getattr(_mine, "decompressor", None)
    if found is None:
        found = _mine.decompressor = zstandard.ZstdDecompressor()
    return found
