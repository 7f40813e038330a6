"""A data set cut into what is copied and what is new.

What: top-level elements are replaced, added at their place or left out; everything between them is
one range of the source. Not here: what is replaced, how it is written.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import repeat

from wherry import limits
from wherry.dicom.elements import UNDEFINED, Encoding, UnreadableError, skip_undefined, type_data
from wherry.errors import BadFileFormat

type_pieces = Iterator[bytes | memoryview]


@dataclass(frozen=True, slots=True)
class Range:
    """Whole elements of the source, from ``start`` to ``end``."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class New:
    """An element that takes a place. Numbers in ``value`` are little endian; sequences are given as
    they are written explicitly in little endian."""

    tag: int
    vr: str
    value: bytes
    on_written: Callable[[int], None] | None = None
    """Is told where in the output the value begins: it will be known later only."""


@dataclass(frozen=True, slots=True)
class Pixels:
    """The pixel data: ``length`` bytes of words, or fragments when that is ``UNDEFINED``."""

    vr: str
    length: int
    pieces: Callable[[], type_pieces]


type_part = Range | New | Pixels
type_edits = Mapping[int, New | Pixels | None]
"""What becomes of elements, by their tags; None: left out."""


def parts_of(
    data: type_data, position: int, encoding: Encoding, edits: type_edits
) -> list[type_part]:
    """The data set at ``position`` with ``edits``.

    Lengths of groups (retired, PS3.5 §7.2) are left out where something in the group changes.
    Raises ``UnreadableError``, ``BadFileFormat``.
    """
    groups = {tag >> 16 for tag in edits}
    waiting = sorted(tag for tag, edit in edits.items() if edit is not None)
    found: list[type_part] = []
    begin = position
    for tag, start, end in _elements(data, position, encoding):
        while waiting and waiting[0] <= tag:
            if begin < start:
                found.append(Range(begin, start))
                begin = start
            edit = edits[waiting.pop(0)]
            assert edit is not None
            found.append(edit)
        if tag in edits or (not tag & 0xFFFF and tag >> 16 in groups):
            if begin < start:
                found.append(Range(begin, start))
            begin = end
    if begin < len(data):
        found.append(Range(begin, len(data)))
    found.extend(edit for tag in waiting if (edit := edits[tag]) is not None)
    return found


def _elements(data: type_data, position: int, encoding: Encoding) -> Iterator[tuple[int, int, int]]:
    """Tag, beginning and end of the top-level elements."""
    size = len(data)
    nested = 0
    header = encoding.header.unpack_from
    try:
        for _ in repeat(None, limits.DICOM_ELEMENTS):
            if position >= size:
                return
            start, vr = position, 0
            if encoding.explicit:
                key, vr, length = header(data, position)
                position += 8
                if vr not in encoding.short:
                    if vr not in encoding.uppercase:
                        raise UnreadableError("elements that are not explicit")
                    (length,) = encoding.length.unpack_from(data, position)
                    position += 4
            else:
                key, length = header(data, position)
                position += 8
            if length == UNDEFINED:
                position, nested = skip_undefined(data, position, encoding, vr, nested)
            else:
                position += length
            if position > size:
                raise UnreadableError("a value longer than what holds it")
            yield encoding.tag_of(key), start, position
    except struct.error:
        raise UnreadableError("bytes are missing at its end") from None
    raise BadFileFormat(f"a data set of more than {limits.DICOM_ELEMENTS} elements")
