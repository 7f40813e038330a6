"""The image of a file as people look at it: frames rid of the bits that are not theirs.

Why not ``codecs.image`` alone: who transcodes wants all bits of a word.
Not here: what values mean (``values``), how they are shown (``pictures``).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import numpy as np

from wherry.dicom.codecs import image
from wherry.dicom.codecs.native import type_array
from wherry.dicom.codecs.shape import TAGS
from wherry.dicom.elements import type_data
from wherry.dicom.frames import NEEDED
from wherry.dicom.json import readable
from wherry.dicom.tree import Selection, Tree
from wherry.errors import BadFileFormat, ParameterOutOfRange

_BITS_OF_BYTE: Final = 8


class Image(image.Image):
    """The image in a DICOM file."""

    tree: Tree

    def __init__(self, data: type_data, wanted: Collection[int] = ()) -> None:
        """Find it in the file ``data``, and the elements ``wanted`` too.

        Raises ``InexistentTag`` (there is none), ``BadFileFormat`` (it is none).
        """
        with readable(data):
            self.tree = Selection(data, (*NEEDED, *TAGS, *wanted))
        super().__init__(self.tree)

    def frame(self, number: int) -> type_array:
        """Stored values of frame ``number``, from 0: rows × columns, × 3 of colours. It may be a
        view of the file.

        Raises ``ParameterOutOfRange``, ``BadFileFormat``, ``CannotDecode``.
        """
        if not 0 <= number < self.shape.frames:
            raise ParameterOutOfRange
        if self.shape.bits_allocated == 1 and self.shape.native_bits % _BITS_OF_BYTE:
            return self._bits(number)
        return self._own(super().frame(number))

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
