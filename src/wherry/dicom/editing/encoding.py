"""From values as JSON has them to elements of a data set (PS3.5 §6.2, §7).

What: texts in a character set, numbers by their VR, lists of objects as sequences, data URIs as
bytes; heads and padding in any native encoding. Why: whoever edits or creates a DICOM file is given
such values. Not here: which elements are wanted (``rules``), what the values mean.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
from array import array
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from wherry import limits
from wherry.dicom.charsets import CharacterSet
from wherry.dicom.dictionary import lookup, lookup_private
from wherry.dicom.editing.paths import tag_number
from wherry.dicom.elements import ITEM, LONG_VRS, Encoding
from wherry.dicom.tags import shown
from wherry.dicom.values import TEXT_VRS
from wherry.errors import BadFileFormat, BadParameterType, ParameterOutOfRange, UnknownDicomTag

CHARACTER_SET: Final = 0x00080005

_LONG: Final = frozenset(LONG_VRS)
_SPACED: Final = TEXT_VRS - {"UI"}
"""What is padded with a space (PS3.5 §6.2)."""
_SHORT_BYTES: Final = 0xFFFF
"""What a length of 16 bits can say."""
_INTEGERS: Final = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "UV": "Q", "SV": "q"}
_REALS: Final = {"FL": "f", "FD": "d"}
_WORDS: Final = {"OW": "H", "OL": "I", "OF": "I", "OV": "Q", "OD": "Q"}
_SIZES: Final = {"H": 2, "I": 4, "Q": 8}
_AMBIGUOUS: Final = {"OB or OW": "OW", "US or OW": "OW", "US or SS or OW": "OW", "NONE": "UN"}
_SIGNED: Final = "US or SS"
_DATA: Final = re.compile(r"data:[^,;]*(?:;[^,;]*)*;base64,", re.IGNORECASE)


class UnwritableError(Exception):
    """A text that the character set does not know."""


class Writing(NamedTuple):
    """How the elements of one data set are written."""

    encoding: Encoding
    charset: CharacterSet
    creator: str = ""
    """Whose the private blocks are that nobody has reserved."""
    interprets: bool = True
    """Whether a data URI is the bytes in it, not a text."""


def element(tag: int, value: Any, writing: Writing, vr: str = "", depth: int = 0) -> bytes:
    """The whole element ``tag`` with this value of JSON; ``vr``: another VR than the dictionary's;
    ``depth``: sequences around it.

    Raises ``BadParameterType`` (a number, an object), ``BadFileFormat`` (no number of this VR, no
    base64), ``UnknownDicomTag`` and ``ParameterOutOfRange`` in sequences, ``UnwritableError``.
    """
    vr = vr or vr_of(tag, writing.creator)
    if vr == _SIGNED:
        vr = "SS" if isinstance(value, str) and "-" in value else "US"
    return whole(tag, vr, _raw(tag, vr, value, writing, depth), writing.encoding)


def vr_of(tag: int, creator: str = "") -> str:
    """The VR that new elements with this tag have; ``US or SS`` where the value decides."""
    vr = (lookup_private(tag, creator) if tag >> 16 & 1 else lookup(tag)).vr
    vr = _AMBIGUOUS.get(vr, vr)
    return vr if len(vr) == 2 or vr == _SIGNED else "UN"


def whole(tag: int, vr: str, raw: bytes, encoding: Encoding) -> bytes:
    """The element with these bytes as its value, padded to an even length."""
    if len(raw) & 1:
        raw += b" " if vr in _SPACED else b"\0"
    return head(tag, vr, len(raw), encoding) + raw


def head(tag: int, vr: str, length: int, encoding: Encoding) -> bytes:
    """What stands before the value. A value too long for its VR becomes UN (PS3.5 §6.2.2)."""
    key = encoding.tag_key(tag)
    if not encoding.explicit or tag == ITEM:
        return encoding.item_header.pack(key, length)
    if length > _SHORT_BYTES and vr not in _LONG:
        vr = "UN"
    if vr not in _LONG:
        return encoding.header.pack(key, encoding.vr_key(vr), length)
    return encoding.header.pack(key, encoding.vr_key(vr), 0) + encoding.length.pack(length)


def _raw(tag: int, vr: str, value: Any, writing: Writing, depth: int) -> bytes:
    if isinstance(value, bytes):
        return _turned(value, vr, writing.encoding)
    if isinstance(value, list):
        if vr != "SQ":
            raise BadParameterType(f"Bad Parameter type for tag {shown(tag)}")
        return b"".join(_item(one, writing, depth + 1) for one in value)
    if value is not None and not isinstance(value, str):
        raise BadParameterType(f"Bad Parameter type for tag {shown(tag)}")
    text = value or ""
    if vr == "SQ":
        raise _out_of_range(tag)
    if writing.interprets and (match := _DATA.match(text)):
        return _turned(_decoded(text[match.end() :]), vr, writing.encoding)
    if vr in _INTEGERS or vr in _REALS or vr == "AT":
        try:
            return _numbers(vr, text, ">" if writing.encoding.big_endian else "<")
        except (ValueError, OverflowError, struct.error, UnknownDicomTag):
            raise _out_of_range(tag) from None
    if vr == "UI":
        text = text.rstrip(" \0")
    written = writing.charset.write(text)
    if written is None:
        raise UnwritableError
    return written


def elements(values: Iterable[tuple[int, Any]], writing: Writing, depth: int = 0) -> bytes:
    """A data set of these elements, in ascending order, without group lengths. Raises as
    ``element`` does."""
    found = dict(values)
    return b"".join(
        element(tag, value, _owned(tag, found, writing), depth=depth)
        for tag, value in sorted(found.items())
        if tag & 0xFFFF
    )


def owner(tag: int, values: Mapping[int, Any]) -> str:
    """The creator that ``values`` themselves name for the block of a private tag, or ""."""
    if tag >> 16 & 1:
        creator = values.get(tag & 0xFFFF0000 | tag >> 8 & 0xFF)
        if isinstance(creator, str):
            return creator
    return ""


def _owned(tag: int, values: Mapping[int, Any], writing: Writing) -> Writing:
    creator = owner(tag, values)
    return writing._replace(creator=creator) if creator else writing


def _item(value: Any, writing: Writing, depth: int) -> bytes:
    if not isinstance(value, dict):
        raise BadParameterType
    if depth > limits.DICOM_NESTING:
        raise ParameterOutOfRange(f"Sequences nested more than {limits.DICOM_NESTING} deep")
    content = elements(((tag_number(name), one) for name, one in value.items()), writing, depth)
    return head(ITEM, "", len(content), writing.encoding) + content


def _numbers(vr: str, text: str, order: str) -> bytes:
    parts = text.split("\\") if text else []
    if vr == "AT":
        tags = map(tag_number, parts)
        return b"".join(struct.pack(f"{order}HH", tag >> 16, tag & 0xFFFF) for tag in tags)
    if vr in _REALS:
        return struct.pack(f"{order}{len(parts)}{_REALS[vr]}", *map(float, parts))
    return struct.pack(f"{order}{len(parts)}{_INTEGERS[vr]}", *map(int, parts))


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadFileFormat from None


def _turned(raw: bytes, vr: str, encoding: Encoding) -> bytes:
    """Bytes that came in little endian order, as the data set has them."""
    word = _WORDS.get(vr) if encoding.big_endian else None
    if word is None or len(raw) % _SIZES[word]:
        return raw
    numbers = array(word, raw)
    numbers.byteswap()
    return numbers.tobytes()


def _out_of_range(tag: int) -> BadFileFormat:
    return BadFileFormat(f"While creating a DICOM instance, tag ({shown(tag)}) is out of range")
