"""The image of a file: its frames as arrays of stored values, and what is said of them.

Why not ``codecs.decode`` alone: there a frame is bytes; here it is found in the file, and rid of
the bits that are not its own.
Not here: what values mean (``values``), how they are shown (``pictures``).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import numpy as np

from wherry import limits
from wherry.dicom.codecs import FrameShape, decode
from wherry.dicom.codecs.colour import after_decoding
from wherry.dicom.codecs.native import type_array
from wherry.dicom.codecs.shape import TAGS, shape_of
from wherry.dicom.elements import type_data
from wherry.dicom.frames import NEEDED, Frames
from wherry.dicom.json import readable
from wherry.dicom.preamble import EXPLICIT
from wherry.dicom.tree import Selection, Tree
from wherry.errors import BadFileFormat, CannotDecode, ParameterOutOfRange

_BITS_OF_BYTE: Final = 8


class Image:
    """The image in a DICOM file."""

    shape: FrameShape
    tree: Tree

    def __init__(self, data: type_data, wanted: Collection[int] = ()) -> None:
        """Find it in the file ``data``, and the elements ``wanted`` too.

        Raises ``InexistentTag`` (there is none), ``BadFileFormat`` (it is none).
        """
        with readable(data):
            self.tree = Selection(data, (*NEEDED, *TAGS, *wanted))
            self._frames = Frames(self.tree)
        self.shape = shape_of(self.tree)

    @property
    def photometric(self) -> str:
        """Photometric interpretation of what ``frame`` gives."""
        return after_decoding(self.tree.syntax, self.shape)

    def frame(self, number: int) -> type_array:
        """Stored values of frame ``number``, from 0: rows × columns, × 3 of colours. It may be a
        view of the file.

        Raises ``ParameterOutOfRange``, ``BadFileFormat``, ``CannotDecode``.
        """
        if not 0 <= number < self.shape.frames:
            raise ParameterOutOfRange
        if self.shape.bits_allocated == 1 and not self._frames.is_encapsulated:
            return self._bits(number)
        pieces = self._frames.pieces(number)
        if self._is_swapped:
            return self._own(decode(EXPLICIT, self._bytes(*pieces[0]), self.shape))
        if sum(length for _, length in pieces) > limits.CODED_FRAME_BYTES:
            raise CannotDecode("A compressed frame that is too long")
        view = memoryview(self.tree.data)
        parts = [view[position : position + length] for position, length in pieces]
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        return self._own(decode(self.tree.syntax, data, self.shape))

    def _bits(self, number: int) -> type_array:
        """Frames of single bits follow each other without a gap (PS3.5 §8.1.1)."""
        shape = self.shape
        size = shape.rows * shape.columns * shape.samples
        first = number * size
        begin, end = first // _BITS_OF_BYTE, -(-(first + size) // _BITS_OF_BYTE)
        packed = self._bytes(self._frames.begin + begin, end - begin)
        bits = np.unpackbits(np.frombuffer(packed, "u1"), bitorder="little")
        return bits[first - begin * _BITS_OF_BYTE :][:size].reshape(shape.array)

    @property
    def _is_swapped(self) -> bool:
        """Whether bytes lie in words of the other byte order (PS3.5 §8.1.1, Annex A.3)."""
        is_words = self.tree.big_endian and self._frames.vr == "OW"
        return is_words and self.shape.bits_allocated <= _BITS_OF_BYTE

    def _bytes(self, position: int, length: int) -> memoryview:
        """Bytes of native pixel data. Raises ``BadFileFormat`` when they are not there."""
        view = memoryview(self.tree.data)
        if position + length > len(view):
            raise BadFileFormat("pixel data that are shorter than their frames")
        if not self._is_swapped:
            return view[position : position + length]
        odd = (position - self._frames.begin) % 2
        whole = view[position - odd : position + length + (length + odd) % 2]
        if len(whole) % 2:
            raise BadFileFormat("pixel data that end with half a word")
        return memoryview(np.frombuffer(whole, "u2").byteswap().tobytes())[odd : odd + length]

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
