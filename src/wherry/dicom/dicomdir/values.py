"""The values of directory keys, out of the elements of one file.

What: text as it lies in the file, without its padding; numbers and sequences in little endian.
What only describes is never a reason to refuse: what is too long, or no text where text should be,
counts as absent. Why: a medium is not left unwritten for one odd description.
Not here: what stands for an absent value (``keys``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from wherry import limits
from wherry.dicom.dicomdir import writing
from wherry.dicom.dicomdir.keys import CONTENT, OBSERVERS, VERIFIED, Key
from wherry.dicom.tree import Tree
from wherry.dicom.values import TEXT_VRS

type_values = list[tuple[int, str, bytes]]
"""Tag, VR, value."""

_COPIED: Final = TEXT_VRS | {"UN", ""}
_INTEGER: Final = re.compile(rb" *[+-]?[0-9]{1,11} *")
_INTEGER_BYTES: Final = 12
_DATE_TIME_BYTES: Final = 26
_NUMBERS: Final = {"US": 2, "UL": 4}


def text(tree: Tree, tag: int) -> bytes | None:
    """A text without its padding; None when there is none, or none of sensible length."""
    found = tree.root.get(tag)
    if found is None or found.items is not None or found.vr not in _COPIED:
        return None
    if found.length > limits.DICOMDIR_VALUE_BYTES:
        return None
    return writing.text_in(tree, tree.root, tag, found.length)


def of_keys(tree: Tree, wanted: Iterable[Key]) -> type_values:
    """The values of these keys, and what stands for those that the file does not have."""
    found: type_values = []
    for key in wanted:
        raw = _of_key(tree, key)
        if raw is None or (not raw and key.absent):
            raw = key.absent
        if raw is not None:
            found.append((key.tag, key.vr, raw))
    return found


def _of_key(tree: Tree, key: Key) -> bytes | None:
    if key.vr == "SQ":
        return _sequence(tree, key.tag)
    if key.vr in _NUMBERS:
        return _number(tree, key)
    if key.tag == VERIFIED:
        return _last_verification(tree)
    raw = text(tree, key.tag)
    if key.vr == "IS" and raw is not None:
        return raw if len(raw) <= _INTEGER_BYTES and _INTEGER.fullmatch(raw) else None
    return raw


def _number(tree: Tree, key: Key) -> bytes | None:
    found = tree.root.get(key.tag)
    if found is None or found.vr not in (key.vr, "") or found.length != _NUMBERS[key.vr]:
        return None
    return writing.little(tree, tree.value(found), key.vr)


def _sequence(tree: Tree, tag: int) -> bytes | None:
    found = tree.root.get(tag)
    if found is None or not found.items:
        return None
    items = found.items
    if tag == CONTENT:  # PS3.3 §F.5.25: only what modifies the title
        items = writing.of_relationship(tree, items, b"HAS CONCEPT MOD")
    return writing.items(tree, items, limits.DICOMDIR_SEQUENCE_BYTES) if items else None


def _last_verification(tree: Tree) -> bytes | None:
    """PS3.3 §F.5.25: the most recent of all observers."""
    found = tree.root.get(OBSERVERS)
    observers = found.items or [] if found is not None else []
    moments = [writing.text_in(tree, one, VERIFIED, _DATE_TIME_BYTES) for one in observers]
    return max(moments, default=b"") or None
