"""One item of a worklist: a data set, and its forms.

Not here: where items lie (``book``, ``folder``), how they come to be (``making``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import orjson

from wherry.dicom.attributes import (
    SPECIFIC_CHARACTER_SET,
    Attribute,
    type_attributes,
    write,
)
from wherry.dicom.charsets import term_for
from wherry.dicom.json import to_json, type_form
from wherry.dicom.meta import meta_information
from wherry.dicom.preamble import EXPLICIT
from wherry.errors import BadFileFormat

WORKLIST_CLASS: Final = "1.2.840.10008.5.1.4.31"
STUDY_INSTANCE_UID: Final = 0x0020000D


@dataclass(frozen=True)
class Item:
    """One item."""

    id: str
    attributes: type_attributes
    is_ours: bool = True
    """It came over REST, and may be changed there; False: its file belongs to somebody else."""

    @cached_property
    def values(self) -> dict[str, Any]:
        """``gggg,eeee`` → text, or a list of items: what conditions are checked against."""
        return _values(self.attributes)

    @cached_property
    def size(self) -> int:
        """Elements, also those within sequences."""
        return _size(self.attributes)

    @property
    def study_instance_uid(self) -> str:
        """ "" when it has none."""
        found = self.attributes.get(STUDY_INSTANCE_UID)
        return found.text.strip() if found else ""

    def shown(self, form: type_form) -> dict[str, Any]:
        """Its tags as those of an instance are shown."""
        term = term_for("".join(texts(self.attributes)), "")
        declared = {SPECIFIC_CHARACTER_SET: Attribute("CS", term)}
        meta = meta_information(WORKLIST_CLASS, "1", EXPLICIT, "")
        return to_json(meta + write({**self.attributes, **declared}, EXPLICIT), form)

    def document(self) -> str:
        """As it lies in the index."""
        return orjson.dumps(_plain(self.attributes)).decode()


def of_document(item_id: str, document: str) -> Item:
    """What ``Item.document`` has made."""
    return Item(item_id, _attributes(orjson.loads(document)))


def texts(attributes: type_attributes) -> list[str]:
    """All texts, also those within sequences."""
    found = []
    for _, value in attributes.values():
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, tuple):
            found += [text for item in value for text in texts(item)]
    return found


def _size(attributes: type_attributes) -> int:
    below = (_size(item) for _, v in attributes.values() if isinstance(v, tuple) for item in v)
    return len(attributes) + sum(below)


def _values(attributes: type_attributes) -> dict[str, Any]:
    return {
        f"{tag >> 16:04x},{tag & 0xFFFF:04x}": [_values(item) for item in value]
        if isinstance(value, tuple)
        else (value if isinstance(value, str) else None)
        for tag, (_, value) in attributes.items()
    }


def _plain(attributes: type_attributes) -> dict[str, Any]:
    return {
        f"{tag:08x}": [vr, [_plain(item) for item in value] if isinstance(value, tuple) else value]
        for tag, (vr, value) in attributes.items()
    }


def _attributes(plain: Mapping[str, Any]) -> dict[int, Attribute]:
    found = {}
    for name, (vr, value) in plain.items():
        whole = tuple(map(_attributes, value)) if isinstance(value, list) else value
        if not isinstance(whole, str | tuple):
            raise BadFileFormat("An item of a worklist in the index makes no sense")
        found[int(name, 16)] = Attribute(vr, whole)
    return found
