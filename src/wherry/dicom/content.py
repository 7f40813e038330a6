"""The way from a path such as ``0008-1140/0/0008-1155`` to the raw bytes of a value.

What: lists of tags, of items and of fragments; places of values, so that whoever answers can
stream them. Why: ``/instances/{id}/content``; bytes stay as the file has them: character set,
byte order and padding.
Not here: values as text (``json``).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from wherry import limits
from wherry.dicom.elements import PIXEL_DATA, UNDEFINED, UnreadableError, type_data
from wherry.dicom.json import readable
from wherry.dicom.reading import Element, type_dataset
from wherry.dicom.tags import tag_of
from wherry.dicom.tree import Selection, Tree
from wherry.errors import BadFileFormat

_MOST_DIGITS: Final = 9


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value lies in ``data``: the file, or what it inflates to (``is_inflated``)."""

    data: type_data
    position: int
    length: int
    is_inflated: bool


type_answer = Place | list[str] | None
"""A value; or the names that may follow in a path: tags ``gggg-eeee`` or numbers; or nothing."""


def look_up(data: type_data, path: Sequence[str]) -> type_answer:
    """What ``path`` leads to in the file ``data``.

    A path takes turns: a tag, the number of an item or fragment, a tag, … ; numbers begin with 0.
    Raises ``BadFileFormat``, ``UnknownDicomTag``.
    """
    steps = [_number(step) if turn % 2 else _tag(step) for turn, step in enumerate(path)]
    with readable(data):
        if steps and steps[0] is not None:
            tree: Tree = Selection(data, (steps[0],))
            if steps[0] in tree.root:
                return _follow(tree, steps)
        return _follow(Tree(data, whole=True), steps)


def _follow(tree: Tree, steps: list[int | None]) -> type_answer:
    found: type_dataset = tree.root
    for turn in range(0, len(steps), 2):
        tag, item = steps[turn], steps[turn + 1] if turn + 1 < len(steps) else None
        element = found.get(tag) if tag is not None else None
        is_last = turn + 1 >= len(steps)
        if element is None:
            return None
        if element.items is None:
            if turn + 2 < len(steps):
                return None
            return _value(tree, element, tag == PIXEL_DATA, item, is_last=is_last)
        if is_last:
            return [str(number) for number in range(len(element.items))]
        if item is None or item >= len(element.items):
            return None
        found = element.items[item]
    return [f"{tag >> 16:04x}-{tag & 0xFFFF:04x}" for tag in found]


def _value(
    tree: Tree, element: Element, is_pixel_data: bool, item: int | None, *, is_last: bool
) -> type_answer:
    """A value that is no sequence; of pixel data the parts have numbers."""
    if not is_pixel_data:
        return _place(tree, element.position, _length(element)) if is_last else None
    parts = parts_of(tree, element)
    if is_last:
        return [str(number) for number in range(len(parts))]
    return _place(tree, *parts[item]) if item is not None and item < len(parts) else None


def parts_of(tree: Tree, element: Element) -> list[tuple[int, int]]:
    """Position and length of the parts of pixel data: the offset table and the fragments when
    they are encapsulated (PS3.5 §A.4), else all at once. Raises ``UnreadableError``."""
    if element.length != UNDEFINED:
        return [(element.position, element.length)]
    encoding, position = tree.encoding, element.position
    found: list[tuple[int, int]] = []
    try:
        while True:
            tag, length = encoding.item_header.unpack_from(tree.data, position)
            position += 8
            if tag == encoding.sequence_end:
                return found
            if tag != encoding.item or length == UNDEFINED:
                raise UnreadableError("pixel data with something else than fragments in them")
            if position + length > len(tree.data):
                raise UnreadableError("a fragment is cut off")
            found.append((position, length))
            if len(found) > limits.DICOM_JSON_ELEMENTS:
                raise BadFileFormat(f"more than {limits.DICOM_JSON_ELEMENTS} fragments")
            position += length
    except struct.error:
        raise UnreadableError("pixel data without an end") from None


def _length(element: Element) -> int:
    return 0 if element.length == UNDEFINED else element.length


def _place(tree: Tree, position: int, length: int) -> Place:
    return Place(tree.data, position, length, tree.is_inflated)


def _tag(step: str) -> int:
    return int(tag_of(step).replace(",", ""), 16)


def _number(step: str) -> int | None:
    """The number of an item; None when it is none, so nothing will be found."""
    if step.isascii() and step.isdigit() and len(step) <= _MOST_DIGITS:
        return int(step)
    return None
