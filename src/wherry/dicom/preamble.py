"""The beginning of a DICOM file: preamble, file meta information, transfer syntax (PS3.10 §7).

What: where the data set begins and how it is written; a guess where the file does not say.
Why: files without preamble, without meta information or with a wrong transfer syntax are old
friends. Not here: the data set itself.
"""

from __future__ import annotations

import struct
from itertools import repeat
from typing import Final

from wherry import limits
from wherry.dicom.elements import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_BIG,
    IMPLICIT_LITTLE,
    LONG_VRS,
    SHORT_VRS,
    Encoding,
    UnreadableError,
    type_data,
)

IMPLICIT: Final = "1.2.840.10008.1.2"
EXPLICIT: Final = "1.2.840.10008.1.2.1"
DEFLATED: Final = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN: Final = "1.2.840.10008.1.2.2"

ENCODINGS: Final = (EXPLICIT_LITTLE, IMPLICIT_LITTLE, EXPLICIT_BIG, IMPLICIT_BIG)

_NATIVE: Final = {
    IMPLICIT: IMPLICIT_LITTLE,
    EXPLICIT: EXPLICIT_LITTLE,
    DEFLATED: EXPLICIT_LITTLE,
    BIG_ENDIAN: EXPLICIT_BIG,
}
_ENCAPSULATED: Final = ("1.2.840.10008.1.2.4.", "1.2.840.10008.1.2.5")
_REFERENCED: Final = frozenset(("1.2.840.10008.1.2.4.94", "1.2.840.10008.1.2.4.95"))
"""JPIP: pixel data lie elsewhere, the data set is native."""

_VRS: Final = frozenset(vr.encode() for vr in (*SHORT_VRS, *LONG_VRS))
_MEDIA_STORAGE_SOP_CLASS: Final = 0x00020002  # both halves of these two tags, little endian
_TRANSFER_SYNTAX: Final = 0x00100002

_GREATEST_FIRST_GROUP: Final = 0x0020
"""A file without preamble must begin with a group up to this one; text does not."""


def is_encapsulated(syntax: str) -> bool:
    """Whether pixel data of this transfer syntax are fragments (PS3.5 §A.4)."""
    return syntax.startswith(_ENCAPSULATED) and syntax not in _REFERENCED


def other_encoding(encoding: Encoding) -> Encoding:
    """The same byte order with the other kind of VR."""
    if encoding.big_endian:
        return IMPLICIT_BIG if encoding.explicit else EXPLICIT_BIG
    return IMPLICIT_LITTLE if encoding.explicit else EXPLICIT_LITTLE


def looks_explicit(data: type_data, position: int) -> bool:
    """Whether the element at ``position`` has a value representation."""
    return bytes(data[position + 4 : position + 6]) in _VRS


def read_preamble(data: type_data) -> tuple[str, str, Encoding, int]:
    """Transfer syntax, Media Storage SOP Class UID, encoding and offset of the data set.

    The two UIDs are those of the file meta information, or what the encoding implies and "".
    Raises ``UnreadableError``.
    """
    position = 132 if data[128:132] == b"DICM" else 0
    syntax = sop_class = ""
    header, long_length = EXPLICIT_LITTLE.header.unpack_from, EXPLICIT_LITTLE.length.unpack_from
    short, long = EXPLICIT_LITTLE.short, EXPLICIT_LITTLE.long
    try:
        for _ in repeat(None, limits.DICOM_ELEMENTS):
            tag, vr, length = header(data, position)
            if tag & 0xFFFF != 2:
                break
            if vr in short:
                value = position + 8
            elif vr in long:
                value = position + 12
                (length,) = long_length(data, position + 8)
            else:
                raise UnreadableError("its meta information is not explicit")
            position = value + length
            if tag == _TRANSFER_SYNTAX:
                syntax = syntax or _uid(data[value:position])
            elif tag == _MEDIA_STORAGE_SOP_CLASS:
                sop_class = sop_class or _uid(data[value:position])
    except struct.error:
        if position != len(data) or not syntax:
            raise UnreadableError("its meta information is cut off") from None
    encoding = _NATIVE.get(syntax)
    if encoding is None:
        if syntax and syntax.startswith(_ENCAPSULATED):
            return syntax, sop_class, EXPLICIT_LITTLE, position
        encoding = _guess(data, position)
        syntax = syntax or _implied(encoding)
    return syntax, sop_class, encoding, position


def _uid(raw: bytes | bytearray | memoryview) -> str:
    if len(raw) > limits.DICOM_VALUE_BYTES:
        raise UnreadableError("its meta information holds a UID that is too long")
    return bytes(raw).rstrip(b" \0").decode("ascii", "ignore")


def _guess(data: type_data, position: int) -> Encoding:
    group = bytes(data[position : position + 2])
    little = int.from_bytes(group, "little")
    big = int.from_bytes(group, "big")
    if min(little, big) > _GREATEST_FIRST_GROUP:
        raise UnreadableError("it begins with no known element")
    explicit = looks_explicit(data, position)
    if big < little:
        return EXPLICIT_BIG if explicit else IMPLICIT_BIG
    return EXPLICIT_LITTLE if explicit else IMPLICIT_LITTLE


def _implied(encoding: Encoding) -> str:
    if encoding.big_endian:
        return BIG_ENDIAN
    return EXPLICIT if encoding.explicit else IMPLICIT
