"""The elements of a file as the Standard's own models see them (PS3.18 §F, PS3.19 §A.1).

What: attributes one after the other, with values of the right kinds; bulk stays in the buffer
until somebody wants its pieces. Why: DICOM JSON and the Native DICOM Model say the same in two
languages (``native_json``, ``native_xml``).
Not here: Orthanc's own JSON of tags (``json``). Group lengths are left out, and encapsulated
pixel data, for which neither language has a place.
"""

from __future__ import annotations

import base64
import re
import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from wherry import limits
from wherry.dicom.charsets import CharacterSet, assumed, character_set
from wherry.dicom.dictionary import UNKNOWN, lookup, lookup_private
from wherry.dicom.elements import UNDEFINED
from wherry.dicom.json import CHARACTER_SET, PIXEL_REPRESENTATION, UNTOLD_TEXT, Creators, vr_of
from wherry.dicom.reading import Element, type_dataset
from wherry.dicom.tree import Tree

type_value = str | int | float | None

_TEXT_VRS: Final = frozenset(("LT", "ST", "UR", "UT"))
_NUMBER_VRS: Final = {
    "FL": "f",
    "FD": "d",
    "SS": "h",
    "SL": "i",
    "SV": "q",
    "US": "H",
    "UL": "I",
    "UV": "Q",
}
_BULK_VRS: Final = {"OB": 1, "UN": 1, "OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}
"""Value representations without values, and the size of their words."""

_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,18}")
_DECIMAL: Final = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")

_PIECE_BYTES: Final = 3 * 65_536
"""Bulk is encoded in such pieces: a multiple of three for base64, and of all words."""


@dataclass(frozen=True, slots=True)
class Bulk:
    """A value that is only bytes."""

    tree: Tree
    position: int
    length: int
    word: int

    def pieces(self) -> Iterator[bytes]:
        """The value in little endian, as base64."""
        end = self.position + self.length
        for start in range(self.position, end, _PIECE_BYTES):
            piece = bytes(self.tree.data[start : min(start + _PIECE_BYTES, end)])
            if self.tree.big_endian and self.word > 1 and len(piece) % self.word == 0:
                words = array({2: "H", 4: "I", 8: "Q"}[self.word], piece)
                words.byteswap()
                piece = words.tobytes()
            yield base64.b64encode(piece)


@dataclass(frozen=True, slots=True)
class Attribute:
    """One element. Exactly one of the last three is there, or none when it has no value."""

    tag: int
    vr: str
    keyword: str
    """"" when no dictionary knows one."""
    creator: str
    """Of a private element; "" otherwise."""
    values: list[type_value]
    bulk: Bulk | None = None
    items: list[Iterator[Attribute]] | None = None


def attributes(tree: Tree) -> Iterator[Attribute]:
    """The attributes of a file, in the order of their tags."""
    return _attributes(tree, tree.root, assumed(), is_signed=False)


def _attributes(
    tree: Tree, elements: type_dataset, charset: CharacterSet, *, is_signed: bool
) -> Iterator[Attribute]:
    if declared := elements.get(CHARACTER_SET):
        charset = character_set(tree.short_value(declared))
    if declared := elements.get(PIXEL_REPRESENTATION):
        is_signed = any(tree.short_value(declared))
    creators = Creators(tree, elements, charset)
    for tag, element in elements.items():
        if not tag & 0xFFFF or (element.length == UNDEFINED and element.items is None):
            continue
        creator = creators.of(tag) if tag & 0x10000 else ""
        entry = lookup_private(tag, creator) if tag & 0x10000 else lookup(tag)
        vr = vr_of(element.vr, entry.vr, is_signed)
        if not element.vr and entry.vr == "OB or OW":
            vr = "OW"  # PS3.5 §A.1
        if vr == UNTOLD_TEXT:
            vr = entry.vr
        vr = vr if len(vr) == 2 else "UN"
        is_known = entry.name != UNKNOWN and not creator  # keywords are words of the Standard
        keyword = entry.name.removeprefix("RETIRED_") if is_known else ""
        if element.items is not None:
            items = [_attributes(tree, i, charset, is_signed=is_signed) for i in element.items]
            yield Attribute(tag, "SQ", keyword, creator, [], items=items)
        elif size := _BULK_VRS.get(vr):
            bulk = Bulk(tree, element.position, element.length, size) if element.length else None
            yield Attribute(tag, vr, keyword, creator, [], bulk)
        else:
            yield Attribute(tag, vr, keyword, creator, _values(tree, element, vr, charset))


def _values(tree: Tree, element: Element, vr: str, charset: CharacterSet) -> list[type_value]:
    """The values; [] when there is none, or more than anybody should hold in memory."""
    if element.length > limits.DICOM_JSON_VALUE_BYTES:
        return []
    raw = tree.value(element)
    mark = ">" if tree.big_endian else "<"
    if (code := _NUMBER_VRS.get(vr)) is not None:
        return [number for (number,) in _unpacked(mark + code, raw)]
    if vr == "AT":
        return [f"{group:04X}{number:04X}" for group, number in _unpacked(mark + "HH", raw)]
    text = charset.decode(raw.rstrip(b"\0"), vr == "PN")
    if vr in _TEXT_VRS:
        text = text.rstrip(" ")
        return [text] if text else []
    found: list[type_value] = []
    for part in text.split("\\"):
        word = part.strip(" \0")
        found.append(_number(word, vr) if vr in ("DS", "IS") else word or None)
    return found if any(one is not None for one in found) else []


def _unpacked(form: str, raw: bytes) -> Iterator[tuple[int, ...]]:
    item = struct.Struct(form)
    return item.iter_unpack(raw[: len(raw) // item.size * item.size])


def _number(text: str, vr: str) -> type_value:
    """A number that was written in digits; the text itself when it is none."""
    if not text:
        return None
    if _WHOLE.fullmatch(text):
        return int(text)
    return float(text) if vr == "DS" and _DECIMAL.fullmatch(text) else text
