"""The frames of a DICOM file as arrays, one after the other.

Two ways to look at them: who transcodes wants all bits of a word (``frame``), who shows them or
reckons with them only those that are stored (``values``).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Final

import numpy as np

from wherry import limits
from wherry.dicom.codecs.coding import decode
from wherry.dicom.codecs.colour import after_decoding
from wherry.dicom.codecs.native import type_array
from wherry.dicom.codecs.shape import TAGS, FrameShape, shape_of
from wherry.dicom.elements import type_data
from wherry.dicom.frames import NEEDED, Frames
from wherry.dicom.json import readable
from wherry.dicom.preamble import BIG_ENDIAN, EXPLICIT
from wherry.dicom.tree import Selection, Tree
from wherry.errors import BadFileFormat, CannotDecode, ParameterOutOfRange

_BITS_OF_BYTE: Final = 8


class Image:
    """A file with pixel data. Of use as long as its buffer; of deflated ones only the first
    ``limits.DICOM_HEADER_BYTES`` are seen."""

    def __init__(self, data: type_data | Tree, wanted: Collection[int] = ()) -> None:
        """``data``: the file, whose elements ``wanted`` are found too; or its tree, with the
        elements of ``codecs.shape.TAGS`` and ``frames.NEEDED``.

        Raises ``BadFileFormat`` (it is none), ``InexistentTag`` (no pixel data)."""
        if isinstance(data, Tree):
            self.tree = data
        else:
            with readable(data):
                self.tree = Selection(data, (*NEEDED, *TAGS, *wanted))
        with readable(self.tree.data):
            self._frames = Frames(self.tree)
        self.shape = shape_of(self.tree)
        self.syntax = self.tree.syntax
        """The transfer syntax of the file."""
        self.photometric = after_decoding(self.syntax, self.shape)
        """Of decoded frames."""

    @property
    def decoded(self) -> FrameShape:
        """What decoded frames are."""
        return replace(self.shape, photometric=self.photometric, planar=False)

    def coded(self, number: int) -> bytes | memoryview:
        """Frame ``number``, from 0, as ``decode`` takes it. Raises ``BadFileFormat``,
        ``CannotDecode``, ``ParameterOutOfRange``."""
        pieces = self._frames.pieces(number)
        if self._frames.is_encapsulated:
            if sum(length for _, length in pieces) > limits.CODED_FRAME_BYTES:
                raise CannotDecode("A compressed frame that is too long")
            if len(pieces) == 1:
                return self._bytes(*pieces[0])
            return b"".join(self._bytes(start, length) for start, length in pieces)
        ((start, length),) = pieces
        if self.tree.big_endian and self.shape.bits_allocated <= 8 and self._frames.vr == "OW":
            return self._turned(start, length)
        return self._bytes(start, length)

    def _bytes(self, start: int, length: int) -> memoryview:
        return memoryview(self.tree.data)[start : start + length]

    def _turned(self, start: int, length: int) -> bytes:
        """Bytes that lie in words of the other order (PS3.5 §7.3)."""
        before = (start - self._frames.begin) % 2
        whole = self._bytes(start - before, length + before + (length + before) % 2)
        if len(whole) % 2:
            raise CannotDecode("Pixel data that end with half a word")
        return np.frombuffer(whole, "u2").byteswap().tobytes()[before : before + length]

    def frame(self, number: int) -> type_array:
        """Frame ``number``, from 0, decoded: see ``decode``; perhaps a view of the buffer."""
        syntax = self.syntax
        if not self._frames.is_encapsulated:
            syntax = BIG_ENDIAN if self.tree.big_endian else EXPLICIT
        return decode(syntax, self.coded(number), self.shape)

    def values(self, number: int) -> type_array:
        """Stored values of frame ``number``, from 0: rows × columns, × 3 of colours. It may be a
        view of the file.

        Raises ``ParameterOutOfRange``, ``BadFileFormat``, ``CannotDecode``.
        """
        if not 0 <= number < self.shape.frames:
            raise ParameterOutOfRange
        is_native = not self._frames.is_encapsulated
        if is_native and self.shape.bits_allocated == 1 and self.shape.native_bits % _BITS_OF_BYTE:
            return self._bits(number)
        return self._own(self.frame(number))

    def _bits(self, number: int) -> type_array:
        """Frames of single bits follow each other without a gap (PS3.5 §8.1.1)."""
        shape = self.shape
        size = shape.native_bits
        first = number * size
        begin, end = first // _BITS_OF_BYTE, -(-(first + size) // _BITS_OF_BYTE)
        position = self._frames.begin + begin
        if position + end - begin > len(self.tree.data) or self.tree.big_endian:
            raise BadFileFormat("pixel data that are shorter than their frames")
        packed = np.frombuffer(self.tree.data, "u1", end - begin, position)
        bits = np.unpackbits(packed, bitorder="little")
        return bits[first - begin * _BITS_OF_BYTE :][:size].reshape(shape.array)

    def _own(self, words: type_array) -> type_array:
        """Only the bits that are stored, the lowest one last (PS3.5 §8.1.1)."""
        shape = self.shape
        if shape.bits_stored == shape.bits_allocated:
            return words
        low = shape.precision - shape.bits_stored
        if low:
            words = words >> words.dtype.type(low)
        if not shape.signed:
            words = words & words.dtype.type((1 << shape.bits_stored) - 1)
        return words
