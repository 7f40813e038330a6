"""Videos in MP4 (ISO/IEC 14496-12): what their tables say of the first video track.

Only tables are looked at, never a picture; every number of boxes and entries is bounded.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from wherry import limits
from wherry.dicom.creating.video import Video, h264_syntax, hevc_syntax
from wherry.errors import BadFileFormat, UnsupportedMediaType

_ENTRY: Final = struct.Struct(">II")
_SAMPLE_ENTRY_BYTES: Final = 78
"""Of a visual sample entry, before the boxes in it (§12.1.3)."""
_QUICKTIME: Final = b"qt  "
_MOST_FRAMES: Final = 2**31 - 1
"""What a number of frames can say (VR IS, PS3.5 §6.2)."""
_AVC: Final = frozenset((b"avc1", b"avc3"))
_HEVC: Final = frozenset((b"hvc1", b"hev1"))


def is_mp4(data: memoryview) -> bool:
    """Whether it begins as such a file does."""
    return bytes(data[4:8]) == b"ftyp"


def mp4_video(data: memoryview) -> Video:
    """The video in this file. Raises ``BadFileFormat``, ``UnsupportedMediaType``."""
    try:
        return _video(data)
    except (struct.error, IndexError):
        raise BadFileFormat("An MP4 file with a broken table") from None


class _Boxes:
    """Counts what is looked at."""

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self._left = limits.VIDEO_PIECES

    def walk(self, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
        """Type, begin and end of the content of each box."""
        while start + 8 <= end:
            self._left -= 1
            if self._left < 0:
                raise BadFileFormat("An MP4 file of too many boxes")
            size, kind = struct.unpack_from(">I4s", self.data, start)
            head = 8
            if size == 1:
                (size,) = struct.unpack_from(">Q", self.data, start + 8)
                head = 16
            elif size == 0:
                size = end - start
            if size < head or start + size > end:
                raise BadFileFormat("An MP4 file that is cut off")
            yield kind, start + head, start + size
            start += size

    def inside(self, place: tuple[int, int], *path: bytes) -> tuple[int, int]:
        """The first box at the end of this path. Raises ``BadFileFormat``."""
        for name in path:
            for kind, begin, end in self.walk(*place):
                if kind == name:
                    place = begin, end
                    break
            else:
                raise BadFileFormat(f"An MP4 file without {name.decode()}")
        return place


def _video(data: memoryview) -> Video:
    if bytes(data[8:12]) == _QUICKTIME:
        raise UnsupportedMediaType("QuickTime files are not MP4 (PS3.5 §8.2.7)")
    boxes = _Boxes(data)
    whole = 0, len(data)
    kinds = {kind for kind, _, _ in boxes.walk(*whole)}
    if b"moof" in kinds:
        raise UnsupportedMediaType("MP4 files in fragments are not supported")
    if b"mdat" not in kinds:
        raise BadFileFormat("An MP4 file that is cut off")
    for kind, begin, end in boxes.walk(*boxes.inside(whole, b"moov")):
        if kind == b"trak" and _handler(boxes, (begin, end)) == b"vide":
            return _track(boxes, boxes.inside((begin, end), b"mdia"))
    raise BadFileFormat("An MP4 file without a video")


def _handler(boxes: _Boxes, track: tuple[int, int]) -> bytes:
    begin, _ = boxes.inside(track, b"mdia", b"hdlr")
    return bytes(boxes.data[begin + 8 : begin + 12])


def _track(boxes: _Boxes, media: tuple[int, int]) -> Video:
    table = boxes.inside(media, b"minf", b"stbl")
    frames, duration = _frames(boxes, boxes.inside(table, b"stts"))
    scale = _scale(boxes.data, boxes.inside(media, b"mdhd")[0])
    if not (0 < frames <= _MOST_FRAMES and duration and scale):
        raise BadFileFormat("An MP4 file without frames")
    frame_time_ms = 1000 * duration / scale / frames
    begin, end = boxes.inside(table, b"stsd")
    (count,) = struct.unpack_from(">I", boxes.data, begin + 4)
    if count != 1:
        raise UnsupportedMediaType("MP4 files whose video changes are not supported")
    kind, begin, end = next(boxes.walk(begin + 8, end), (b"", 0, 0))
    columns, rows = struct.unpack_from(">HH", boxes.data, begin + 24)
    configuration = begin + _SAMPLE_ENTRY_BYTES, end
    if kind in _AVC:
        at, _ = boxes.inside(configuration, b"avcC")
        profile, constraints, level = boxes.data[at + 1 : at + 4]
        syntax, bits, method = h264_syntax(profile, constraints, level), 8, "ISO_14496_10"
    elif kind in _HEVC:
        at, _ = boxes.inside(configuration, b"hvcC")
        told, level = boxes.data[at + 1], boxes.data[at + 12]
        syntax, bits = hevc_syntax(told & 31, told >> 5 & 1, level)
        method = "ISO_23008_2"
    else:
        raise UnsupportedMediaType(f"No transfer syntax for {kind.decode('latin-1')!r} in MP4")
    return Video(syntax, method, rows, columns, frames, frame_time_ms, bits)


def _scale(data: memoryview, begin: int) -> int:
    """Units a second."""
    scale: int = struct.unpack_from(">I", data, begin + (20 if data[begin] else 12))[0]
    return scale


def _frames(boxes: _Boxes, place: tuple[int, int]) -> tuple[int, int]:
    """Number and duration of all frames (§8.6.1.2)."""
    begin, end = place
    (count,) = struct.unpack_from(">I", boxes.data, begin + 4)
    if count > limits.VIDEO_PIECES or begin + 8 + count * _ENTRY.size > end:
        raise BadFileFormat("An MP4 file with a broken table")
    frames = duration = 0
    for number, delta in _ENTRY.iter_unpack(boxes.data[begin + 8 : begin + 8 + count * 8]):
        frames += number
        duration += number * delta
    return frames, duration
