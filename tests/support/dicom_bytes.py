"""DICOM files put together byte by byte, so that a test can make any part of them wrong."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable

UNDEFINED = 0xFFFFFFFF
LONG = ("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV")

EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
JPEG = "1.2.840.10008.1.2.4.50"

type_element = tuple[int, str, bytes]
"""Tag, VR, value."""

ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD


def even(value: bytes, padding: bytes = b" ") -> bytes:
    """``value`` with the padding that makes its length even."""
    return value + padding if len(value) & 1 else value


def explicit(
    tag: int, vr: str, value: bytes = b"", length: int | None = None, order: str = "<"
) -> bytes:
    """One element; ``length`` lies when it is not that of the value."""
    length = len(value) if length is None else length
    head = struct.pack(order + "HH", tag >> 16, tag & 0xFFFF) + vr.encode("latin-1")
    if vr in (*LONG, "ZZ"):
        return head + struct.pack(order + "HI", 0, length) + value
    return head + struct.pack(order + "H", length) + value


def implicit(tag: int, value: bytes = b"", length: int | None = None, order: str = "<") -> bytes:
    """One element without VR; also items and delimiters."""
    length = len(value) if length is None else length
    return struct.pack(order + "HHI", tag >> 16, tag & 0xFFFF, length) + value


def item(value: bytes = b"", length: int | None = None) -> bytes:
    return implicit(ITEM, value, length)


def open_item(value: bytes = b"") -> bytes:
    """An item of undefined length, with its end."""
    return implicit(ITEM, value, UNDEFINED) + implicit(ITEM_END)


def sequence(tag: int, *items: bytes) -> bytes:
    """A sequence of undefined length, with its end."""
    return explicit(tag, "SQ", b"".join(items), UNDEFINED) + implicit(SEQUENCE_END)


def fragments(*values: bytes) -> bytes:
    """Encapsulated pixel data, with their end."""
    items = b"".join(item(value) for value in values)
    return explicit(0x7FE00010, "OB", items, UNDEFINED) + implicit(SEQUENCE_END)


def raw_deflate(data: bytes) -> bytes:
    """``data`` as a deflated transfer syntax has it (PS3.5 §A.5)."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def pixels(count: int = 100) -> bytes:
    return explicit(0x7FE00010, "OW", bytes(count))


def meta(syntax: str | None = EXPLICIT, preamble: bytes = bytes(128)) -> bytes:
    """Preamble and file meta information."""
    group = explicit(0x00020001, "OB", b"\0\1")
    group += explicit(0x00020002, "UI", even(b"1.2.840.10008.5.1.4.1.1.7", b"\0"))
    group += explicit(0x00020003, "UI", even(b"1.2.3.3", b"\0"))
    if syntax is not None:
        group += explicit(0x00020010, "UI", even(syntax.encode(), b"\0"))
    length = explicit(0x00020000, "UL", struct.pack("<I", len(group)))
    return preamble + b"DICM" + length + group


UIDS: tuple[type_element, ...] = (
    (0x00080016, "UI", b"1.2.840.10008.5.1.4.1.1.7\0"),
    (0x00080018, "UI", b"1.2.3.3\0"),
    (0x00100020, "LO", b"P1"),
    (0x0020000D, "UI", b"1.2.3.1\0"),
    (0x0020000E, "UI", b"1.2.3.2\0"),
)


def data_set(
    *more: type_element, without: Iterable[int] = (), order: str = "<", vrs: bool = True
) -> bytes:
    """The elements that every instance needs, with others between or instead of them."""
    elements = {tag: (vr, value) for tag, vr, value in (*UIDS, *more)}
    return b"".join(
        explicit(tag, vr, value, order=order) if vrs else implicit(tag, value, order=order)
        for tag, (vr, value) in sorted(elements.items())
        if tag not in frozenset(without)
    )
