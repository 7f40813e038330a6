"""The tree of the elements of a DICOM file up to its pixel data, with places instead of values.

What: data sets as dictionaries tag → ``Element``, sequences as lists of them. Why: whoever shows
the whole file (``json``) needs what ``scan`` steps over. Values stay in the buffer.
Not here: what the values mean.

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
from wherry.dicom.inflate import inflate
from wherry.dicom.preamble import DEFLATED, looks_explicit, other_encoding, read_preamble
from wherry.errors import BadFileFormat


class Element(NamedTuple):
    """One element. ``items`` is None unless it is a sequence."""

    vr: str
    """``""`` when the file does not tell, ``UN`` when it tells something unknown."""
    position: int
    """Offset of the value in ``Tree.data``."""
    length: int
    """0 when the value is a sequence or has an undefined length."""
    items: list[dict[int, Element]] | None = None


type_dataset = dict[int, Element]
"""Tag → element, ascending; of an element that is there twice, the first."""


class Tree:
    """A file that has been read. ``data`` is the buffer itself, or what it inflates to."""

    def __init__(self, data: type_data) -> None:
        """Read ``data``. Raises ``UnreadableError``, ``BadFileFormat`` when a bound is passed."""
        syntax, _, encoding, position = read_preamble(data)
        if syntax == DEFLATED:
            data, position = _inflated(data, position), 0
        elif looks_explicit(data, position) is not encoding.explicit and position < len(data):
            encoding = other_encoding(encoding)
        self.data = data
        self.big_endian = encoding.big_endian
        try:
            self.root = _Reader(data).top(position, encoding)
        except UnreadableError:
            # Old files mix implicit elements into explicit data sets.
            self.root = _Reader(data, mixed=True).top(position, encoding)

    def value(self, element: Element) -> bytes:
        """The raw value of an element that is not a sequence."""
        return bytes(self.data[element.position : element.position + element.length])


def _inflated(data: type_data, position: int) -> bytes:
    """The deflated data set at ``position``, about as far as ``limits.DICOM_HEADER_BYTES``."""
    whole = bytearray()
    for piece in inflate(data, position):
        whole += piece
        if len(whole) > limits.DICOM_HEADER_BYTES:
            break
    return bytes(whole)


class _Reader:
    """Reads elements and counts them."""

    def __init__(self, data: type_data, *, mixed: bool = False) -> None:
        self._data = data
        self._left = limits.DICOM_JSON_ELEMENTS
        self._mixed = mixed

    def top(self, position: int, encoding: Encoding) -> type_dataset:
        """The data set of the file; as in Orthanc, nothing behind the pixel data belongs to it."""
        try:
            root, _ = self._data_set(position, len(self._data), encoding, 0, until_end=True)
        except struct.error:
            raise UnreadableError("bytes are missing at its end") from None
        return root

    def _data_set(
        self, position: int, end: int, encoding: Encoding, depth: int, *, until_end: bool
    ) -> tuple[type_dataset, int]:
        """Elements from ``position`` to ``end``, or to the delimiter of their item."""
        found: type_dataset = {}
        while not until_end or position < end:
            self._left -= 1
            if self._left < 0:
                raise BadFileFormat(f"more than {limits.DICOM_JSON_ELEMENTS} elements")
            key, vr, position, length = self._header(position, encoding)
            if key in encoding.delimiters:
                if key == encoding.item_end and not until_end:
                    return found, position
                raise UnreadableError("an item at a wrong place")
            tag = encoding.tag_of(key)
            items = None
            start = position
            if tag == PIXEL_DATA and not depth:
                found.setdefault(tag, Element(vr, start, 0))
                break
            if (is_sequence := _is_sequence(tag, vr, length)) or length == UNDEFINED:
                if is_sequence:
                    inner = _implicit(encoding) if vr == "UN" else encoding
                    items, position = self._items(position, length, end, inner, depth + 1)
                else:
                    position, _ = skip_undefined(self._data, position, encoding, 0, 0)
                length = 0
            else:
                position += length
            if position > end:
                raise UnreadableError("a value longer than what holds it")
            if tag not in found:
                found[tag] = Element(vr, start, length, items)
        return dict(sorted(found.items())), position

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
