"""Run lengths of the bytes of a frame (PS3.5 Annex G): one segment for each byte of a pixel."""

from __future__ import annotations

import struct
from typing import Final

import numpy as np
from imagecodecs import packbits_decode, packbits_encode

from wherry.dicom.codecs.native import extended, type_array
from wherry.dicom.codecs.shape import FrameShape
from wherry.errors import BadFileFormat

_HEADER: Final = struct.Struct("<16I")
_MOST_SEGMENTS: Final = 15
_PADDING: Final = 256
"""So much of a segment may lie behind its pixels."""


def decode(data: bytes | memoryview, shape: FrameShape) -> type_array:
    """Raises ``BadFileFormat`` when it is not so many segments of so many bytes."""
    itemsize = shape.bits_allocated // 8
    if not itemsize:
        raise BadFileFormat("run lengths of single bits")
    if len(data) < _HEADER.size:
        raise BadFileFormat("run lengths without a header")
    count, *offsets = _HEADER.unpack_from(data)
    if count != itemsize * shape.samples or count > _MOST_SEGMENTS:
        raise BadFileFormat("run lengths of another number of bytes than the image has")
    starts = [*offsets[:count], len(data)]
    if starts[0] < _HEADER.size or starts != sorted(starts):
        raise BadFileFormat("run lengths at wrong places")
    pixels = shape.rows * shape.columns
    # the first segment has the highest bytes of the first sample
    planes = np.empty((pixels, shape.samples, itemsize), "u1")
    for number in range(count):
        segment = bytes(data[starts[number] : starts[number + 1]])
        sample, byte = divmod(number, itemsize)
        planes[:, sample, itemsize - 1 - byte] = _unpacked(segment, pixels)
    return extended(planes.view(f"<{shape.dtype}").reshape(shape.array), shape)


def _unpacked(segment: bytes, size: int) -> type_array:
    """So many bytes of a segment; a few more are padding."""
    out = packbits_decode(segment, out=bytearray(size + _PADDING))
    if len(out) < size:
        raise BadFileFormat("run lengths that end too early")
    return np.frombuffer(out, "u1", size)


def encode(array: type_array) -> bytes:
    """Each row by itself (§G.3.1)."""
    rows, columns = array.shape[:2]
    kind = array.dtype.newbyteorder("<")
    planes = array.astype(kind, copy=False).view("u1").reshape(rows, columns, -1, kind.itemsize)
    segments = []
    for sample in range(planes.shape[2]):
        for byte in reversed(range(kind.itemsize)):
            plane = np.frombuffer(planes[:, :, sample, byte].tobytes(), "u1")
            packed = bytes(packbits_encode(plane.reshape(rows, columns), axis=-1))
            segments.append(packed + b"\0" * (len(packed) % 2))
    starts, position = [], _HEADER.size
    for segment in segments:
        starts.append(position)
        position += len(segment)
    header = _HEADER.pack(len(segments), *starts, *[0] * (_MOST_SEGMENTS - len(segments)))
    return header + b"".join(segments)
