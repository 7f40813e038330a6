"""All elements of a DICOM file as JSON, in Orthanc's three forms (rest-api §4).

What: the tree of elements up to the pixel data, values as text, sequences as lists.
Why: ``/instances/{id}/tags`` and its relatives; stock clients read exactly this shape.
Not here: the main tags of the index (``scan``), DICOM JSON of PS3.18.

A data set that is not well formed inside its sequences is a ``BadFileFormat``: unlike ``scan``,
this must look into all of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, Final, Literal

from wherry import limits
from wherry.dicom.charsets import CharacterSet, assumed, character_set
from wherry.dicom.dictionary import named, named_private
from wherry.dicom.elements import UNDEFINED, UnreadableError, type_data
from wherry.dicom.reading import Element, type_dataset
from wherry.dicom.tree import Header, Tree
from wherry.dicom.values import NUMBER_VRS, TEXT_VRS, as_text, is_long, unknown_as_text
from wherry.errors import BadFileFormat

type_form = Literal["full", "short", "simplify"]
type_object = dict[str, Any]

CHARACTER_SET: Final = 0x00080005
PIXEL_REPRESENTATION: Final = 0x00280103

_AMBIGUOUS: Final = {"OB or OW": "OB", "US or OW": "OW", "US or SS or OW": "OW"}

_SURELY_SHORT: Final = 85
"""Text of so many bytes has at most 256 bytes in UTF-8, whatever the character set."""

_SHORT_TEXTS: Final = TEXT_VRS
"""Value representations that are printed without a detour while they are short."""

UNTOLD_TEXT: Final = "text as UN"
"""Stands for the VR of a text that was written with the VR UN."""


def to_json(
    data: type_data,
    form: type_form,
    ignore_length: frozenset[str] = frozenset(),
    *,
    whole: bool = False,
) -> type_object:
    """The elements of the file ``data`` up to its pixel data, or all of them (``whole``).

    ``ignore_length``: tags ``gggg,eeee`` whose text is shown however long it is. Raises
    ``BadFileFormat``, also when a bound of ``limits`` is passed.
    """
    with readable(data):
        tree = Tree(data, whole=whole)
    return printed(tree, tree.root, form, ignore_length)


def header_to_json(data: type_data, form: type_form) -> type_object:
    """The file meta information of the file ``data``; as in Orthanc, what has no text form is left
    out. Raises ``BadFileFormat``."""
    with readable(data):
        tree = Header(data)
    texts = {tag: found for tag, found in tree.root.items() if found.vr != "OB"}
    return printed(tree, texts, form)


def printed(
    tree: Tree,
    elements: type_dataset,
    form: type_form,
    ignore_length: frozenset[str] = frozenset(),
    only: Collection[int] | None = None,
) -> type_object:
    """These top-level elements of ``tree``; those ``only``, when it is said."""
    printer = _Printer(tree, form, ignore_length)
    return printer.data_set(elements, assumed(), is_signed=False, only=only)


@contextmanager
def readable(data: type_data) -> Iterator[None]:
    """What cannot be read becomes ``BadFileFormat``, worded as Orthanc words it."""
    try:
        yield
    except UnreadableError as error:
        raise BadFileFormat(
            f"Cannot parse an invalid DICOM file (size: {len(data)} bytes): {error}"
        ) from None


class _Printer:
    """Prints the elements of one tree in one form."""

    def __init__(self, tree: Tree, form: type_form, ignore_length: frozenset[str]) -> None:
        self._tree = tree
        self._form = form
        self._ignore_length = ignore_length

    def data_set(
        self,
        elements: type_dataset,
        charset: CharacterSet,
        *,
        is_signed: bool,
        only: Collection[int] | None = None,
    ) -> type_object:
        """One data set or item; ``charset`` and ``is_signed`` are those of what holds it."""
        tree, form = self._tree, self._form
        if declared := elements.get(CHARACTER_SET):
            charset = character_set(tree.short_value(declared))
        if declared := elements.get(PIXEL_REPRESENTATION):
            is_signed = any(tree.short_value(declared))
        codec = "" if charset.is_extended else charset.codec
        data, short_texts = tree.data, _SHORT_TEXTS
        creators = Creators(tree, elements, charset)
        printed: type_object = {}
        for tag, element in elements.items():
            if only is not None and tag not in only:
                continue
            vr, position, length, items = element
            creator = creators.of(tag) if tag & 0x10000 else None
            name, word, known_vr = (
                named_private(tag, creator) if creator is not None else named(tag)
            )
            kind = "String"
            value: Any
            if items is not None:
                kind = "Sequence"
                value = [self.data_set(i, charset, is_signed=is_signed) for i in items]
            elif length <= _SURELY_SHORT and codec and vr in short_texts:
                raw = bytes(data[position : position + length])
                if not length & 1:
                    raw = raw.rstrip(b" ")
                value = raw.partition(b"\0")[0].decode(codec, "ignore")
                if vr == "UI":
                    value = value.replace(" ", "")
            else:
                resolved = vr_of(vr, known_vr, is_signed)
                kind, value = self._value(element, resolved, charset, name)
            if form == "short":
                printed[name] = value
            elif form == "simplify":
                printed[word] = value
            elif creator and kind != "Sequence":
                printed[name] = {
                    "Name": word,
                    "Type": kind,
                    "Value": value,
                    "PrivateCreator": creator,
                }
            else:
                printed[name] = {"Name": word, "Type": kind, "Value": value}
        return printed

    def _value(
        self, element: Element, vr: str, charset: CharacterSet, name: str
    ) -> tuple[str, str | None]:
        """Type and value; nothing is read of what is not shown."""
        if vr not in TEXT_VRS and vr not in NUMBER_VRS and vr != UNTOLD_TEXT:
            return "Null", None
        lifted = name in self._ignore_length
        bound = limits.DICOM_JSON_VALUE_BYTES if lifted else limits.DICOM_VALUE_BYTES
        if element.length > bound and element.length != UNDEFINED:
            return "TooLong", None
        raw = self._tree.value(element)
        if vr == UNTOLD_TEXT:
            text: str | None = unknown_as_text(raw, charset)
        else:
            text = as_text(raw, vr, charset, self._tree.big_endian)
        if text is None:
            return "Null", None
        return ("TooLong", None) if not lifted and is_long(text) else ("String", text)


def vr_of(vr: str, known: str, is_signed: bool) -> str:
    """The VR to print with: that of the file, or the dictionary's when the file tells none."""
    if vr == "UN":
        return UNTOLD_TEXT if known in TEXT_VRS else "UN"
    if vr:
        return vr
    if known == "US or SS":
        return "SS" if is_signed else "US"
    return _AMBIGUOUS.get(known, known)


class Creators:
    """The private creators of one data set, by the block that they have reserved."""

    def __init__(self, tree: Tree, elements: type_dataset, charset: CharacterSet) -> None:
        self._tree, self._elements, self._charset = tree, elements, charset
        self._known: dict[int, str] = {}

    def of(self, tag: int) -> str:
        """The creator of a private tag; "" when nobody has reserved its block."""
        owner_tag = (tag & 0xFFFF0000) | (tag >> 8 & 0xFF)
        found = self._known.get(owner_tag)
        if found is None:
            found = self._known[owner_tag] = self._read(owner_tag)
        return found

    def _read(self, owner_tag: int) -> str:
        owner = self._elements.get(owner_tag) if owner_tag & 0xFF >= 0x10 else None
        if owner is None or owner.vr == "UN":
            return ""
        raw = self._tree.short_value(owner)
        return as_text(raw, "LO", self._charset, self._tree.big_endian) or ""
