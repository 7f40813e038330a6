"""The values of a few chosen tags of one file, as text.

Not here: whole data sets (``json``), main tags on the way in (``scan``).
"""

from __future__ import annotations

from collections.abc import Collection

from wherry.dicom.elements import type_data
from wherry.dicom.json import to_json, type_object


def values(data: type_data, tags: Collection[str]) -> type_object:
    """``gggg,eeee`` → what ``/tags?short`` shows for it: text, or a list for a sequence, or None;
    absent tags are left out. Raises ``BadFileFormat``."""
    everything = to_json(data, "short")
    return {tag: everything[tag] for tag in tags if tag in everything}
