"""Binary numbers of DICOM values as the text that Orthanc prints.

What: US, SS, UL, SL, UV, SV, FL, FD and AT, several values joined with a backslash. Why: main tags
and the JSON of tags show them alike. Not here: DS and IS, which are text already.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

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
NUMBER_VRS: Final = frozenset(_FORMATS)


def _real(values: tuple[float]) -> str:
    return f"{values[0]:.17g}"


def _integer(values: tuple[int]) -> str:
    return str(values[0])


def _tag(values: tuple[int, int]) -> str:
    return f"{values[0]:04x},{values[1]:04x}"


_PRINTERS: Final[dict[str, Callable[[Any], str]]] = {"FL": _real, "FD": _real, "AT": _tag}


def numbers_as_text(raw: bytes, vr: str, big_endian: bool) -> str | None:
    """``raw`` as text; None when it holds not one whole number. Bytes left over are ignored."""
    item = struct.Struct((">" if big_endian else "<") + _FORMATS[vr])
    whole = len(raw) // item.size * item.size
    if not whole:
        return None
    printer = _PRINTERS.get(vr, _integer)
    return "\\".join(map(printer, item.iter_unpack(raw[:whole])))
