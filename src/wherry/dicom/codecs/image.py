"""The frames of a DICOM file as arrays, one after the other."""

from __future__ import annotations

import numpy as np

from wherry import limits
from wherry.dicom.codecs.coding import decode
from wherry.dicom.codecs.colour import after_decoding
from wherry.dicom.codecs.native import type_array
from wherry.dicom.codecs.shape import TAGS, shape_of
from wherry.dicom.elements import type_data
from wherry.dicom.frames import NEEDED, Frames
from wherry.dicom.json import readable
from wherry.dicom.preamble import BIG_ENDIAN, EXPLICIT
from wherry.dicom.tree import Selection, Tree
from wherry.errors import CannotDecode


class Image:
    """A file with pixel data. Of use as long as its buffer; of deflated ones only the first
    ``limits.DICOM_HEADER_BYTES`` are seen."""

    def __init__(self, data: type_data | Tree) -> None:
        """``data``: the file, or its tree with the elements of ``codecs.shape.TAGS`` and
        ``frames.NEEDED``. Raises ``BadFileFormat``, ``InexistentTag`` (no pixel data)."""
        if isinstance(data, Tree):
            tree = data
        else:
            with readable(data):
                tree = Selection(data, (*NEEDED, *TAGS))
        with readable(tree.data):
            self._frames = Frames(tree)
        self._data = tree.data
        self._is_big_endian = tree.big_endian
        self.shape = shape_of(tree)
        self.syntax = tree.syntax
        """The transfer syntax of the file."""
        self.photometric = after_decoding(tree.syntax, self.shape)
        """Of decoded frames."""

    def coded(self, number: int) -> bytes | memoryview:
        """Frame ``number``, from 0, as ``decode`` takes it. Raises ``BadFileFormat``,
        ``CannotDecode``, ``ParameterOutOfRange``."""
        pieces = self._frames.pieces(number)
        view = memoryview(self._data)
        if self._frames.is_encapsulated:
            if sum(length for _, length in pieces) > limits.CODED_FRAME_BYTES:
                raise CannotDecode("A compressed frame that is too long")
            if len(pieces) == 1:
                ((start, length),) = pieces
                return view[start : start + length]
            return b"".join(view[start : start + length] for start, length in pieces)
        ((start, length),) = pieces
        if self._is_big_endian and self.shape.bits_allocated <= 8 and self._frames.vr == "OW":
            return self._turned(view, start, length)
        return view[start : start + length]

    def _turned(self, view: memoryview, start: int, length: int) -> bytes:
        """Bytes that lie in words of the other order (PS3.5 §7.3)."""
        begin = self._frames.begin
        first = start - (start - begin) % 2
        words = np.frombuffer(view[first : start + length + (start + length - first) % 2], "u2")
        return words.byteswap().tobytes()[start - first :][:length]

    def frame(self, number: int) -> type_array:
        """Frame ``number``, from 0, decoded: see ``decode``; perhaps a view of the buffer."""
        syntax = self.syntax
        if not self._frames.is_encapsulated:
            syntax = BIG_ENDIAN if self._is_big_endian else EXPLICIT
        return decode(syntax, self.coded(number), self.shape)
