"""Native frames (PS3.5 §8.1.1, PS3.3 §C.7.6.3.1): words in a row, as arrays and back."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wherry.dicom.codecs.shape import HALVED, FrameShape
from wherry.errors import BadFileFormat

type_array = NDArray[Any]


def decode(data: bytes | memoryview, shape: FrameShape, *, big_endian: bool) -> type_array:
    """One frame; a view of ``data`` where that is what it takes. Words keep the bits that are not
    stored, except that signed ones become whole.

    Raises ``BadFileFormat`` when it is too short.
    """
    size = (shape.native_bits + 7) // 8
    if len(data) < size:
        raise BadFileFormat("a frame that is shorter than its size says")
    if shape.bits_allocated == 1:
        bits = np.unpackbits(np.frombuffer(data, "u1", size), bitorder="little")
        return bits[: shape.rows * shape.columns * shape.samples].reshape(shape.array)
    kind = np.dtype(shape.dtype)
    words = np.frombuffer(
        data, kind.newbyteorder(">" if big_endian else "<"), size // kind.itemsize
    )
    if big_endian:
        words = words.astype(kind)
    if shape.photometric == HALVED:
        return _whole_colour(words, shape)
    if shape.samples > 1 and shape.planar:
        words = words.reshape(shape.samples, shape.rows, shape.columns).transpose(1, 2, 0)
    return extended(words.reshape(shape.array), shape)


def _whole_colour(words: type_array, shape: FrameShape) -> type_array:
    """Y1 Y2 Cb Cr: two pixels of one colour (PS3.3 §C.7.6.3.1.2)."""
    if shape.columns % 2 or shape.samples != 3:
        raise BadFileFormat("an image with half of its colour and an odd width")
    pairs = words.reshape(shape.rows, shape.columns // 2, 4)
    whole = np.empty((shape.rows, shape.columns // 2, 2, 3), words.dtype)
    whole[..., 0] = pairs[..., :2]
    whole[..., 1] = pairs[..., 2:3]
    whole[..., 2] = pairs[..., 3:4]
    return whole.reshape(shape.array)


def extended(words: type_array, shape: FrameShape, bits: int = 0) -> type_array:
    """With the sign of the bits stored, or of so many ``bits``, in all bits above them."""
    unused = words.dtype.itemsize * 8 - (bits or shape.precision)
    if not shape.signed or not unused:
        return words
    kind = words.dtype.type
    whole: type_array = np.right_shift(np.left_shift(words, kind(unused)), kind(unused))
    return whole


def encode(array: type_array, shape: FrameShape, *, big_endian: bool) -> bytes:
    """One frame, colour by pixel; single bits fill up the last byte."""
    if shape.bits_allocated == 1:
        return np.packbits(array, bitorder="little").tobytes()
    return array.astype(array.dtype.newbyteorder(">" if big_endian else "<"), copy=False).tobytes()
