"""``ExtraMainDicomTags``: what is kept of a file beside the main tags, sorted by kind.

The VR of each tag comes from the dictionary, because a file without explicit VR does not tell it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from wherry.dicom.tags import MAIN_DICOM_TAGS
from wherry.model import Level


@dataclass(frozen=True, slots=True)
class Extra:
    """Tags ``gggg,eeee``."""

    texts: Mapping[Level, tuple[str, ...]] = field(default_factory=dict)
    """Those that are kept as text, by level."""
    sequences: Mapping[Level, tuple[str, ...]] = field(default_factory=dict)
    vrs: Mapping[str, str] = field(default_factory=dict)
    """VR of each of ``texts``."""


def extra_of(tags: Mapping[Level, tuple[str, ...]]) -> Extra:
    """The tags of a configuration."""
    if not any(tags.values()):
        return Extra()
    vrs = {tag: _vr(tag) for names in tags.values() for tag in names}
    texts = {level: tuple(t for t in names if vrs[t] != "SQ") for level, names in tags.items()}
    sequences = {level: tuple(t for t in names if vrs[t] == "SQ") for level, names in tags.items()}
    return Extra(
        {level: names for level, names in texts.items() if names},
        {level: names for level, names in sequences.items() if names},
        {tag: vr for tag, vr in vrs.items() if vr != "SQ"},
    )


def signature(level: Level, tags: Mapping[Level, tuple[str, ...]]) -> str:
    """``MainDicomTagsSignature``: which tags are kept of this level."""
    return ";".join(sorted({*MAIN_DICOM_TAGS[level], *tags.get(level, ())}))


def _vr(tag: str) -> str:
    from pydicom.datadict import dictionary_VR

    try:
        vr = dictionary_VR(int(tag.replace(",", ""), 16))
    except KeyError:
        return "UN"
    return vr.partition(" or ")[0]
