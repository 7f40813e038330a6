"""MPEG-2 videos (ITU-T H.262), as an elementary stream or in a program stream (ITU-T H.222.0).

The sequence header tells sizes and rate; frames are counted by the headers of their pictures, so
that all of the stream is read, in pieces.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import Final

from wherry import limits
from wherry.dicom.creating.video import Video, mpeg2_syntax
from wherry.errors import BadFileFormat, UnsupportedMediaType

_PACK, _SYSTEM_END = 0xBA, 0xB9
_VIDEO: Final = range(0xE0, 0xF0)
_SEQUENCE: Final = b"\0\0\1\xb3"
_EXTENSION: Final = b"\0\0\1\xb5"
_PICTURE: Final = re.compile(rb"\x00\x00\x01\xb5[\x80-\x8f].(.)", re.DOTALL)
"""Picture coding extension, and the byte that ends with ``picture_structure`` (§6.2.3.1)."""
_CARRIED: Final = 6
"""Bytes of such a header but one."""
_RATES: Final = (0, 24000 / 1001, 24, 25, 30000 / 1001, 30, 50, 60000 / 1001, 60)
_WHOLE_PICTURE: Final = 3


def is_mpeg2(data: memoryview) -> bool:
    """Whether it begins as such a stream does."""
    return bytes(data[:4]) in (_SEQUENCE, b"\0\0\1\xba")


def mpeg2_video(data: memoryview) -> Video:
    """The video in this stream. Raises ``BadFileFormat``, ``UnsupportedMediaType``."""
    try:
        return _video(_packets(data) if data[3] == _PACK else _pieces(data, 0, len(data)))
    except (struct.error, IndexError):
        raise BadFileFormat("An MPEG-2 stream that is cut off") from None


def _video(pieces: Iterator[bytes]) -> Video:
    start = b""
    for piece in pieces:
        start += piece
        if len(start) >= 4096:
            break
    sequence, extension = start.find(_SEQUENCE), start.find(_EXTENSION)
    if sequence < 0:
        raise BadFileFormat("An MPEG-2 stream without a sequence header")
    if extension < 0 or start[extension + 4] >> 4 != 1:
        raise UnsupportedMediaType("MPEG-1 videos are not supported")
    sizes, rate = struct.unpack_from(">IB", b"\0" + start[sequence + 4 : sequence + 8])
    (more,) = struct.unpack_from(">I", start, extension + 4)
    columns = sizes >> 12 | (more >> 15 & 3) << 12
    rows = sizes & 0xFFF | (more >> 13 & 3) << 12
    frame_rate = _RATES[rate & 15] if rate & 15 < len(_RATES) else 0
    if not frame_rate:
        raise BadFileFormat("An MPEG-2 stream of no known frame rate")
    syntax = mpeg2_syntax(more >> 20 & 0xFF)
    frames = _count(start, pieces)
    if not frames:
        raise BadFileFormat("An MPEG-2 stream without pictures")
    return Video(syntax, "ISO_13818_2", rows, columns, frames, 1000 / frame_rate)


def _count(piece: bytes, rest: Iterator[bytes]) -> int:
    """Frames: pictures that are whole, and pairs of fields."""
    fields = 0
    while piece:
        for match in _PICTURE.finditer(piece):
            fields += 2 if match[1][0] & 3 == _WHOLE_PICTURE else 1
        following = next(rest, b"")
        piece = piece[-_CARRIED:] + following if following else b""
    return fields // 2


def _packets(data: memoryview) -> Iterator[bytes]:
    """The video in a program stream (ITU-T H.222.0 §2.5)."""
    position = 0
    for _ in range(limits.VIDEO_PIECES):
        if position + 4 > len(data):
            return
        if bytes(data[position : position + 3]) != b"\0\0\1":
            raise BadFileFormat("An MPEG-2 program stream with something else than packets in it")
        stream = data[position + 3]
        if stream == _SYSTEM_END:
            return
        if stream == _PACK:
            if data[position + 4] >> 6 != 1:
                raise UnsupportedMediaType("MPEG-1 videos are not supported")
            position += 14 + (data[position + 13] & 7)
            continue
        (length,) = struct.unpack_from(">H", data, position + 4)
        end = min(position + 6 + length, len(data))
        if stream in _VIDEO and (piece := data[position + 9 + data[position + 8] : end]):
            yield bytes(piece)
        position = end
    raise BadFileFormat("An MPEG-2 stream of too many packets")


def _pieces(data: memoryview, start: int, end: int) -> Iterator[bytes]:
    for position in range(start, end, limits.READ_CHUNK_BYTES):
        yield bytes(data[position : min(position + limits.READ_CHUNK_BYTES, end)])
