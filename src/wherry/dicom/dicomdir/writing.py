"""Elements and sequences in Explicit VR Little Endian, as a DICOMDIR is written (PS3.10 §8.6).

What: a value with its tag, VR and length; sequences copied out of a file in whatever encoding.
Why not pydicom: a directory record through its ``Dataset`` takes 200 µs, through this 2.
Not here: what is written (``records``).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Final

from wherry.dicom.dictionary import lookup
from wherry.dicom.elements import LONG_VRS, UNDEFINED
from wherry.dicom.reading import Element, type_dataset
from wherry.dicom.tree import Tree

_SHORT: Final = struct.Struct("<HH2sH")
_LONG: Final = struct.Struct("<HH2sHI")
_ITEM: Final = struct.Struct("<HHI")
_LONG_VRS: Final = frozenset(LONG_VRS)

_WORDS: Final = {
    **dict.fromkeys(("US", "SS", "OW", "AT"), 2),
    **dict.fromkeys(("UL", "SL", "FL", "OL", "OF"), 4),
    **dict.fromkeys(("UV", "SV", "FD", "OV", "OD"), 8),
}
"""Bytes of the numbers that a value of this VR is made of."""


class _TooLongError(Exception):
    """More than the directory should hold of one file."""


def element(tag: int, vr: str, value: bytes) -> bytes:
    """One element; padding is added. A value with a 16-bit length must not be longer than that."""
    if len(value) & 1:
        value += b"\0" if vr in ("UI", "OB", "UN") else b" "
    if vr in _LONG_VRS:
        return _LONG.pack(tag >> 16, tag & 0xFFFF, vr.encode(), 0, len(value)) + value
    return _SHORT.pack(tag >> 16, tag & 0xFFFF, vr.encode(), len(value)) + value


def items(tree: Tree, found: Iterable[type_dataset], most_bytes: int) -> bytes | None:
    """These items of a sequence of ``tree``, without private elements; None when they would take
    more than ``most_bytes``."""
    try:
        return _Copy(tree, most_bytes).items(found)
    except _TooLongError:
        return None


def little(tree: Tree, value: bytes, vr: str) -> bytes:
    """A value of ``tree`` in little endian."""
    size = _WORDS.get(vr, 1) if tree.big_endian else 1
    if size == 1:
        return value
    whole = len(value) // size * size
    return b"".join([value[start : start + size][::-1] for start in range(0, whole, size)])


class _Copy:
    """Copies sequences and counts their bytes; never deeper than they were read."""

    def __init__(self, tree: Tree, most_bytes: int) -> None:
        self._tree = tree
        self._left = most_bytes

    def items(self, found: Iterable[type_dataset]) -> bytes:
        return b"".join([self._item(data_set) for data_set in found])

    def _item(self, data_set: type_dataset) -> bytes:
        self._take(_ITEM.size)
        elements = [self._element(*one) for one in data_set.items() if not one[0] >> 16 & 1]
        content = b"".join(elements)
        return _ITEM.pack(0xFFFE, 0xE000, len(content)) + content

    def _element(self, tag: int, found: Element) -> bytes:
        self._take(_LONG.size)
        if found.items is not None:
            return element(tag, "SQ", self.items(found.items))
        vr = found.vr or _known(tag)
        length = 0 if found.length == UNDEFINED else found.length
        self._take(length)
        return element(tag, vr, little(self._tree, self._tree.value(found), vr))

    def _take(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise _TooLongError


def _known(tag: int) -> str:
    """The VR of an element whose file does not tell it."""
    vr = lookup(tag).vr
    return vr if len(vr) == 2 else "US" if vr == "US or SS" else "OW"


def text_in(tree: Tree, data_set: type_dataset, tag: int, most_bytes: int) -> bytes:
    """A text without its padding; nothing when it is absent or longer than ``most_bytes``."""
    found = data_set.get(tag)
    if found is None or found.items is not None or found.length > most_bytes:
        return b""
    return tree.value(found).partition(b"\0")[0].rstrip(b" ")


def of_relationship(
    tree: Tree, found: Sequence[type_dataset], relationship: bytes
) -> list[type_dataset]:
    """The content items with this Relationship Type (PS3.3 §C.17.3)."""
    return [one for one in found if text_in(tree, one, 0x0040A010, 16) == relationship]
