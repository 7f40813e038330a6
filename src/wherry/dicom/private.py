"""The dictionary of private tags: what their creators call them (PS3.5 §7.8).

What: ``private.dic``, made from DCMTK's, so that names and value representations are those that
Orthanc shows. Why not pydicom's: its names are descriptions, and it knows other tags.
It is read at the first private tag, in 5 ms. Not here: public tags (``dictionary``).
"""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from importlib import resources
from typing import NamedTuple


class _Line(NamedTuple):
    """One tag, or a range of odd groups."""

    first_group: int
    last_group: int
    vr: str
    name: str


type_lines = dict[tuple[str, int], list[_Line]]


def lookup(tag: int, creator: str) -> tuple[str, str] | None:
    """Name and VR of a private tag of this creator, or None."""
    group, element = tag >> 16, tag & 0xFFFF
    lines = _lines()
    for key in ((creator, element), (creator, element & 0xFF)):
        for line in lines.get(key, ()):
            if line.first_group <= group <= line.last_group:
                return line.name, line.vr
    return None


@cache
def _lines() -> type_lines:
    """Creator and element → lines; elements below 0x100 lie in any block."""
    text = resources.files("wherry.dicom").joinpath("private.dic").read_text(encoding="latin-1")
    found: type_lines = defaultdict(list)
    creator = ""
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        if line.startswith("["):
            creator = line[1:-1]
            continue
        groups, element, vr, name = line.split(" ")
        first, _, last = groups.partition("-")
        number = int(element, 16)
        entry = _Line(int(first, 16), int(last or first, 16), vr, name)
        found[creator, number].append(entry)
    return dict(found)
