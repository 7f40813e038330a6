"""Writes DICOM files, explicit VR little endian, fast and byte for byte repeatable (PS3.10 §7).

Why not pydicom: a thousand slices differ in five elements; here an element is a ``bytes`` and a
file is their concatenation. What is written is checked with pydicom in the tests.

Not here: what the elements mean (``make_data``).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping, Sequence
from typing import Final

Text = str | int | float
Value = Text | bytes | Sequence[Text] | Sequence["Elements"]
Elements = Mapping[int, tuple[str, Value]]
"""Tag (``0xGGGGEEEE``) -> VR and value. A sequence (``SQ``) holds a list of ``Elements``."""

EXPLICIT_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1"
IMPLEMENTATION_UID: Final = "2.25.329800735698586629295641978511506172918"

_LONG_LENGTH: Final = frozenset({"OB", "OW", "SQ", "UC", "UN", "UR", "UT"})
_BINARY: Final = {"US": "<H", "SS": "<h", "UL": "<I", "SL": "<i", "FL": "<f", "FD": "<d"}


def uid(*parts: object) -> str:
    """A UID that depends on ``parts`` only (PS3.5 §B.2: a UUID in decimal below 2.25)."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"


def dicom_file(elements: Elements, pixel_data: bytes | Sequence[bytes] = b"") -> list[bytes]:
    """The pieces of one file, in order. ``pixel_data`` may come in pieces (frames)."""
    frames = [pixel_data] if isinstance(pixel_data, bytes) else list(pixel_data)
    meta = encode(
        {
            0x00020001: ("OB", b"\0\1"),
            0x00020002: ("UI", _text_of(elements, 0x00080016)),
            0x00020003: ("UI", _text_of(elements, 0x00080018)),
            0x00020010: ("UI", EXPLICIT_LITTLE_ENDIAN),
            0x00020012: ("UI", IMPLEMENTATION_UID),
            0x00020013: ("SH", "WHERRY_BENCH"),
        }
    )
    head = b"\0" * 128 + b"DICM" + _element(0x00020000, "UL", len(meta)) + meta + encode(elements)
    length = sum(map(len, frames))
    if length:
        head += struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, length)
    return [head, *frames]


def encode(elements: Elements) -> bytes:
    """A data set: its elements in ascending order of tags."""
    return b"".join(_element(tag, vr, value) for tag, (vr, value) in sorted(elements.items()))


def _text_of(elements: Elements, tag: int) -> str:
    value = elements[tag][1]
    assert isinstance(value, str)
    return value


def _element(tag: int, vr: str, value: Value) -> bytes:
    body = _body(vr, value)
    if vr in _LONG_LENGTH:
        return struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, vr.encode(), 0, len(body)) + body
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr.encode(), len(body)) + body


def _body(vr: str, value: Value) -> bytes:
    if isinstance(value, bytes):
        return value + b"\0" * (len(value) % 2)
    if vr == "SQ":
        assert not isinstance(value, Text)
        return b"".join(_item(encode(item)) for item in value)  # type: ignore[arg-type]
    values = [value] if isinstance(value, Text) else list(value)
    if vr in _BINARY:
        return b"".join(struct.pack(_BINARY[vr], number) for number in values)
    text = "\\".join(map(str, values)).encode("latin-1")
    return text + (b"\0" if vr == "UI" else b" ") * (len(text) % 2)


def _item(body: bytes) -> bytes:
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(body)) + body
