"""Reading the elements of a data set, with places instead of values.

What: ``Reader`` goes from element to element, and into sequences, and notes where everything lies.
Why: whoever shows a file needs what ``elements.walk`` steps over.
Not here: which part of a file is read (``tree``), what the values mean.

Sequences are read by recursion, never deeper than ``limits.DICOM_NESTING``.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from wherry import limits
from wherry.dicom.dictionary import lookup
from wherry.dicom.elements import (
    PIXEL_DATA,
    UNDEFINED,
    Encoding,
    UnreadableError,
    skip_undefined,
    type_data,
)
from wherry.dicom.preamble import other_encoding
from wherry.errors import BadFileFormat


class Element(NamedTuple):
    """One element. ``items`` is None unless it is a sequence."""

    vr: str
    """``""`` when the file does not tell, ``UN`` when it tells something unknown."""
    position: int
    """Offset of the value in the buffer."""
    length: int
    """0 when the value is a sequence; ``UNDEFINED`` when it is no sequence and has no length."""
    items: list[dict[int, Element]] | None = None


new_element = tuple.__new__
"""Makes an ``Element`` in half the time of its own constructor."""

type_dataset = dict[int, Element]
"""Tag → element, ascending; of an element that is there twice, the first."""


class Reader:
    """Reads elements and counts them."""

    def __init__(self, data: type_data, *, whole: bool = False, mixed: bool = False) -> None:
        self._data = data
        self._left = limits.DICOM_JSON_ELEMENTS
        self._whole = whole
        self._mixed = mixed

    def top(self, position: int, encoding: Encoding) -> type_dataset:
        """The data set of the file; as in Orthanc, it ends with the pixel data unless all of it is
        asked for."""
        try:
            root, _ = self._data_set(position, len(self._data), encoding, 0, until_end=True)
        except struct.error:
            raise UnreadableError("bytes are missing at its end") from None
        return root

    def sequence(
        self, tag: int, vr: str, position: int, length: int, encoding: Encoding
    ) -> list[type_dataset] | None:
        """The items of this top-level element, or None when it is no sequence."""
        if not _is_sequence(tag, vr, length):
            return None
        inner = _implicit(encoding) if vr == "UN" else encoding
        try:
            items, _ = self._items(position, length, len(self._data), inner, 1)
        except struct.error:
            raise UnreadableError("bytes are missing at its end") from None
        return items

    def _data_set(
        self, position: int, end: int, encoding: Encoding, depth: int, *, until_end: bool
    ) -> tuple[type_dataset, int]:
        """Elements from ``position`` to ``end``, or to the delimiter of their item."""
        found: type_dataset = {}
        data, header, delimiters = self._data, encoding.header.unpack_from, encoding.delimiters
        short, names = encoding.short if encoding.explicit else frozenset(), encoding.vr_names
        is_big = encoding.big_endian
        stop_at = 0 if depth or self._whole else PIXEL_DATA
        last, is_sorted = -1, True
        while not until_end or position < end:
            self._left -= 1
            if self._left < 0:
                raise BadFileFormat(f"more than {limits.DICOM_JSON_ELEMENTS} elements")
            if short and (read := header(data, position))[1] in short:  # nearly all of them
                key, vr_key, length = read
                vr, start = names[vr_key], position + 8
            else:
                key, vr, start, length = self._header(position, encoding)
            if key in delimiters:
                if key == encoding.item_end and not until_end:
                    return _ascending(found, is_sorted), start
                raise UnreadableError("an item at a wrong place")
            tag = key if is_big else (key & 0xFFFF) << 16 | key >> 16
            items = None
            position = start
            if tag == stop_at:
                found.setdefault(tag, Element(vr, start, length))
                is_sorted = is_sorted and tag > last
                break
            if length == UNDEFINED or vr == "SQ" or vr == "":
                if _is_sequence(tag, vr, length):
                    inner = _implicit(encoding) if vr == "UN" else encoding
                    items, position = self._items(position, length, end, inner, depth + 1)
                    length = 0
                elif length == UNDEFINED:
                    position, _ = skip_undefined(data, position, encoding, 0, 0)
                else:
                    position += length
            else:
                position += length
            if position > end:
                raise UnreadableError("a value longer than what holds it")
            if tag <= last:
                is_sorted = False
                if tag in found:
                    continue
            last = tag
            found[tag] = new_element(Element, (vr, start, length, items))
        return _ascending(found, is_sorted), position

    def _header(self, position: int, encoding: Encoding) -> tuple[int, str, int, int]:
        """Key of the tag, VR, offset of the value, length."""
        data = self._data
        if not encoding.explicit:
            key, length = encoding.header.unpack_from(data, position)
            return key, "", position + 8, length
        key, vr, length = encoding.header.unpack_from(data, position)
        if vr in encoding.short:
            return key, encoding.vr_names[vr], position + 8, length
        if vr in encoding.uppercase:
            (length,) = encoding.length.unpack_from(data, position + 8)
            return key, encoding.vr_names.get(vr, "UN"), position + 12, length
        if self._mixed or key in encoding.delimiters:
            key, length = encoding.item_header.unpack_from(data, position)
            return key, "", position + 8, length
        return key, "UN", position + 8, length

    def _items(
        self, position: int, length: int, end: int, encoding: Encoding, depth: int
    ) -> tuple[list[type_dataset], int]:
        """Items of a sequence of this length at ``position``."""
        if depth > limits.DICOM_NESTING:
            raise BadFileFormat(f"sequences nested more than {limits.DICOM_NESTING} deep")
        items: list[type_dataset] = []
        undefined = length == UNDEFINED
        if not undefined:
            if position + length > end:
                raise UnreadableError("a sequence longer than what holds it")
            end = position + length
        while undefined or position < end:
            key, size = encoding.item_header.unpack_from(self._data, position)
            position += 8
            if key == encoding.sequence_end:
                if undefined:
                    break
                continue
            if key != encoding.item:
                raise UnreadableError("a sequence with something else than items in it")
            until_end = size != UNDEFINED
            item_end = position + size if until_end else end
            if item_end > end:
                raise UnreadableError("an item longer than its sequence")
            item, position = self._data_set(
                position, item_end, encoding, depth, until_end=until_end
            )
            items.append(item)
        return items, position


def _ascending(found: type_dataset, is_sorted: bool) -> type_dataset:
    return found if is_sorted else dict(sorted(found.items()))


def _is_sequence(tag: int, vr: str, length: int) -> bool:
    if vr == "SQ":
        return True
    if tag == PIXEL_DATA:
        return False
    if length == UNDEFINED:
        return vr in ("", "UN")
    return vr == "" and not tag >> 16 & 1 and lookup(tag).vr == "SQ"


def _implicit(encoding: Encoding) -> Encoding:
    return encoding if not encoding.explicit else other_encoding(encoding)
