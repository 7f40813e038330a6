"""What is said of an image that has lost something (PS3.3 §C.7.6.1.1.5, §C.7.6.1.1.3)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

from wherry.dicom.codecs.syntaxes import METHODS
from wherry.dicom.dicomdir.writing import element
from wherry.dicom.elements import UNDEFINED
from wherry.dicom.reencode import Heads
from wherry.dicom.transcoding.parts import New

IMAGE_TYPE, SOP_CLASS, SOP_INSTANCE = 0x00080008, 0x00080016, 0x00080018
DESCRIPTION, SOURCES, CODES = 0x00082111, 0x00082112, 0x00089215
LOST, RATIO, METHOD = 0x00282110, 0x00282112, 0x00282114
TAGS: Final = (IMAGE_TYPE, SOP_CLASS, SOP_INSTANCE, SOURCES, CODES, LOST, RATIO, METHOD)

_DECIMAL_BYTES: Final = 16
"""A decimal string at its longest (PS3.5 §6.2)."""
_HEADS: Final = Heads(explicit=True, big_endian=False)
_NAMES: Final = {"ISO_10918_1": "JPEG", "ISO_14495_1": "JPEG-LS", "ISO_15444_1": "JPEG 2000"}


def new_uid(old: str, syntax: str, quality: int) -> str:
    """The SOP Instance UID of the image that is made of another one: the same for the same, so that
    who fetches it twice has one image (PS3.5 §B.2)."""
    digest = hashlib.sha256(f"{old}|{syntax}|{quality}".encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"


def edits(
    known: dict[int, bytes], uid: str, syntax: str, quality: int, on_ratio: Callable[[int], None]
) -> dict[int, New]:
    """Elements of the lossy image ``uid``; ``known``: values of ``TAGS`` in the source, padding
    gone. ``on_ratio`` is told where the ratio of sizes has to be written, once it is known."""
    method = METHODS[syntax]
    kind = known.get(IMAGE_TYPE, b"")
    words = f"Lossy compression with {_NAMES[method]}, quality {quality}"
    earlier = [known[RATIO]] if known.get(RATIO) else []
    ratios = b"".join(one + b"\\" for one in earlier) + b" " * _DECIMAL_BYTES
    offset = len(ratios) - _DECIMAL_BYTES
    methods = [known[METHOD]] if known.get(METHOD) else []
    found = [
        New(IMAGE_TYPE, "CS", _padded(b"\\".join([b"DERIVED", *kind.split(b"\\")[1:]]))),
        New(SOP_INSTANCE, "UI", _padded(uid.encode(), b"\0")),
        New(DESCRIPTION, "ST", _padded(words.encode())),
        New(LOST, "CS", b"01"),
        New(RATIO, "DS", _padded(ratios), lambda at: on_ratio(at + offset)),
        New(METHOD, "CS", _padded(b"\\".join([*methods, method.encode()]))),
    ]
    if SOURCES not in known and uid.encode() != known.get(SOP_INSTANCE):
        reference = element(0x00081150, "UI", known.get(SOP_CLASS, b""))
        reference += element(0x00081155, "UI", known.get(SOP_INSTANCE, b""))
        purpose = _code(b"121320", b"Uncompressed predecessor")
        reference += _HEADS.element(0x0040A170, "SQ", UNDEFINED) + purpose
        found.append(New(SOURCES, "SQ", _sequence(reference)))
    if CODES not in known:
        found.append(New(CODES, "SQ", _code(b"113040", b"Lossy Compression")))
    return {one.tag: one for one in found}


def ratio(before: int, after: int) -> bytes:
    """Lossy Image Compression Ratio (0028,2112), as long as its place."""
    return f"{before / max(1, after):.4f}".encode()[:_DECIMAL_BYTES].ljust(_DECIMAL_BYTES)


def _code(value: bytes, meaning: bytes) -> bytes:
    """One code of DICOM's own, as a sequence (PS3.16)."""
    return _sequence(
        element(0x00080100, "SH", value)
        + element(0x00080102, "SH", b"DCM")
        + element(0x00080104, "LO", meaning)
    )


def _sequence(item: bytes) -> bytes:
    """Items without lengths, and their end."""
    return _HEADS.item + item + _HEADS.item_end + _HEADS.sequence_end


def _padded(value: bytes, padding: bytes = b" ") -> bytes:
    return value + padding if len(value) % 2 else value
