"""Which storage classes are proposed for a C-GET, and in which transfer syntaxes.

There is room for 128 presentation contexts, one of them for the C-GET itself, and the modality
chooses one transfer syntax in each: what it has in another one it must convert, or cannot send.
So, when it is known which classes are to come (``SOPClassesInStudy``, or the ``SOPClassUID`` of an
answer), each gets as many contexts as there is room for, with one transfer syntax each, the usual
ones first and all that are left in the last. When it is not known:

* the classes of ``_FREQUENT`` get four contexts each: native, and three families of compressed
  ones;
* ``_OTHERS``, and then any other that is taken, get one each, for all transfer syntaxes, until the
  room is full.

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

_USUAL: Final = tuple(syntax for family in _FAMILIES for syntax in family)

_FREQUENT: Final = tuple(
    _STORAGE + end
    for end in (
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
        "2.1",  # enhanced CT
        "4.1",  # enhanced MR
        "13.1.3",  # tomosynthesis
        "7.4",  # secondary capture in colour, several frames
    )
)
_OTHERS: Final = tuple(
    _STORAGE + end
    for end in (
        *("1.1.1", "1.2.1", "1.3", "1.3.1", "2.2", "4.2", "4.3", "4.4"),
        *("6.2", "7.1", "7.2", "7.3", "8.1", "9.1.1", "9.1.2", "9.1.3", "9.2.1", "9.3.1"),
        *("11.1", "11.2", "11.3", "11.4", "12.1.1", "12.2.1", "13.1.1", "13.1.2", "14.1", "14.2"),
        *("30", "66", "66.1", "66.2", "66.3", "66.4", "66.5", "66.6", "67", "68.1", "68.2"),
        *("77.1.1", "77.1.1.1", "77.1.2", "77.1.2.1", "77.1.3", "77.1.4", "77.1.4.1"),
        *("77.1.5.1", "77.1.5.2", "77.1.5.4", "77.1.6"),
        *("88.11", "88.22", "88.33", "88.34", "88.40", "88.50", "88.59", "88.65", "88.67", "88.68"),
        *("104.1", "104.2", "104.3", "128.1", "130"),
        *("481.1", "481.2", "481.3", "481.4", "481.5", "481.6", "481.7", "481.8", "481.9"),
        *("5", "3", "6", "129", "9", "10", "11"),
    )
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
    grouped = [*families, (*last, *rest)]
    for sop_class in _FREQUENT:
        for family in grouped:
            some = tuple(syntax for syntax in family if syntax in syntaxes)
            if some and sop_class in taken:
                yield sop_class, some
    for sop_class in dict.fromkeys((*_OTHERS, *taken)):
        if sop_class in taken and sop_class not in _FREQUENT and syntaxes:
            yield sop_class, syntaxes


def _in_order(accepted: Sequence[str]) -> tuple[str, ...]:
    usual = [syntax for syntax in _USUAL if syntax in accepted]
    return (*usual, *(syntax for syntax in accepted if syntax not in _USUAL))
