"""Small data sets as they are kept and shown: texts by tag, and Orthanc's three forms of them.

What: from ``attributes`` to plain values that JSON can hold, and from those to the forms that the
REST API has of queries and their answers. Numbers are texts; what is only bytes is null.
Not here: the tags of stored files (``json``), which are read from where they lie.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wherry.dicom.attributes import type_attributes
from wherry.dicom.dictionary import named, named_private
from wherry.dicom.json import type_form

type_plain = dict[int, Any]
"""Tag → text, None, or a list of the same."""
type_stored = dict[str, Any]
"""``ggggeeee`` → text, null, or a list of the same."""


def plain(attributes: type_attributes) -> type_plain:
    """The values of a data set, without what is only bytes."""
    found: type_plain = {}
    for tag, (_, value) in attributes.items():
        if isinstance(value, tuple):
            found[tag] = [plain(item) for item in value]
        else:
            found[tag] = None if isinstance(value, bytes) else value
    return found


def to_stored(values: Mapping[int, Any]) -> type_stored:
    """As JSON has it."""
    return {
        f"{tag:08x}": [to_stored(item) for item in value] if isinstance(value, list) else value
        for tag, value in values.items()
    }


def from_stored(document: Mapping[str, Any]) -> type_plain:
    """What ``to_stored`` was given."""
    return {
        int(tag, 16): [from_stored(item) for item in value] if isinstance(value, list) else value
        for tag, value in document.items()
    }


def printed(values: Mapping[int, Any], form: type_form) -> dict[str, Any]:
    """One of Orthanc's forms."""
    found: dict[str, Any] = {}
    for tag, value in values.items():
        creator = _creator(tag, values)
        entry = named(tag) if creator is None else named_private(tag, creator)
        shown = [printed(item, form) for item in value] if isinstance(value, list) else value
        if form == "short":
            found[entry.tag] = shown
        elif form == "simplify":
            found[entry.name] = shown
        else:
            found[entry.tag] = {"Name": entry.name, "Type": _kind(value), "Value": shown}
            if creator and not isinstance(value, list):
                found[entry.tag]["PrivateCreator"] = creator
    return found


def _creator(tag: int, values: Mapping[int, Any]) -> str | None:
    """Of a private tag; "" when nobody has reserved its block; None: it is none."""
    if not tag >> 16 & 1:
        return None
    owner = values.get(tag >> 16 << 16 | tag >> 8 & 0xFF)
    return owner if isinstance(owner, str) else ""


def _kind(value: object) -> str:
    if isinstance(value, list):
        return "Sequence"
    return "Null" if value is None else "String"
