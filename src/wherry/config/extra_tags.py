"""``ExtraMainDicomTags``: tags that the index keeps beside the main ones, by level.

A name that no dictionary knows is refused at start: its values would silently be missing later.
"""

from __future__ import annotations

from typing import Any, Final

from wherry import limits
from wherry.config import place as check
from wherry.config.place import Place
from wherry.dicom.tags import MAIN_DICOM_TAGS, tag_of
from wherry.errors import UnknownDicomTag
from wherry.model import Level

_LEVELS: Final = {level.title: level for level in Level}

_NOT_KEPT: Final = frozenset({"0040,0275"})
"""Listed among the main tags, but kept only when somebody asks: a sequence."""


def extra_main_dicom_tags(value: Any, place: Place) -> dict[Level, tuple[str, ...]]:
    """Level → tags ``gggg,eeee``, ascending, without those that are main tags of it anyway.

    Raises ``ConfigurationError``.
    """
    found = {}
    for name, names in check.mapping(value, place).items():
        inner = place.inner(name)
        if name not in _LEVELS:
            raise inner.error(f"is no level: these are {', '.join(_LEVELS)}")
        if len(check.strings(names, inner)) > limits.EXTRA_MAIN_TAGS:
            raise inner.error(f"must not have more than {limits.EXTRA_MAIN_TAGS} tags")
        tags = {_tag(one, inner) for one in names}
        kept = set(MAIN_DICOM_TAGS[_LEVELS[name]]) - _NOT_KEPT
        if extra := sorted(tags - kept):
            found[_LEVELS[name]] = tuple(extra)
    return found


def _tag(name: str, place: Place) -> str:
    try:
        tag = tag_of(name)
    except UnknownDicomTag:
        raise place.error(f"names {name!r}, which is no DICOM tag") from None
    group = int(tag[:4], 16)
    if group & 1:
        raise place.error(f"names {name}: private tags cannot be kept in the index")
    if group < 8 or tag == "7fe0,0010":
        raise place.error(f"names {name}, which is not an attribute of the data set")
    return tag
