"""Pictures as files: PNG (ISO/IEC 15948), PAM (netpbm) and JPEG, written while they are made.

PNG: each pixel as the difference from its left neighbour, packed by isal; a fiftieth of the time
that libpng takes, and a tenth larger (docs/decisions/images.md).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from isal import isal_zlib

from wherry import limits
from wherry.dicom.codecs.native import type_array
from wherry.dicom.pixels.pictures import Picture
from wherry.errors import CannotDecode

type_write = Callable[[bytes | bytearray | memoryview], None]

PNG: Final = "image/png"
JPEG: Final = "image/jpeg"
PAM: Final = "image/x-portable-arbitrarymap"

_LEVEL: Final = 2
_LEFT: Final = 1
"""Filter type ``Sub`` (ISO/IEC 15948 §9.2)."""
_JPEG_SIDE: Final = 65_500
"""The format has 16 bits for a side, and libjpeg a little less."""


def encode(picture: Picture, kind: str, quality: int, write: type_write) -> None:
    """Write ``picture`` as a file of media type ``kind``; ``quality``, 1 to 100, is for JPEG.

    Raises ``CannotDecode`` when the format does not hold it, and what making the picture raises.
    """
    {PNG: _png, PAM: _pam, JPEG: _jpeg}[kind](picture, quality, write)


def _strips(picture: Picture) -> Iterator[type_array]:
    """All rows, some at a time, as rows of samples."""
    row_bytes = picture.width * picture.samples * picture.bits // 8
    step = max(1, limits.STRIP_BYTES // row_bytes)
    for start in range(0, picture.height, step):
        part = picture.rows(slice(start, min(start + step, picture.height)))
        yield part.reshape(len(part), -1)


def _big_endian(strip: type_array) -> type_array:
    return strip.astype(">u2").view("u1") if strip.dtype.itemsize == 2 else strip


def _png(picture: Picture, quality: int, write: type_write) -> None:
    colour = 2 if picture.samples == 3 else 0
    write(b"\x89PNG\r\n\x1a\n")
    size = struct.pack(">II", picture.width, picture.height)
    _chunk(write, b"IHDR", size + bytes((picture.bits, colour, 0, 0, 0)))
    packer = isal_zlib.compressobj(_LEVEL)
    before = picture.samples * picture.bits // 8
    for strip in _strips(picture):
        row = _big_endian(strip)
        filtered = np.empty((len(row), row.shape[1] + 1), "u1")
        filtered[:, 0] = _LEFT
        filtered[:, 1 : 1 + before] = row[:, :before]
        np.subtract(row[:, before:], row[:, :-before], out=filtered[:, 1 + before :])
        _chunk(write, b"IDAT", packer.compress(filtered))
    _chunk(write, b"IDAT", packer.flush())
    _chunk(write, b"IEND", b"")


def _chunk(write: type_write, kind: bytes, data: bytes) -> None:
    if data or kind != b"IDAT":
        check = zlib.crc32(data, zlib.crc32(kind))
        write(b"".join((struct.pack(">I", len(data)), kind, data, struct.pack(">I", check))))


def _pam(picture: Picture, quality: int, write: type_write) -> None:
    kind = "RGB" if picture.samples == 3 else "GRAYSCALE"
    write(
        f"P7\nWIDTH {picture.width}\nHEIGHT {picture.height}\nDEPTH {picture.samples}\n"
        f"MAXVAL {(1 << picture.bits) - 1}\nTUPLTYPE {kind}\nENDHDR\n".encode()
    )
    for strip in _strips(picture):
        write(np.ascontiguousarray(_big_endian(strip)).data)


def _jpeg(picture: Picture, quality: int, write: type_write) -> None:
    if picture.bits != 8 or max(picture.height, picture.width) > _JPEG_SIDE:
        raise CannotDecode("JPEG does not hold such a picture")
    from imagecodecs import jpeg8_encode  # a megabyte of libraries that few pictures need

    pixels = np.ascontiguousarray(picture.rows(slice(0, picture.height)))
    write(jpeg8_encode(pixels, level=quality))
