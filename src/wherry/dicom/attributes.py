"""Small data sets without a file around them: what queries, their answers and events are made of.

What: bytes to values and back, in the native transfer syntaxes (PS3.5 §7, Annex A). Texts are
without padding; numbers and tags are texts too, as they are printed; sequences are tuples of data
sets. Why not pydicom: 40 MB, and a bound on everything.
Not here: files (``tree``), their header (``scan``), what a value means.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Final, NamedTuple

from wherry import limits
from wherry.dicom.charsets import CharacterSet, assumed, character_set
from wherry.dicom.dictionary import lookup, lookup_private
from wherry.dicom.elements import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    LONG_VRS,
    UNDEFINED,
    Encoding,
    UnreadableError,
    type_data,
)
from wherry.dicom.inflate import inflate
from wherry.dicom.preamble import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT
from wherry.dicom.reading import Element, Reader, type_dataset
from wherry.dicom.tree import Selection, Tree
from wherry.dicom.values import NUMBER_VRS, TEXT_VRS, as_text
from wherry.errors import BadFileFormat

SPECIFIC_CHARACTER_SET: Final = 0x00080005

_ENCODINGS: Final = {
    IMPLICIT: IMPLICIT_LITTLE,
    EXPLICIT: EXPLICIT_LITTLE,
    DEFLATED: EXPLICIT_LITTLE,
    BIG_ENDIAN: EXPLICIT_BIG,
}
SYNTAXES: Final = tuple(_ENCODINGS)
"""Transfer syntaxes in which a data set can be read here; written are all but the deflated one."""

_LONG_VRS: Final = frozenset(LONG_VRS)
_ITEM: Final = (0xFFFE, 0xE000)
_SHORT_TEXTS: Final = TEXT_VRS - _LONG_VRS
_SURELY_SHORT: Final = 8_192
"""Characters that have a length of 16 bits in every character set."""
_HEADS: Final = 4_096
"""Heads of elements that are remembered: more tags than anybody asks for."""
_ELEMENT_BYTES: Final = 8
"""What an element has at least beside its value."""

_INTEGERS: Final = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "UV": "Q", "SV": "q"}
_REALS: Final = {"FL": "f", "FD": "d"}


class Attribute(NamedTuple):
    """One element."""

    vr: str
    value: str | bytes | tuple[Mapping[int, Attribute], ...]
    """A sequence has data sets, OB and its like have bytes, everything else a text; several values
    are separated by backslashes."""

    @property
    def text(self) -> str:
        """The text; nothing when it has none."""
        return self.value if isinstance(self.value, str) else ""


new_attribute = tuple.__new__
"""Makes an ``Attribute`` in less time than its own constructor."""

type_attributes = Mapping[int, Attribute]
"""Tag → attribute, ascending."""


def read(data: bytes | bytearray | memoryview, syntax: str) -> dict[int, Attribute]:
    """A whole data set. Raises ``BadFileFormat``."""
    encoding = _ENCODINGS.get(syntax)
    if encoding is None:
        raise BadFileFormat(f"A data set in the transfer syntax {syntax[:64]} is no query")
    try:
        if syntax == DEFLATED:
            data = _inflated(data)
        root = Reader(data, whole=True).top(0, encoding)
    except UnreadableError as error:
        raise BadFileFormat(f"A data set that cannot be read: {error}") from None
    return _Reading(data, encoding).data_set(root, assumed())


def chosen(data: type_data, tags: Collection[int]) -> dict[int, Attribute]:
    """These top-level attributes of the file ``data``, and the creators of private ones; what is
    longer than ``limits.ANSWER_VALUE_BYTES`` is left out. Raises ``BadFileFormat``."""
    wanted = frozenset(tags) | {creator_of(tag) for tag in tags if is_private(tag)}
    try:
        tree = Selection(data, wanted | {SPECIFIC_CHARACTER_SET})
    except UnreadableError as error:
        raise BadFileFormat(f"A file that cannot be read: {error}") from None
    reading = _Reading(tree.data, tree.encoding, limits.ANSWER_VALUE_BYTES)
    return {
        tag: attribute
        for tag, attribute in reading.data_set(tree.root, assumed()).items()
        if tag in wanted
    }


def of_file(data: type_data) -> dict[int, Attribute]:
    """All attributes of the short file ``data`` up to its pixel data, without its file meta
    information. Raises ``BadFileFormat``."""
    try:
        tree = Tree(data)
    except UnreadableError as error:
        raise BadFileFormat(f"A file that cannot be read: {error}") from None
    return _Reading(tree.data, tree.encoding).data_set(tree.root, assumed())


def is_private(tag: int) -> bool:
    """Whether it is a private tag that has a creator (PS3.5 §7.8.1)."""
    return bool(tag >> 16 & 1) and tag & 0xFFFF > 0xFF


def creator_of(tag: int) -> int:
    """The tag of the creator of a private tag."""
    return tag >> 16 << 16 | tag >> 8 & 0xFF


def write(attributes: type_attributes, syntax: str) -> bytes:
    """The bytes of a data set; text in the character set that it declares, and what that does not
    know as a question mark. Values that are none for their VR are left empty."""
    return _WRITERS[syntax].data_set(attributes, assumed())


def of_texts(texts: Mapping[int, str]) -> dict[int, Attribute]:
    """Attributes of public tags with the VRs of the dictionary, in order; sequences are empty."""
    found = {}
    for tag in sorted(texts):
        vr = vr_of(tag)
        found[tag] = Attribute(vr, () if vr == "SQ" else texts[tag])
    return found


def vr_of(tag: int, creator: str = "") -> str:
    """The VR that the dictionary has; UN when there is none. Of two it is the first."""
    entry = lookup_private(tag, creator) if tag >> 16 & 1 else lookup(tag)
    return entry.vr[:2]


def _inflated(data: bytes | bytearray | memoryview) -> bytearray:
    whole = bytearray()
    for piece in inflate(data, 0):
        whole += piece
        if len(whole) > limits.QUERY_BYTES:
            raise BadFileFormat("A deflated data set that is too long")
    return whole


class _TooLong(Exception):
    """A value is longer than it may be."""


class _Reading:
    def __init__(self, data: type_data, encoding: Encoding, longest: int | None = None) -> None:
        """``longest``: bytes of a top-level element, with all that is in it, beyond which it is
        left out; None: it is bounded already."""
        self._data = data
        self._big_endian = encoding.big_endian
        self._longest = longest
        self._left = 0
        """Of the element at hand."""

    def data_set(
        self, elements: type_dataset, charset: CharacterSet, *, is_item: bool = False
    ) -> dict[int, Attribute]:
        if (declared := elements.get(SPECIFIC_CHARACTER_SET)) is not None:
            charset = character_set(self._short(declared))
        wanted = {tag: one for tag, one in elements.items() if tag & 0xFFFF}
        if self._longest is None or is_item:  # group lengths say nothing
            return {
                tag: self._attribute(tag, element, elements, charset)
                for tag, element in wanted.items()
            }
        found = {}
        for tag, element in wanted.items():
            self._left = self._longest
            with suppress(_TooLong):
                found[tag] = self._attribute(tag, element, elements, charset)
        return found

    def _attribute(
        self, tag: int, element: Element, elements: type_dataset, charset: CharacterSet
    ) -> Attribute:
        if element.items is not None:
            items = (self.data_set(one, charset, is_item=True) for one in element.items)
            return Attribute("SQ", tuple(items))
        vr = element.vr
        if vr in ("", "UN"):
            vr = vr_of(tag, self._creator(tag, elements))
        raw = self._raw(element)
        if vr in TEXT_VRS or vr in NUMBER_VRS:
            return Attribute(vr, as_text(raw, vr, charset, self._big_endian) or "")
        return Attribute(vr, () if vr == "SQ" else raw)

    def _creator(self, tag: int, elements: type_dataset) -> str:
        if not tag >> 16 & 1:
            return ""
        found = elements.get(creator_of(tag))
        return "" if found is None else self._short(found).decode("ascii", "replace").strip("\0 ")

    def _short(self, element: Element) -> bytes:
        """Of a value that is never long."""
        length = 0 if element.length > limits.WIRE_TEXT_BYTES else element.length
        return bytes(self._data[element.position : element.position + length])

    def _raw(self, element: Element) -> bytes:
        if element.length == UNDEFINED:
            return b""
        if self._longest is not None:
            self._left -= element.length + _ELEMENT_BYTES
            if self._left < 0:
                raise _TooLong
        return bytes(self._data[element.position : element.position + element.length])


class _Writing:
    def __init__(self, encoding: Encoding) -> None:
        order = ">" if encoding.big_endian else "<"
        self._order = order
        self._explicit = encoding.explicit
        self._short = struct.Struct(order + "HH2sH")
        self._long = struct.Struct(order + "HH2s2xI")
        self._implicit = struct.Struct(order + "HHI")
        self._length = struct.Struct(order + ("H" if encoding.explicit else "I"))
        self._heads: dict[tuple[int, str], bytes] = {}

    def data_set(self, attributes: type_attributes, charset: CharacterSet) -> bytes:
        if (declared := attributes.get(SPECIFIC_CHARACTER_SET)) is not None:
            charset = character_set(declared.text.encode("ascii", "replace"))
        parts: list[bytes] = []
        for tag in sorted(attributes):
            attribute = vr, value = attributes[tag]
            if type(value) is str and vr in _SHORT_TEXTS and len(value) < _SURELY_SHORT:
                raw = value.encode() if value.isascii() else charset.encode(value)
                if len(raw) & 1:
                    raw += b"\0" if vr == "UI" else b" "
                parts += (self._head(tag, vr), self._length.pack(len(raw)), raw)
            else:  # rare among queries and their answers
                parts.append(self._element(tag, attribute, charset))
        return b"".join(parts)

    def _head(self, tag: int, vr: str) -> bytes:
        """What stands before the length of a short text."""
        head = self._heads.get((tag, vr))
        if head is None:
            head = struct.pack(self._order + "HH", tag >> 16, tag & 0xFFFF)
            head += vr.encode() if self._explicit else b""
            if len(self._heads) < _HEADS:
                self._heads[tag, vr] = head
        return head

    def _element(self, tag: int, attribute: Attribute, charset: CharacterSet) -> bytes:
        vr, value = attribute
        if isinstance(value, tuple):
            raw = b"".join(map(self._item, (self.data_set(one, charset) for one in value)))
        elif isinstance(value, bytes):
            raw = value
        else:
            raw = self._raw(vr, value, charset)
        if len(raw) & 1:
            raw += b" " if vr in TEXT_VRS and vr != "UI" else b"\0"
        group, element = tag >> 16, tag & 0xFFFF
        if not self._explicit:
            return self._implicit.pack(group, element, len(raw)) + raw
        if vr in _LONG_VRS:
            return self._long.pack(group, element, vr.encode(), len(raw)) + raw
        if len(raw) > 0xFFFF:  # PS3.5 §6.2.2, note 2: a value too long for its VR
            return self._long.pack(group, element, b"UN", len(raw)) + raw
        return self._short.pack(group, element, vr.encode(), len(raw)) + raw

    def _item(self, content: bytes) -> bytes:
        return self._implicit.pack(*_ITEM, len(content)) + content

    def _raw(self, vr: str, text: str, charset: CharacterSet) -> bytes:
        try:
            if vr in _INTEGERS:
                numbers = [int(part) for part in text.split("\\") if part]
                return struct.pack(f"{self._order}{len(numbers)}{_INTEGERS[vr]}", *numbers)
            if vr in _REALS:
                reals = [float(part) for part in text.split("\\") if part]
                return struct.pack(f"{self._order}{len(reals)}{_REALS[vr]}", *reals)
            if vr == "AT":
                tags = [int(part.replace(",", ""), 16) for part in text.split("\\") if part]
                return b"".join(
                    struct.pack(f"{self._order}HH", one >> 16, one & 0xFFFF) for one in tags
                )
        except (ValueError, struct.error, OverflowError):
            return b""
        return charset.encode(text)


_WRITERS: Final = {syntax: _Writing(encoding) for syntax, encoding in _ENCODINGS.items()}
