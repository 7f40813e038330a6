"""The pixel data of a transcoded file: native words, or one fragment a frame (PS3.5 §A.4)."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial
from typing import Final

from wherry import limits
from wherry.dicom.codecs import encode
from wherry.dicom.codecs.image import Image
from wherry.dicom.elements import PIXEL_DATA, UNDEFINED
from wherry.dicom.reencode import Heads
from wherry.dicom.transcoding.parts import New, Pixels, type_pieces
from wherry.errors import CannotEncode

EXTENDED_OFFSETS, EXTENDED_LENGTHS = 0x7FE00001, 0x7FE00002
_HEADS: Final = Heads(explicit=True, big_endian=False)
_ITEM: Final = struct.Struct("<HHI")
_LONGEST_TABLE: Final = 0xFFFFFFFF
"""Offsets of 32 bits reach so far; beyond it an image has 64-bit ones (PS3.3 §C.7.6.3.1.8)."""

_TOO_LONG: Final = "Pixel data of more than 4 GiB do not fit into this transfer syntax"

type_alive = Callable[[], None]
type_patch = Callable[[int, bytes], None]
"""Writes bytes over what was written at this place of the output."""


def native(image: Image, syntax: str, alive: type_alive) -> Pixels:
    """Decoded frames; whatever the byte order, ``Pixels`` has that of ``syntax``."""
    shape = image.shape
    size = shape.decoded_bytes
    if shape.bits_allocated == 1:
        if size % 8 and shape.frames > 1:
            raise CannotEncode("Frames of single bits that share bytes")
        size = -(-size // 8)
    total = size * shape.frames

    def pieces() -> type_pieces:
        for number in range(shape.frames):
            yield encode(syntax, image.frame(number), image.decoded)
            alive()
        if total % 2:
            yield b"\0"

    vr = "OW" if shape.bits_allocated > 8 else "OB"
    if total + total % 2 >= UNDEFINED:
        raise CannotEncode(_TOO_LONG)
    return Pixels(vr, total + total % 2, pieces)


class Encapsulated:
    """Encoded frames, and the table that says where they are: known when all are written."""

    def __init__(
        self, image: Image, syntax: str, quality: int, patch: type_patch, alive: type_alive
    ) -> None:
        if image.shape.decoded_bytes * image.shape.frames > limits.TRANSCODED_BYTES:
            raise CannotEncode("More pixels than are transcoded")
        self._image = image
        self._syntax = syntax
        self._quality = quality
        self._patch = patch
        self._alive = alive
        self._at: dict[int, int] = {}
        self._is_extended = image.shape.decoded_bytes * image.shape.frames >= _LONGEST_TABLE // 2
        self.coded_bytes = 0
        """Of all frames, once they are written."""

    @property
    def edits(self) -> dict[int, New | Pixels | None]:
        """The elements of the pixel data."""
        found: dict[int, New | Pixels | None] = {
            EXTENDED_OFFSETS: None,
            EXTENDED_LENGTHS: None,
            PIXEL_DATA: Pixels("OB", UNDEFINED, self._pieces),
        }
        if self._is_extended:
            room = bytes(8 * self._image.shape.frames)
            for tag in (EXTENDED_OFFSETS, EXTENDED_LENGTHS):
                found[tag] = New(tag, "OV", room, partial(self._at.__setitem__, tag))
        return found

    def at(self, position: int) -> None:
        """Where in the output the offset table begins."""
        self._at[PIXEL_DATA] = position + 8

    def _pieces(self) -> type_pieces:
        frames = self._image.shape.frames
        room = 0 if self._is_extended else 4 * frames
        yield _ITEM.pack(0xFFFE, 0xE000, room) + bytes(room)
        shape = self._image.decoded
        offsets, lengths, position = [], [], 0
        for number in range(frames):
            coded = encode(self._syntax, self._image.frame(number), shape, self._quality)
            offsets.append(position)
            lengths.append(len(coded))
            padding = len(coded) % 2
            position += 8 + len(coded) + padding
            yield _ITEM.pack(0xFFFE, 0xE000, len(coded) + padding)
            yield coded + b"\0" * padding
            self._alive()
        yield _HEADS.sequence_end
        self.coded_bytes = sum(lengths)
        if self._is_extended:
            self._patch(self._at[EXTENDED_OFFSETS], struct.pack(f"<{frames}Q", *offsets))
            self._patch(self._at[EXTENDED_LENGTHS], struct.pack(f"<{frames}Q", *lengths))
        elif position >= _LONGEST_TABLE:
            raise CannotEncode(_TOO_LONG)
        else:
            self._patch(self._at[PIXEL_DATA], struct.pack(f"<{frames}I", *offsets))
