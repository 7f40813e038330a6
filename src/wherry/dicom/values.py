"""The text form of a raw value, as Orthanc prints it.

What: padding, character sets and binary numbers, by value representation (PS3.5 §6.2). Why: main
tags of the index and the JSON of all tags show values alike, and identifiers are made of them.
Not here: where a value lies.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

from wherry.dicom.charsets import CharacterSet

TEXT_VRS: Final = frozenset(
    (
        *("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT"),
        *("PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"),
    )
)
LONG_TEXT_BYTES: Final = 256
"""Text longer than this in UTF-8 is no main tag, and shown only when asked for."""

_FORMATS: Final = {
    "US": "H",
    "SS": "h",
    "UL": "I",
    "SL": "i",
    "UV": "Q",
    "SV": "q",
    "FL": "f",
    "FD": "d",
    "AT": "HH",
}
_ITEMS: Final = {
    (vr, big_endian): struct.Struct((">" if big_endian else "<") + form)
    for vr, form in _FORMATS.items()
    for big_endian in (False, True)
}
NUMBER_VRS: Final = frozenset(_FORMATS)


def as_text(raw: bytes, vr: str, charset: CharacterSet, big_endian: bool) -> str | None:
    """``raw`` as text without padding; None when it has no text form."""
    if vr in NUMBER_VRS:
        return _numbers(raw, vr, big_endian)
    if vr not in TEXT_VRS:
        return None
    if not len(raw) & 1:  # padding makes the length even: what has an odd length has none
        raw = raw.rstrip(b" ")
    text = charset.decode(raw.partition(b"\0")[0], vr == "PN")
    return text.replace(" ", "") if vr == "UI" else text


def _real(values: tuple[float]) -> str:
    return f"{values[0]:.17g}"


def _integer(values: tuple[int]) -> str:
    return str(values[0])


def _tag(values: tuple[int, int]) -> str:
    return f"{values[0]:04x},{values[1]:04x}"


_PRINTERS: Final[dict[str, Callable[[Any], str]]] = {"FL": _real, "FD": _real, "AT": _tag}


def unknown_as_text(raw: bytes, charset: CharacterSet) -> str:
    """A text that was written with the VR UN: what of it is padding nobody can tell."""
    return charset.decode(raw.removesuffix(b"\0"))


def is_long(text: str) -> bool:
    """Whether ``text`` is longer than what Orthanc keeps or shows."""
    return len(text) > LONG_TEXT_BYTES // 4 and len(text.encode()) > LONG_TEXT_BYTES


def _numbers(raw: bytes, vr: str, big_endian: bool) -> str | None:
    """None when there is not one whole number. Bytes left over are ignored."""
    item = _ITEMS[vr, big_endian]
    printer = _PRINTERS.get(vr, _integer)
    if len(raw) == item.size:
        return printer(item.unpack(raw))
    whole = len(raw) // item.size * item.size
    if not whole:
        return None
    return "\\".join(map(printer, item.iter_unpack(raw[:whole])))
