"""How the bytes of a bucket are packed: as stock servers do, or in blocks between two Wherry.

``gzip`` is one member, as upstream's. ``blocks`` is a row of blocks of at most a MiB, each with a
head of 12 bytes (kind, plain size, packed size) and packed by itself: stored, as a zstd frame
(RFC 8878), or as a zstd frame of its even bytes followed by its odd ones. Pixels of 16 bits fall
into two smooth planes that way, which pack better and in less time than deflate takes
(docs/decisions/codecs.md). A block that does not get smaller is stored.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from wherry import limits
from wherry.errors import ParameterOutOfRange
from wherry.storage.base import type_buffer
from wherry.storage.outgoing import pack

if TYPE_CHECKING:
    import zstandard

HEAD: Final = struct.Struct("<BxxxII")
STORED, ZSTD, PLANES = range(3)

type_name = Literal["none", "gzip", "blocks"]
NAMES: Final[tuple[type_name, ...]] = ("none", "gzip", "blocks")
_SAMPLE_BYTES: Final = 32 * limits.KIB
_QUICK: Final = -5
_WORTH: Final = 0.97
_compressors: dict[tuple[int, int], list[zstandard.ZstdCompressor]] = {}
_decompressors: list[zstandard.ZstdDecompressor] = []
_BLOCKS: Final = re.compile(r"blocks(-?[1-9])")


@dataclass(frozen=True, slots=True)
class Encoding:
    """A way of packing."""

    name: type_name
    level: int = 0
    """Of the zstd frames of blocks; negative levels are faster."""

    def __str__(self) -> str:
        return f"blocks{self.level}" if self.name == "blocks" else self.name


NONE: Final = Encoding("none")
GZIP: Final = Encoding("gzip")
LADDER: Final = (NONE, Encoding("blocks", -5), Encoding("blocks", 1), Encoding("blocks", 3))
"""Ever smaller, in ever more time."""


def parse_encoding(text: str) -> Encoding:
    """The reverse of ``str``. Raises ``ParameterOutOfRange``."""
    if text in ("none", "gzip"):
        return Encoding(text)  # type: ignore[arg-type]
    found = _BLOCKS.fullmatch(text)
    if found is None:
        raise ParameterOutOfRange(f"Unknown compression: {text[:64]}")
    return Encoding("blocks", int(found[1]))


def encoded(pieces: Iterable[bytes], encoding: Encoding) -> Iterator[bytes]:
    """The bytes of a bucket, packed; never an empty piece."""
    if encoding.name == "none":
        return iter(pieces)
    if encoding.name == "gzip":
        return pack(pieces)
    return (part for block in _blocks(pieces) for part in _packed(block, encoding.level))


def beyond(skip: int, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces without their first ``skip`` bytes."""
    for piece in pieces:
        if skip < len(piece):
            yield piece[skip:] if skip else piece
        skip = max(0, skip - len(piece))


def _packed(block: bytes, level: int) -> tuple[bytes, bytes]:
    kind = _best_kind(block)
    packed = block
    if kind != STORED:
        packed = _zstd(_split(block) if kind == PLANES else block, level, limits.CODEC_BLOCK_BYTES)
    if len(packed) >= len(block):
        kind, packed = STORED, block
    return HEAD.pack(kind, len(block), len(packed)), packed


def _best_kind(block: bytes) -> int:
    """By a sample from the middle: pixels that are packed already are not packed again."""
    start = max(0, len(block) // 2 - _SAMPLE_BYTES // 2) & ~1
    sample = memoryview(block)[start : start + _SAMPLE_BYTES]
    plain = len(_zstd(sample, _QUICK, _SAMPLE_BYTES))
    planes = len(_zstd(_split(sample), _QUICK, _SAMPLE_BYTES))
    if min(plain, planes) > len(sample) * _WORTH and len(block) > _SAMPLE_BYTES:
        return STORED
    return PLANES if planes < plain else ZSTD


def _blocks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Blocks of ``limits.CODEC_BLOCK_BYTES``, the last one shorter."""
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        view = memoryview(piece)
        while size + len(view) >= limits.CODEC_BLOCK_BYTES:
            room = limits.CODEC_BLOCK_BYTES - size
            yield b"".join([*waiting, view[:room]])
            waiting, size, view = [], 0, view[room:]
        if view:
            waiting.append(view)  # type: ignore[arg-type]
            size += len(view)
    if waiting:
        yield b"".join(waiting)


def _split(block: type_buffer) -> memoryview:
    """The even bytes, then the odd ones."""
    import numpy  # 25 MB, for those who need it

    data = numpy.frombuffer(block, numpy.uint8)
    half = (len(data) + 1) // 2
    planes = numpy.empty_like(data)
    planes[:half] = data[0::2]
    planes[half:] = data[1::2]
    return planes.data


def joined(planes: type_buffer) -> memoryview:
    """The reverse of the split into planes."""
    import numpy

    data = numpy.frombuffer(planes, numpy.uint8)
    half = (len(data) + 1) // 2
    block = numpy.empty_like(data)
    block[0::2] = data[:half]
    block[1::2] = data[half:]
    return block.data


def _zstd(data: type_buffer, level: int, most: int) -> bytes:
    """One frame of at most ``most`` bytes. What it is made with is kept for the next one: making
    that costs more than a block does."""
    import zstandard

    kept = _compressors.setdefault((level, most), [])
    try:
        compressor = kept.pop()
    except IndexError:
        parameters = zstandard.ZstdCompressionParameters.from_level(
            level, source_size=most, write_checksum=True
        )
        compressor = zstandard.ZstdCompressor(compression_params=parameters)
    try:
        return compressor.compress(data)
    finally:
        kept.append(compressor)


def unzstd(packed: memoryview, size: int) -> bytes | None:
    """One frame of at most ``size`` bytes; None when it is none."""
    import zstandard

    try:
        decompressor = _decompressors.pop()
    except IndexError:
        decompressor = zstandard.ZstdDecompressor(max_window_size=limits.CODEC_BLOCK_BYTES)
    try:
        return decompressor.decompress(packed, max_output_size=size)
    except zstandard.ZstdError:
        return None
    finally:
        _decompressors.append(decompressor)
