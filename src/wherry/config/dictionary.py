"""``Dictionary``: names and value representations for tags that no dictionary knows.

``"gggg,eeee": [VR, name, least multiplicity, greatest, private creator]``; the last three may be
left out. Multiplicities are checked and have no effect.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from wherry.config import place as check
from wherry.config.place import Place

_TAG: Final = re.compile(r"([0-9A-Fa-f]{4})[,-]?([0-9A-Fa-f]{4})")
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_ -]{0,127}")

# fmt: off
VRS: Final = frozenset((
    "AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO", "LT", "OB", "OD", "OF", "OL",
    "OV", "OW", "PN", "SH", "SL", "SQ", "SS", "ST", "SV", "TM", "UC", "UI", "UL", "UN", "UR", "US",
    "UT", "UV",
))
# fmt: on
"""Value representations (PS3.5 §6.2)."""


class DeclaredTag(NamedTuple):
    """One tag of the operator."""

    tag: int
    vr: str
    name: str
    creator: str
    """"" of a public tag."""


def declared_tags(value: Any, place: Place) -> tuple[DeclaredTag, ...]:
    """The tags that ``value`` declares. Raises ``ConfigurationError``."""
    found = [
        _declared(tag, entry, place.inner(tag))
        for tag, entry in check.mapping(value, place).items()
    ]
    names = [one.name for one in found]
    for name in names:
        if names.count(name) > 1:
            raise place.error(f"gives the name {name} to two tags")
    return tuple(found)


def _declared(tag: str, entry: Any, place: Place) -> DeclaredTag:
    match = _TAG.fullmatch(tag)
    if match is None:
        raise place.error('is no tag: write it as "gggg,eeee"')
    if not isinstance(entry, list) or not 2 <= len(entry) <= 5:
        raise place.wrong_type("a list: VR, name, minimum, maximum, private creator", entry)
    vr, name = check.string(entry[0], place), check.string(entry[1], place)
    if vr not in VRS:
        raise place.error("has a value representation that DICOM does not know")
    if not _NAME.fullmatch(name):
        raise place.error("has a name that is not made of letters and digits")
    for number in entry[2:4]:
        check.integer(number, place, 0, 2**31 - 1)
    creator = check.string(entry[4], place) if len(entry) == 5 else ""
    number = int(match[1] + match[2], 16)
    if creator and not number >> 16 & 1:
        raise place.error("has a private creator, but an even group")
    return DeclaredTag(number, vr, name, creator)
