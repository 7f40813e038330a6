"""The frames of a DICOM file as arrays, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

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
from wherry.errors import CannotDecode


class Image:
    """A file with pixel data. Of use as long as its buffer; of deflated ones only the first
    ``limits.DICOM_HEADER_BYTES`` are seen."""

    def __init__(
        self, data: type_data | Tree, read_at: Callable[[int, int], bytes] | None = None
    ) -> None:
        """``data``: the file, or its tree with the elements of ``codecs.shape.TAGS`` and
        ``frames.NEEDED``; ``read_at``: another way to at most so many bytes of it from an offset.
        Raises ``BadFileFormat``, ``InexistentTag`` (no pixel data)."""
        self._read_at = read_at
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
        if self._is_big_endian and self.shape.bits_allocated <= 8 and self._frames.vr == "OW":
            return self._turned(start, length)
        return self._bytes(start, length)

    def _bytes(self, start: int, length: int) -> bytes | memoryview:
        if self._read_at is not None:
            return self._read_at(start, length)
        return memoryview(self._data)[start : start + length]

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
            syntax = BIG_ENDIAN if self._is_big_endian else EXPLICIT
        return decode(syntax, self.coded(number), self.shape)
