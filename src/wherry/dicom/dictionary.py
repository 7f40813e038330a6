"""What the data dictionary says of a tag: its name as Orthanc prints it and its VR (PS3.6).

What: look-ups in the operator's own entries (configuration key ``Dictionary``), in pydicom's
dictionary of public tags, and in that of private ones (``private``), with Orthanc's words for what
is in none. Why: names in the JSON of tags, and VRs of implicit data sets. pydicom is imported at
the first look-up of a tag that is not among the usual ones (``usual``).
Not here: main tags and the way from a keyword to a tag (``tags``).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final, NamedTuple

from wherry.dicom import private
from wherry.dicom.usual import USUAL

UNKNOWN: Final = "Unknown Tag & Data"

_RETIRED_LATER: Final = frozenset((0x00101000, 0x30060085, 0x30060088))
"""Retired after the release of the dictionary that Orthanc uses: not prefixed there."""


class Entry(NamedTuple):
    """One tag of a dictionary."""

    name: str
    vr: str
    """As in the dictionary, for instance ``US or SS``; ``UN`` when unknown."""


class OwnEntry(NamedTuple):
    """One tag that the operator has declared."""

    tag: int
    """Of a private tag any block will do: only its group and its last two digits count."""
    entry: Entry
    creator: str
    """"" of a public tag."""


class _Own:
    """What the operator has declared. One for the process, as the dictionaries are."""

    public: dict[int, Entry] = {}
    private: dict[tuple[str, int], Entry] = {}
    names: dict[str, int] = {}
    default_creator = ""
    load_private = True


def configure(
    entries: Iterable[OwnEntry] = (), *, load_private: bool = True, default_creator: str = ""
) -> None:
    """Add these entries to the dictionaries, in place of those of an earlier call.

    ``load_private``: whether private tags of the built-in dictionary are known at all;
    ``default_creator``: of private tags in files that name none.
    """
    entries = list(entries)
    _Own.public = {own.tag: own.entry for own in entries if not own.creator}
    _Own.private = {(own.creator, _low(own.tag)): own.entry for own in entries if own.creator}
    _Own.names = {own.entry.name: own.tag for own in entries}
    _Own.load_private, _Own.default_creator = load_private, default_creator
    for cached in (lookup, lookup_private, named, named_private):
        cached.cache_clear()


def own_tag(name: str) -> int | None:
    """The tag that the operator has given this name."""
    return _Own.names.get(name)


def own_name(tag: int) -> str | None:
    """The name that the operator has given this tag."""
    return next((name for name, known in _Own.names.items() if known == tag), None)


@lru_cache(maxsize=16_384)
def lookup(tag: int) -> Entry:
    """The entry of a tag that is not private; also of group lengths and repeating groups."""
    if (own := _Own.public.get(tag)) is not None:
        return own
    if (usual := USUAL.get(tag)) is not None:
        return Entry(*usual)
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
    element = tag & 0xFFFF
    if not element:
        return Entry("PrivateGroupLength", "UL")
    if 0x10 <= element <= 0xFF:
        return Entry("PrivateCreator", "LO")
    creator = creator or _Own.default_creator
    if (own := _Own.private.get((creator, _low(tag)))) is not None:
        return own
    if not creator or not _Own.load_private or (found := private.lookup(tag, creator)) is None:
        return Entry(UNKNOWN, "UN")
    return Entry(*found)


class Named(NamedTuple):
    """What is printed of a tag besides its value."""

    tag: str
    """``gggg,eeee``"""
    name: str
    vr: str
    """As in the dictionary."""


@lru_cache(maxsize=16_384)
def named(tag: int) -> Named:
    """A tag that is not private, as it is printed."""
    return Named(f"{tag >> 16:04x},{tag & 0xFFFF:04x}", *lookup(tag))


@lru_cache(maxsize=16_384)
def named_private(tag: int, creator: str) -> Named:
    """A private tag of this creator, as it is printed."""
    return Named(f"{tag >> 16:04x},{tag & 0xFFFF:04x}", *lookup_private(tag, creator))


def _low(tag: int) -> int:
    """A private tag without its block."""
    return tag & 0xFFFF00FF
