"""A few chosen tags of one file, in the forms of JSON, without reading the rest of it.

What: only what the chosen tags need is looked at, and nothing behind the last of them. Why:
searches look into tens of thousands of files; modules and shared tags want a part of each.
Not here: whole data sets (``json``), main tags on the way in (``scan``).
"""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from typing import Final

from wherry.dicom.elements import type_data
from wherry.dicom.json import printed, readable, type_form, type_object
from wherry.dicom.tags import shown
from wherry.dicom.tree import Selection

_NEEDED: Final = (0x00080005, 0x00280103)
"""What other values are read by: character set and pixel representation."""

_PIXELS: Final = range(0x0028, 0x7FE1)
"""Groups whose numbers may be signed by the pixel representation."""


def values(data: type_data, tags: Collection[str]) -> type_object:
    """``gggg,eeee`` → what ``/tags?short`` shows for it: text, or a list for a sequence, or None;
    absent tags are left out. Raises ``BadFileFormat``."""
    return chosen(data, _numbers(frozenset(tags)), "short")


def chosen(
    data: type_data, tags: frozenset[int], form: type_form, *, whole: bool = False
) -> type_object:
    """These top-level elements of the file ``data``, as ``to_json`` shows them; ``whole``: long
    texts too, but for those inside sequences.

    Raises ``BadFileFormat``.
    """
    with readable(data):
        tree = Selection(data, _with_needed(tags))
    long = _names(tags) if whole else frozenset[str]()
    return printed(tree, tree.root, form, long, only=tags)


@lru_cache(maxsize=256)
def _numbers(tags: frozenset[str]) -> frozenset[int]:
    return frozenset(int(tag.replace(",", ""), 16) for tag in tags)


@lru_cache(maxsize=16)
def _names(tags: frozenset[int]) -> frozenset[str]:
    return frozenset(map(shown, tags))


@lru_cache(maxsize=256)
def _with_needed(tags: frozenset[int]) -> frozenset[int]:
    """The tags, and those without which their values cannot be read."""
    creators = (
        (tag & 0xFFFF0000) | (tag >> 8 & 0xFF) for tag in tags if tag >> 16 & 1 and tag & 0xFF00
    )
    needed = {_NEEDED[0], *creators}
    if any(tag >> 16 in _PIXELS for tag in tags):
        needed.add(_NEEDED[1])
    return tags | needed
