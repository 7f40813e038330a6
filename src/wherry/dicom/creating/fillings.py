"""What a content makes of an instance: attributes, transfer syntax, what stands around its bytes.

Pixels that are decoded are native, explicit little endian. A JPEG that is kept, and videos, are
one fragment behind an empty offset table (PS3.5 §A.4, §8.2). Documents are a value of their own
(PS3.3 §C.24.2).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from wherry.dicom.codecs.headers import Declared, declared
from wherry.dicom.codecs.syntaxes import BASELINE, METHODS
from wherry.dicom.creating.video import Video
from wherry.dicom.editing.encoding import head
from wherry.dicom.elements import (
    EXPLICIT_LITTLE,
    ITEM,
    PIXEL_DATA,
    UNDEFINED,
    type_data,
)
from wherry.dicom.preamble import EXPLICIT
from wherry.errors import BadFileFormat, TooLarge

SOP_CLASS: Final = 0x00080016
MODALITY: Final = 0x00080060
VIDEO_PHOTOGRAPHIC: Final = "1.2.840.10008.5.1.4.1.1.77.1.4.1"
_LONGEST: Final = UNDEFINED - 1
_SIDE: Final = 0xFFFF
"""Rows and columns have 16 bits."""
_NOTHING: Final[Mapping[int, Any]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Filling:
    """How a content lies in a file."""

    tag: int
    head: bytes
    """What stands before its bytes, beginning with the tag."""
    tail: bytes
    """What stands behind them: padding, the end of fragments."""
    decided: Mapping[int, Any]
    """Attributes, whatever was asked for."""
    defaults: Mapping[int, Any]
    """Attributes where none was asked for."""
    syntax: str = EXPLICIT


def native(rows: int, columns: int, samples: int, bits: int, size: int) -> Filling:
    """Unsigned pixels as they are in memory. Raises ``BadFileFormat`` for an image too wide or too
    high."""
    attributes = _image(rows, columns, samples, bits)
    return _plain_pixels(size, attributes)


def raw(size: int) -> Filling:
    """Bytes that are called pixel data; what they mean is for the tags of the request to say."""
    return _plain_pixels(size, _NOTHING)


def kept_jpeg(data: type_data) -> Filling:
    """A JPEG as it is. Raises ``BadFileFormat`` when it is not baseline (PS3.5 §A.4.1)."""
    found = declared(BASELINE, memoryview(data))
    if found.precision != 8 or found.samples not in (1, 3) or not _is_baseline(data):
        raise BadFileFormat("Only a baseline JPEG of 8 bits can be encapsulated")
    attributes = _image(found.rows, found.columns, found.samples, 8)
    if found.samples == 3:
        attributes[0x00280004] = _photometric(data, found)
    plain = found.rows * found.columns * found.samples
    attributes |= _lossy(METHODS[BASELINE], plain, len(data))
    return _fragment(BASELINE, len(data), attributes, _NOTHING)


def film(video: Video, size: int) -> Filling:
    """A video as it is (PS3.3 §A.32.7, §C.7.6.5; PS3.5 §8.2.5 to §8.2.9)."""
    attributes = _image(video.rows, video.columns, 3, 16 if video.bits > 8 else 8)
    attributes |= {
        0x00280004: "YBR_PARTIAL_420",
        0x00280006: "0",
        0x00280008: str(video.frames),
        0x00280009: "00181063",  # Frame Increment Pointer to Frame Time
        0x00280101: str(video.bits),
        0x00280102: str(video.bits - 1),
        0x00181063: f"{video.frame_time_ms:.6g}",
        **_lossy(video.method, video.rows * video.columns * 3 * video.frames, size),
    }
    defaults = {
        SOP_CLASS: VIDEO_PHOTOGRAPHIC,
        MODALITY: "XC",
        0x00080008: "ORIGINAL\\PRIMARY",
        0x00180040: str(max(1, round(1000 / video.frame_time_ms))),  # Cine Rate
        0x00200011: "1",
        0x00200013: "1",
    }
    return _fragment(video.syntax, size, attributes, defaults)


def value(tag: int, size: int, decided: Mapping[int, Any], defaults: Mapping[int, Any]) -> Filling:
    """Bytes that are a value of VR OB."""
    _check_size(size)
    even = size + (size & 1)
    return Filling(tag, head(tag, "OB", even, EXPLICIT_LITTLE), bytes(size & 1), decided, defaults)


def _plain_pixels(size: int, attributes: Mapping[int, Any]) -> Filling:
    _check_size(size)
    even = size + (size & 1)
    start = head(PIXEL_DATA, "OW", even, EXPLICIT_LITTLE)
    return Filling(PIXEL_DATA, start, bytes(size & 1), attributes, _NOTHING)


def _fragment(
    syntax: str, size: int, decided: Mapping[int, Any], defaults: Mapping[int, Any]
) -> Filling:
    _check_size(size)
    even = size + (size & 1)
    start = b"".join(
        (
            head(PIXEL_DATA, "OB", UNDEFINED, EXPLICIT_LITTLE),
            head(ITEM, "", 0, EXPLICIT_LITTLE),  # the offset table
            head(ITEM, "", even, EXPLICIT_LITTLE),
        )
    )
    end = EXPLICIT_LITTLE.item_header.pack(EXPLICIT_LITTLE.sequence_end, 0)
    return Filling(PIXEL_DATA, start, bytes(size & 1) + end, decided, defaults, syntax)


def _image(rows: int, columns: int, samples: int, bits: int) -> dict[int, Any]:
    if not (0 < rows <= _SIDE and 0 < columns <= _SIDE):
        raise BadFileFormat(f"An image has 1 to {_SIDE} rows and columns")
    attributes = {
        0x00280002: str(samples),
        0x00280004: "MONOCHROME2" if samples == 1 else "RGB",
        0x00280010: str(rows),
        0x00280011: str(columns),
        0x00280100: str(bits),
        0x00280101: str(bits),
        0x00280102: str(bits - 1),
        0x00280103: "0",
    }
    if samples > 1:
        attributes[0x00280006] = "0"
    return attributes


def _lossy(method: str, plain_bytes: int, coded_bytes: int) -> dict[int, Any]:
    ratio = plain_bytes / max(1, coded_bytes)
    return {0x00282110: "01", 0x00282112: f"{ratio:.5g}", 0x00282114: method}


def _is_baseline(data: type_data) -> bool:
    """Whether the first frame header is of the baseline process: the others have SOF of their own
    (ISO 10918-1 table B.1). ``declared`` has read this far."""
    return _frame_header(data)[0] == 0xC0


def _photometric(data: type_data, found: Declared) -> str:
    """What is inside a JPEG of three samples (PS3.5 §8.2.1)."""
    if found.transform == 0:
        return "RGB"
    factors = _frame_header(data)[1]
    return "YBR_FULL" if len(set(factors)) == 1 else "YBR_FULL_422"


def _frame_header(data: type_data) -> tuple[int, bytes]:
    """The marker of the frame header and the sampling factors in it."""
    position = 2
    while True:
        marker = data[position + 1]
        if marker == 0xFF:
            position += 1
            continue
        if marker in (0x01, *range(0xD0, 0xD9)):
            position += 2
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            samples = data[position + 9]
            return marker, bytes(data[position + 11 : position + 11 + 3 * samples : 3])
        position += 2 + struct.unpack_from(">H", data, position + 2)[0]


def _check_size(size: int) -> None:
    if size >= _LONGEST:
        raise TooLarge("A value has less than 4 GiB")
