"""Walking over the elements of a DICOM data set (PS3.5 §7) without looking into their values.

What: tight loops that go from element to element by their lengths and note where the wanted ones
lie. A loop that arrives exactly at the end of the buffer has proved that every length fits, so
pixel data and everything behind it are verified to be whole without being touched.
Why: this is the hot path of every upload; about 0.15 µs an element.
Not here: what a value means (``scan``, ``json``), the file meta information (``scan``).

There is no recursion: sequences of defined length are stepped over, those of undefined length are
walked with a counter of open levels.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import repeat
from mmap import mmap
from typing import Final

from wherry import limits
from wherry.errors import BadFileFormat

type_data = bytes | bytearray | memoryview | mmap

UNDEFINED: Final = 0xFFFFFFFF

# fmt: off
SHORT_VRS: Final = (
    "AE", "AS", "AT", "CS", "DA", "DS", "DT", "FL", "FD", "IS", "LO", "LT", "PN", "SH", "SL",
    "SS", "ST", "TM", "UI", "UL", "US",
)
"""Value representations whose length has 16 bits (PS3.5 §7.1.2)."""
LONG_VRS: Final = (
    "OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV",
)
"""Value representations whose length has 32 bits, behind two reserved bytes."""
# fmt: on

ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
PIXEL_DATA: Final = 0x7FE00010

type_found = dict[int, tuple[int, int, int]]
"""Key of the tag → key of its VR (0 when implicit), offset of the value, length of the value."""


class UnreadableError(Exception):
    """The bytes are not a data set in this encoding. ``doubtful``: another reading may exist."""

    def __init__(self, reason: str, doubtful: bool = False) -> None:
        super().__init__(reason)
        self.doubtful = doubtful


class IncompleteError(UnreadableError):
    """The data end inside an element: ``position`` is its beginning, or where it would end."""

    def __init__(self, data: type_data, position: int, found: type_found, doubtful: bool) -> None:
        missing = position - len(data)
        super().__init__(
            f"{missing} bytes are missing at its end"
            if missing > 0
            else f"{-missing} bytes at its end are not an element",
            doubtful,
        )
        self.position = position
        self.found = found


@dataclass(frozen=True, slots=True, eq=False)
class Encoding:
    """How elements are written: byte order and whether value representations are explicit.

    Tags and value representations are compared as the integers that one ``unpack`` of the byte
    order gives, so the loops never assemble them: hence the tables per byte order.
    """

    big_endian: bool
    explicit: bool
    header: struct.Struct
    """Explicit: tag, VR, 16-bit length. Implicit: tag, 32-bit length."""
    item_header: struct.Struct
    """Tag and 32-bit length, also of items in explicit data sets."""
    length: struct.Struct
    """A 32-bit length alone."""
    short: frozenset[int]
    long: frozenset[int]
    uppercase: frozenset[int]
    """Every pair of capital letters: an unknown one has a 32-bit length (PS3.5 §7.1.2)."""
    un: int
    """The VR ``UN``."""
    item: int
    item_end: int
    sequence_end: int
    delimiters: frozenset[int]
    """The three above."""
    vr_names: Mapping[int, str]

    def tag_key(self, tag: int) -> int:
        """The integer that ``header`` gives for ``tag``."""
        return tag if self.big_endian else (tag & 0xFFFF) << 16 | tag >> 16

    def tag_of(self, key: int) -> int:
        """The tag of which ``header`` gives ``key``."""
        return key if self.big_endian else (key & 0xFFFF) << 16 | key >> 16

    def vr_key(self, vr: str) -> int:
        """The integer that ``header`` gives for ``vr``."""
        return int.from_bytes(vr.encode(), "big" if self.big_endian else "little")


def _encoding(*, big_endian: bool, explicit: bool) -> Encoding:
    mark = ">" if big_endian else "<"

    def key(vr: str) -> int:
        return int.from_bytes(vr.encode(), "big" if big_endian else "little")

    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    # A little endian tag, read as one 32-bit number, has its element number in the upper half.
    item, item_end, sequence_end = (
        tag if big_endian else (tag & 0xFFFF) << 16 | tag >> 16
        for tag in (ITEM, ITEM_END, SEQUENCE_END)
    )
    return Encoding(
        big_endian=big_endian,
        explicit=explicit,
        header=struct.Struct(mark + ("IHH" if explicit else "II")),
        item_header=struct.Struct(mark + "II"),
        length=struct.Struct(mark + "I"),
        short=frozenset(map(key, SHORT_VRS)),
        long=frozenset(map(key, LONG_VRS)),
        uppercase=frozenset(key(a + b) for a in letters for b in letters),
        un=key("UN"),
        item=item,
        item_end=item_end,
        sequence_end=sequence_end,
        delimiters=frozenset((item, item_end, sequence_end)),
        vr_names={key(vr): vr for vr in (*SHORT_VRS, *LONG_VRS)},
    )


EXPLICIT_LITTLE: Final = _encoding(big_endian=False, explicit=True)
IMPLICIT_LITTLE: Final = _encoding(big_endian=False, explicit=False)
EXPLICIT_BIG: Final = _encoding(big_endian=True, explicit=True)
IMPLICIT_BIG: Final = _encoding(big_endian=True, explicit=False)
"""Only inside an element UN of undefined length in a big endian file."""


def walk(data: type_data, position: int, encoding: Encoding, wanted: frozenset[int]) -> type_found:
    """Where the ``wanted`` top-level elements lie, from ``position`` to the end of ``data``.

    Of an element that is there twice, the first counts. The value of a wanted element of
    undefined length has the length ``UNDEFINED``. Raises ``IncompleteError`` when the elements do
    not end where the data end, ``UnreadableError`` when they are no elements, ``BadFileFormat``
    when a bound of ``limits`` is passed.
    """
    if not encoding.explicit:
        return _walk_implicit(data, position, encoding, wanted)
    found: type_found = {}
    header, length_at = encoding.header.unpack_from, encoding.length.unpack_from
    short, long = encoding.short, encoding.long
    nested = 0
    doubtful = False
    try:
        for _ in repeat(None, limits.DICOM_ELEMENTS):
            tag, vr, length = header(data, position)
            if vr in short:
                value = position + 8
            elif vr in long:
                value = position + 12
                (length,) = length_at(data, position + 8)
                if length == UNDEFINED:
                    if tag in wanted and tag not in found:
                        found[tag] = (vr, value, length)
                    position, nested = skip_undefined(data, value, encoding, vr, nested)
                    continue
            else:
                doubtful = True
                if tag in encoding.delimiters:
                    raise UnreadableError("an item outside of any sequence", doubtful)
                if vr in encoding.uppercase:
                    value = position + 12
                    (length,) = length_at(data, position + 8)
                else:
                    value = position + 8
            if tag in wanted and tag not in found:
                found[tag] = (vr, value, length)
            position = value + length
    except struct.error:
        if position != len(data):
            raise IncompleteError(data, position, found, doubtful) from None
        return found
    raise BadFileFormat(f"a data set of more than {limits.DICOM_ELEMENTS} elements")


def _walk_implicit(
    data: type_data, position: int, encoding: Encoding, wanted: frozenset[int]
) -> type_found:
    found: type_found = {}
    header = encoding.header.unpack_from
    nested = 0
    try:
        for _ in repeat(None, limits.DICOM_ELEMENTS):
            tag, length = header(data, position)
            position += 8
            if tag in wanted and tag not in found:
                found[tag] = (0, position, length)
            if length == UNDEFINED:
                position, nested = skip_undefined(data, position, encoding, 0, nested)
            else:
                position += length
    except struct.error:
        if position != len(data):
            raise IncompleteError(data, position, found, doubtful=False) from None
        return found
    raise BadFileFormat(f"a data set of more than {limits.DICOM_ELEMENTS} elements")


def find(
    data: type_data, position: int, encoding: Encoding, wanted: frozenset[int], last_group: int
) -> type_found:
    """As ``walk``, but it stops as soon as all ``wanted`` are found or ``last_group`` has passed,
    for files that ``walk`` has seen already. Raises ``UnreadableError``, also of what only a
    second reading may understand."""
    found: type_found = {}
    header, length_at = encoding.header.unpack_from, encoding.length.unpack_from
    short, long = encoding.short, encoding.long
    shift = 16 if encoding.big_endian else 0
    left = len(wanted)
    nested = 0
    try:
        for _ in repeat(None, limits.DICOM_ELEMENTS):
            if encoding.explicit:
                tag, vr, length = header(data, position)
                if vr in short:
                    value = position + 8
                elif vr in long:
                    value = position + 12
                    (length,) = length_at(data, position + 8)
                else:
                    raise UnreadableError("elements that are not explicit", True)
            else:
                tag, length = header(data, position)
                vr, value = 0, position + 8
            if (tag >> shift & 0xFFFF) > last_group:
                return found
            if tag in wanted and tag not in found:
                found[tag] = (vr, value, length)
                left -= 1
                if not left:
                    return found
            if length == UNDEFINED:
                position, nested = skip_undefined(data, value, encoding, vr, nested)
            else:
                position = value + length
    except struct.error:
        if position != len(data):
            raise UnreadableError("bytes are missing at its end") from None
        return found
    raise BadFileFormat(f"a data set of more than {limits.DICOM_ELEMENTS} elements")


def skip_undefined(
    data: type_data, position: int, encoding: Encoding, vr: int, used: int
) -> tuple[int, int]:
    """The position behind a value of undefined length that begins at ``position``.

    ``vr`` is the key of its value representation; the content of UN is implicit (PS3.5 §6.2.2).
    ``used`` counts nested elements of the whole data set and is returned increased. Raises
    ``UnreadableError``, ``struct.error`` at the end of the data, ``BadFileFormat`` on a bound.
    """
    item, item_end, sequence_end = encoding.item, encoding.item_end, encoding.sequence_end
    header, item_header = encoding.header.unpack_from, encoding.item_header.unpack_from
    short, long = encoding.short, encoding.long
    # `depth` counts what is open: odd = a sequence, waiting for an item; even = an item in it.
    depth = 1
    # The depth below which elements are implicit again as they are explicit above; 0 = nowhere.
    implicit_from = 1 if not encoding.explicit or vr == encoding.un else 0
    bound = 2 * limits.DICOM_NESTING
    for _ in repeat(None, limits.DICOM_ELEMENTS - used):
        used += 1
        if depth & 1:
            tag, length = item_header(data, position)
            position += 8
            if tag == item:
                if length == UNDEFINED:
                    depth += 1
                else:
                    position += length
            elif tag == sequence_end:
                depth -= 1
                if not depth:
                    return position, used
                if depth < implicit_from:
                    implicit_from = 0
            else:
                raise UnreadableError("a sequence with something else than items in it", True)
            continue
        if implicit_from:
            tag, length = item_header(data, position)
            position += 8
            vr = 0
        else:
            tag, vr, length = header(data, position)
            position += 8
            if vr not in short:
                if vr in long:
                    (length,) = encoding.length.unpack_from(data, position)
                    position += 4
                elif tag == item_end:
                    length = 0
                elif tag in encoding.delimiters:
                    raise UnreadableError("an item that is not ended", True)
                elif vr in encoding.uppercase:
                    (length,) = encoding.length.unpack_from(data, position)
                    position += 4
        if tag == item_end:
            depth -= 1
        elif tag in encoding.delimiters:
            raise UnreadableError("an item that is not ended", True)
        elif length == UNDEFINED:
            depth += 1
            if depth > bound:
                raise BadFileFormat(f"sequences nested more than {limits.DICOM_NESTING} deep")
            if vr == encoding.un and not implicit_from:
                implicit_from = depth
        else:
            position += length
    raise BadFileFormat(f"a data set of more than {limits.DICOM_ELEMENTS} elements")
