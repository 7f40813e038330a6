"""Which storage classes are proposed for a C-GET, and in which transfer syntaxes.

There is room for 128 presentation contexts, one of them for the C-GET itself, and the modality
chooses one transfer syntax in each: what it has in another one it must convert, or cannot send.
So, when it is known which classes are to come (``classes``), each gets as many contexts as there
is room for, with one transfer syntax each, the usual ones first and all that are left in the last.
When it is not known:

* twelve classes of images, the most frequent ones, get four contexts each: native, and three
  families of compressed ones;
* what holds no images gets one each, native;
* other images, and then any other class that is taken, get one each for all transfer syntaxes,
  until the room is full.

What this server does not take (``receiving``) is never proposed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from wherry import limits
from wherry.dicom.preamble import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT

type_proposal = tuple[str, tuple[str, ...]]
"""SOP class, transfer syntaxes."""

_BASE: Final = "1.2.840.10008.1.2."
_STORAGE: Final = "1.2.840.10008.5.1.4.1.1."

_NATIVE: Final = (EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED)
_FAMILIES: Final = (
    _NATIVE,
    tuple(_BASE + end for end in ("4.70", "4.57", "4.80", "4.81")),
    tuple(_BASE + end for end in ("4.90", "4.91", "4.92", "4.93")),
    tuple(_BASE + end for end in ("4.50", "4.51", "5")),
)
"""Native, JPEG lossless and JPEG-LS, JPEG 2000, JPEG and RLE."""

_USUAL: Final = (
    *(EXPLICIT, IMPLICIT),
    *(_BASE + end for end in ("4.70", "4.90", "4.91", "4.50", "4.80", "5", "4.51", "4.57", "4.81")),
    *(DEFLATED, BIG_ENDIAN, _BASE + "4.92", _BASE + "4.93"),
)
"""All of these, the more frequent ones first."""


def _classes(*ends: str) -> tuple[str, ...]:
    return tuple(_STORAGE + end for end in ends)


_FREQUENT: Final = _classes(
    "2",  # CT
    "4",  # MR
    "1",  # CR
    "1.1",  # DX
    "1.2",  # mammography
    "6.1",  # ultrasound
    "3.1",  # ultrasound, several frames
    "7",  # secondary capture
    "12.1",  # X-ray angiography
    "12.2",  # fluoroscopy
    "20",  # nuclear medicine
    "128",  # PET
)
_WITHOUT_IMAGES: Final = _classes(
    *("88.11", "88.22", "88.33", "88.34", "88.50", "88.59", "88.65", "88.67", "88.68"),
    *("104.1", "104.2", "104.3", "11.1", "11.2", "11.3", "11.4"),
    *("481.2", "481.3", "481.4", "481.5", "481.6", "481.7", "481.8", "481.9"),
    *("66", "66.1", "66.2", "66.3", "66.5", "67", "4.2", "9.1.1", "9.1.2", "9.1.3", "9.2.1"),
)
"""Reports, presentation states, plans, doses, registrations, curves: never compressed."""
_IMAGES: Final = _classes(
    *("2.1", "4.1", "13.1.3", "7.4", "7.2", "7.3", "7.1", "66.4", "481.1", "30"),
    *("1.1.1", "1.2.1", "1.3", "2.2", "4.3", "4.4", "6.2", "12.1.1", "12.2.1", "13.1.1"),
    *("13.1.2", "77.1.1", "77.1.1.1", "77.1.2", "77.1.3", "77.1.4", "77.1.4.1", "77.1.5.1"),
    *("77.1.5.2", "77.1.5.4", "77.1.6", "128.1", "130", "3", "6", "5", "14.1"),
)


def storage_proposals(
    classes: Sequence[str],
    accepted_classes: Iterable[str],
    accepted_syntaxes: Sequence[str],
    room: int = limits.PRESENTATION_CONTEXTS - 1,
) -> list[type_proposal]:
    """At most ``room`` presentation contexts. ``classes``: those that are to come, [] when nobody
    knows."""
    syntaxes = _in_order(accepted_syntaxes)
    taken = dict.fromkeys(accepted_classes)
    if known := [one for one in dict.fromkeys(classes) if one in taken]:
        return list(islice(_one_by_one(known, syntaxes, room), room))
    return list(islice(_families(taken, syntaxes), room))


def _one_by_one(
    classes: Sequence[str], syntaxes: tuple[str, ...], room: int
) -> Iterator[type_proposal]:
    each = max(room // len(classes), 1)
    alone = len(syntaxes) if each >= len(syntaxes) else each - 1
    for sop_class in classes:
        for syntax in syntaxes[:alone]:
            yield sop_class, (syntax,)
        if alone < len(syntaxes):
            yield sop_class, syntaxes[alone:]


def _families(taken: dict[str, None], syntaxes: tuple[str, ...]) -> Iterator[type_proposal]:
    rest = tuple(syntax for syntax in syntaxes if syntax not in _USUAL)
    *families, last = _FAMILIES
    for sop_class in _FREQUENT:
        for family in (*families, (*last, *rest)):
            yield from _context(sop_class, family, taken, syntaxes)
    for sop_class in _WITHOUT_IMAGES:
        yield from _context(sop_class, _NATIVE, taken, syntaxes)
    named = {*_FREQUENT, *_WITHOUT_IMAGES}
    for sop_class in dict.fromkeys((*_IMAGES, *taken)):
        if sop_class not in named:
            yield from _context(sop_class, syntaxes, taken, syntaxes)


def _context(
    sop_class: str, wanted: tuple[str, ...], taken: dict[str, None], syntaxes: tuple[str, ...]
) -> Iterator[type_proposal]:
    """One, when there is something left to propose."""
    some = tuple(syntax for syntax in wanted if syntax in syntaxes)
    if some and sop_class in taken:
        yield sop_class, some


def _in_order(accepted: Sequence[str]) -> tuple[str, ...]:
    usual = [syntax for syntax in _USUAL if syntax in accepted]
    return (*usual, *(syntax for syntax in accepted if syntax not in _USUAL))
