"""What may be stored and in which encoding: the UIDs of PS3.6 Annex A that concern a DICOM store.

Not here: which of them this server takes from the network (``receiving``).
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Final
from uuid import UUID

from wherry import clock

IMPLEMENTATION_CLASS: Final = "2.25.285579348450403503138320702073405252837"
"""Implementation Class UID of Wherry (PS3.7 §D.3.3.2), made of a random UUID."""
IMPLEMENTATION_VERSION: Final = "WHERRY"

_BASE: Final = "1.2.840.10008.1.2"

GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "": ("", ".1", ".2"),
    "Deflated": (".1.99",),
    "Jpeg": tuple(f".4.{number}" for number in (*range(50, 67), 70)),
    "JpegLossless": (".4.80", ".4.81"),
    "Jpeg2000": (".4.90", ".4.91", ".4.92", ".4.93"),
    "Jpip": (".4.94", ".4.95"),
    "Mpeg2": (".4.100", ".4.101"),
    "Mpeg4": tuple(f".4.{number}" for number in range(102, 107)),
    "H265": (".4.107", ".4.108"),
    "Rle": (".5",),
    "Other": (".6.1", ".6.2"),
}
"""Transfer syntaxes by the name that Orthanc's configuration has for a group, without their common
beginning. JpegLossless means JPEG-LS, as there."""


def new_uid() -> str:
    """A UID that nobody has had (PS3.5 §B.2)."""
    return f"2.25.{UUID(clock.new_uuid()).int}"


def _number(uid: str) -> tuple[int, ...]:
    return tuple(int(part) for part in uid.split("."))


def of_group(name: str) -> frozenset[str]:
    """The transfer syntaxes of one group."""
    return frozenset(_BASE + end for end in GROUPS[name])


_VIDEOS: Final = of_group("Mpeg2") | of_group("Mpeg4") | of_group("H265")


def is_video(syntax: str) -> bool:
    """Whether all frames are one stream (PS3.5 §8.2.5 to §8.2.9); those that may be in fragments
    have a further number."""
    return syntax in _VIDEOS or syntax.removesuffix(".1") in _VIDEOS


TRANSFER_SYNTAXES: Final = tuple(
    sorted((_BASE + end for ends in GROUPS.values() for end in ends), key=_number)
)
"""All of them, in numerical order."""


@cache
def storage_classes() -> dict[str, str]:
    """SOP classes of things that can be stored (PS3.4 Annex B): UID → keyword, sorted by UID;
    retired ones included: old files stay with us."""
    text = files("wherry.dicom").joinpath("storage_classes.txt").read_text("ascii")
    pairs = (line.split() for line in text.splitlines() if not line.startswith("#"))
    return dict(pairs)
