"""From the ``Tags`` of a JSON body to the data set of an item.

Names are keywords or ``gggg,eeee``, values texts or numbers, sequences lists of objects; the VR is
that of the dictionary.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wherry import limits
from wherry.dicom.attributes import Attribute, vr_of
from wherry.dicom.tags import tag_of
from wherry.errors import BadRequest, TooLarge

_FILE_META_GROUPS = 0x0008_0000
"""Below are the groups of commands and of files."""
_BINARY = frozenset(("OB", "OD", "OF", "OL", "OV", "OW"))


def attributes_of(tags: Mapping[str, Any], depth: int = 0) -> dict[int, Attribute]:
    """The data set. Raises ``BadRequest``, ``UnknownDicomTag``, ``TooLarge``."""
    if depth > limits.DICOM_NESTING:
        raise TooLarge(f"Sequences nested more than {limits.DICOM_NESTING} deep")
    found = {}
    for name, value in tags.items():
        tag = int(tag_of(name).replace(",", ""), 16)
        if tag < _FILE_META_GROUPS:
            raise BadRequest(f"The tag {name[:64]} has no place in a worklist")
        found[tag] = _attribute(name, vr_of(tag), value, depth)
    return dict(sorted(found.items()))


def _attribute(name: str, vr: str, value: Any, depth: int) -> Attribute:
    if vr == "SQ" or (vr == "UN" and isinstance(value, list)):
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise BadRequest(f"A list of objects is expected for {name[:64]}")
        return Attribute("SQ", tuple(attributes_of(item, depth + 1) for item in value))
    if vr in _BINARY or not isinstance(value, str | int | float | None) or isinstance(value, bool):
        raise BadRequest(f"A text is expected for {name[:64]}")
    text = "" if value is None else str(value)
    if "\0" in text:
        raise BadRequest(f"A NUL character in {name[:64]}")
    return Attribute(vr, text)
