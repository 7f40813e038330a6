"""The file meta information of an edited file (PS3.10 §7.1): it names what is in the data set.

What: splices of the bytes before the data set. Why: nothing in them may contradict the data set,
nor identify anybody when a file is anonymized. Not here: a new one (``wherry.dicom.meta``).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final

from wherry.dicom.editing.encoding import whole
from wherry.dicom.editing.places import Splice
from wherry.dicom.elements import EXPLICIT_LITTLE, UnreadableError, type_data

_LENGTH: Final = 0x00020000
CLASS_UID, INSTANCE_UID = 0x00020002, 0x00020003
_TECHNICAL: Final = frozenset(
    (_LENGTH, 0x00020001, CLASS_UID, INSTANCE_UID, 0x00020010, 0x00020012, 0x00020013)
)
"""What says nothing of anybody: the rest names applications, addresses and private things."""


def splices(
    data: type_data, end: int, values: Mapping[int, str], *, anonymize: bool
) -> list[Splice]:
    """What changes before the data set, which begins at ``end``. ``values``: what two of the
    elements must say; those that are not there are not made.

    Raises ``UnreadableError``.
    """
    start = 132 if data[128:132] == b"DICM" else 0
    found: list[Splice] = []
    if anonymize and start and any(data[:128]):
        found.append(Splice(0, 128, bytes(128)))
    length_at = 0
    growth = 0
    position = start
    while position < end:
        tag, value, stop = _element(data, position)
        new = None
        if tag == _LENGTH and stop - value == 4:
            length_at = value
        elif anonymize and tag not in _TECHNICAL:
            new = b""
        elif (text := values.get(tag)) is not None:
            written = whole(tag, "UI", text.encode("ascii", "replace"), EXPLICIT_LITTLE)
            new = written if written != bytes(data[position:stop]) else None
        if new is not None:
            found.append(Splice(position, stop, new))
            growth += len(new) - (stop - position)
        position = stop
    if growth and length_at:
        (length,) = EXPLICIT_LITTLE.length.unpack_from(data, length_at)
        new = EXPLICIT_LITTLE.length.pack(length + growth & 0xFFFFFFFF)
        found.append(Splice(length_at, length_at + 4, new))
    return sorted(found)


def _element(data: type_data, position: int) -> tuple[int, int, int]:
    """Tag, offset of the value, offset behind it."""
    encoding = EXPLICIT_LITTLE
    try:
        key, vr, length = encoding.header.unpack_from(data, position)
        value = position + 8
        if vr not in encoding.short:
            (length,) = encoding.length.unpack_from(data, value)
            value += 4
    except struct.error:
        raise UnreadableError("its meta information is cut off") from None
    return encoding.tag_of(key), value, value + length
