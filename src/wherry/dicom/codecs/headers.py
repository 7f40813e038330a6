"""What a code stream says of itself, read without decoding it.

Why: a decoder makes room for what the code stream declares. One of a hundred bytes that declares
65535² pixels is refused before any decoder sees it.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from wherry.dicom.codecs.syntaxes import JPEG, JPEG_LS, WAVELET
from wherry.errors import BadFileFormat

_FRAME_HEADERS: Final = frozenset((*range(0xC0, 0xD0), 0xF7)) - {0xC4, 0xC8, 0xCC}
"""SOF0 to SOF15 (ISO 10918-1 table B.1) and SOF55 of JPEG-LS (ISO 14495-1 §C.1)."""
_PROCESSES: Final = frozenset((0xC0, 0xC1, 0xC2, 0xC3, 0xF7))
"""Baseline, extended, progressive, lossless, JPEG-LS; not hierarchical, not arithmetic."""
_ALONE: Final = frozenset((0x01, *range(0xD0, 0xD9)))
"""Markers without a segment."""
_END, _SCAN, _JFIF, _ADOBE = 0xD9, 0xDA, 0xE0, 0xEE
_FILE_FORMAT: Final = b"\0\0\0\x0cjP  "
"""How JP2, the file format around JPEG 2000, begins: not allowed, but seen (PS3.5 §A.4.4)."""
_SIZ: Final = struct.Struct(">2xH2xIIIIIIIIH")
_SIZ_AT: Final = 2
_MOST_BOXES: Final = 64
_MOST_SAMPLES: Final = 4
_TRANSFORMED_AT: Final = 8
"""Where COD says whether colours were transformed, from its marker (ISO 15444-1 §A.6.1)."""


class Declared(NamedTuple):
    """What it will decode to."""

    rows: int
    columns: int
    samples: int
    precision: int
    """Bits of a sample."""
    signed: bool
    transform: int | None
    """Whether its colour was transformed, 0 or 1: as Adobe's marker, the names of the components or
    JFIF, which knows nothing else, say it of JPEG; None: it does not say."""


def declared(syntax: str, data: bytes | memoryview) -> Declared:
    """The header of this code stream. Raises ``BadFileFormat``."""
    try:
        if syntax in JPEG or syntax in JPEG_LS:
            return _jpeg(data)
        if syntax in WAVELET:
            return _jpeg_2000(data)
    except (struct.error, IndexError):
        raise BadFileFormat("a code stream that is cut off") from None
    raise BadFileFormat("a code stream of a kind that is not known")


def _jpeg(data: bytes | memoryview) -> Declared:
    if bytes(data[:2]) != b"\xff\xd8":
        raise BadFileFormat("no JPEG code stream")
    position, transform = 2, None
    while True:
        if data[position] != 0xFF:
            raise BadFileFormat("a JPEG code stream with something else than markers in its header")
        marker = data[position + 1]
        position += 1
        if marker == 0xFF:  # they may be filled up (ISO 10918-1 §B.1.1.2)
            continue
        position += 1
        if marker in _ALONE:
            continue
        if marker in (_END, _SCAN):
            raise BadFileFormat("a JPEG code stream without a frame header")
        (length,) = struct.unpack_from(">H", data, position)
        if length < 2:
            raise BadFileFormat("a JPEG segment that is too short")
        if marker in _FRAME_HEADERS:
            if marker not in _PROCESSES:
                raise BadFileFormat("a JPEG process that is not supported")
            precision, rows, columns, samples = struct.unpack_from(">BHHB", data, position + 2)
            if bytes(data[position + 8 : position + 8 + 3 * samples : 3]).upper() == b"RGB":
                transform = 0
            return Declared(rows, columns, samples, precision, False, transform)
        if marker == _ADOBE and length >= 14 and bytes(data[position + 2 :][:5]) == b"Adobe":
            transform = int(data[position + 13] != 0)
        elif marker == _JFIF and transform is None and bytes(data[position + 2 :][:4]) == b"JFIF":
            transform = 1
        position += length


def start_of_jpeg_2000(data: bytes | memoryview) -> int:
    """Where the code stream begins: at once, or in the file format that is around it."""
    if bytes(data[:8]) != _FILE_FORMAT:
        return 0
    position = 0
    for _ in range(_MOST_BOXES):
        length, name = struct.unpack_from(">I4s", data, position)
        head = 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, position + 8)
            head = 16
        if name == b"jp2c":
            return position + head
        if length < head:
            break
        position += length
    raise BadFileFormat("a JPEG 2000 file without a code stream")


def _jpeg_2000(data: bytes | memoryview) -> Declared:
    start = start_of_jpeg_2000(data)
    if bytes(data[start : start + 4]) != b"\xff\x4f\xff\x51":
        raise BadFileFormat("no JPEG 2000 code stream")
    position = start + _SIZ_AT
    length, right, bottom, left, top, *_, samples = _SIZ.unpack_from(data, position)
    if not 0 < samples <= _MOST_SAMPLES or length != 38 + 3 * samples:
        raise BadFileFormat("a JPEG 2000 code stream with a wrong header")
    position += _SIZ.size
    components = {bytes(data[position + 3 * n : position + 3 * n + 3]) for n in range(samples)}
    if len(components) != 1 or len(component := components.pop()) != 3:
        raise BadFileFormat("a JPEG 2000 code stream whose components differ")
    if component[1:] != b"\1\1":
        raise BadFileFormat("a JPEG 2000 code stream with subsampled components")
    transform = _transform(data, start + _SIZ_AT + 2 + length)
    precision, signed = (component[0] & 0x7F) + 1, component[0] >= 0x80
    return Declared(bottom - top, right - left, samples, precision, signed, transform)


def _transform(data: bytes | memoryview, position: int) -> int | None:
    """Of the first COD in the main header."""
    for _ in range(_MOST_BOXES):
        marker, length = struct.unpack_from(">HH", data, position)
        if marker == 0xFF52:
            return int(data[position + _TRANSFORMED_AT] != 0)
        if marker == 0xFF90 or length < 2:
            return None
        position += 2 + length
    return None
