"""What the data dictionary says of a tag: its name as Orthanc prints it and its VR (PS3.6).

What: look-ups in pydicom's dictionaries, with Orthanc's words for what is not in them. Why: names
in the JSON of tags, and VRs of implicit data sets. pydicom is imported at the first look-up.
Not here: main tags and the way from a keyword to a tag (``tags``).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

UNKNOWN: Final = "Unknown Tag & Data"

_RETIRED_LATER: Final = frozenset((0x00101000, 0x30060085, 0x30060088))
"""Retired after the release of the dictionary that Orthanc uses: not prefixed there."""


class Entry(NamedTuple):
    """One tag of a dictionary."""

    name: str
    vr: str
    """As in the dictionary, for instance ``US or SS``; ``UN`` when unknown."""


@lru_cache(maxsize=16_384)
def lookup(tag: int) -> Entry:
    """The entry of a tag that is not private; also of group lengths and repeating groups."""
    from pydicom.datadict import get_entry

    try:
        vr, _, _, retired, keyword = get_entry(tag)
    except KeyError:
        return Entry("GenericGroupLength", "UL") if not tag & 0xFFFF else Entry(UNKNOWN, "UN")
    if not keyword:
        return Entry(UNKNOWN, vr)
    prefix = "RETIRED_" if retired and tag not in _RETIRED_LATER else ""
    return Entry(prefix + keyword, vr)


@lru_cache(maxsize=16_384)
def lookup_private(tag: int, creator: str) -> Entry:
    """The entry of a private tag of this creator; ``""`` when the file names none."""
    from pydicom.datadict import get_private_entry

    element = tag & 0xFFFF
    if not element:
        return Entry("PrivateGroupLength", "UL")
    if 0x10 <= element <= 0xFF:
        return Entry("PrivateCreator", "LO")
    if not creator:
        return Entry(UNKNOWN, "UN")
    try:
        vr, _, description, _ = get_private_entry(tag, creator)
    except KeyError:
        return Entry(UNKNOWN, "UN")
    return Entry(_keyword(description) or UNKNOWN, vr)


def _keyword(description: str) -> str:
    """``Series from which prescribed`` → ``SeriesFromWhichPrescribed``."""
    words = re.findall(r"[A-Za-z0-9]+", description)
    return "".join(word[:1].upper() + word[1:] for word in words)
